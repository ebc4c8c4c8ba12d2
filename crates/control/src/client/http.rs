//! Makes HTTP clients.
//! Must not know whom they talk to.

use std::path::Path;

use super::ClientError;

/// A client that talks to a Unix socket. Trusts no certificate authority: it needs none.
pub(super) fn unix(socket: &Path) -> Result<reqwest::Client, ClientError> {
    provider();
    reqwest::Client::builder()
        .unix_socket(socket)
        .tls_certs_only([])
        .no_proxy()
        .build()
        .map_err(|error| ClientError::Client(error.to_string()))
}

/// A client for an address in the world that keeps no connection. Reads the machine's certificate authorities only
/// for an address that needs them.
pub fn web(address: &str) -> Result<reqwest::Client, ClientError> {
    provider();
    let builder = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    let builder = if address.starts_with("https://") {
        builder
    } else {
        builder.tls_certs_only([])
    };
    builder
        .build()
        .map_err(|error| ClientError::Client(error.to_string()))
}

/// The cryptography behind TLS; whoever came first has chosen.
fn provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
