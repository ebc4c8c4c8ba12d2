//! The HTTP clients of this process: no redirects, no proxy, plain and TLS apart so that a machine without root
//! certificates can still ask a neighbour over plain HTTP.
//! Must not know what is asked.

use std::{sync::OnceLock, time::Duration};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(2);

/// The client for a URL.
pub(super) fn client(url: &str) -> Result<&'static reqwest::Client, String> {
    static PLAIN: OnceLock<Result<reqwest::Client, String>> = OnceLock::new();
    static SECURE: OnceLock<Result<reqwest::Client, String>> = OnceLock::new();
    let client = if url.starts_with("https:") {
        SECURE.get_or_init(|| build(reqwest::Client::builder()))
    } else {
        PLAIN.get_or_init(|| build(reqwest::Client::builder().tls_certs_only([])))
    };
    client.as_ref().map_err(Clone::clone)
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, String> {
    // A second installation fails and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT)
        // A fresh connection sees what the server does now, and belongs to no runtime that may be gone.
        .pool_max_idle_per_host(0)
        .build()
        .map_err(|error| format!("build an http client: {error}"))
}
