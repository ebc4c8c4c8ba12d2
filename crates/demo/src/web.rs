//! What the HTTP parts share: binding, serving until asked to stop, and a client that never goes
//! through a proxy. It knows no part's routes.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::error::PartError;

/// How long requests in flight may take to end after a part was asked to stop.
const STOP_GRACE: Duration = Duration::from_millis(1500);

/// Takes the listening address.
pub(crate) async fn bind(addr: SocketAddr) -> Result<TcpListener, PartError> {
    TcpListener::bind(addr)
        .await
        .map_err(|source| PartError::Listen { addr, source })
}

/// Serves `router` until `stop` ends, then lets requests in flight finish within a short grace.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), PartError> {
    let (stopping, stopped) = oneshot::channel();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        stop.await;
        // The receiver is gone only when the server has already ended.
        let _ = stopping.send(());
    });
    let grace = async move {
        match stopped.await {
            Ok(()) => tokio::time::sleep(STOP_GRACE).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = server => ended.map_err(PartError::Serve),
        () = grace => Ok(()),
    }
}

/// An HTTP client for loopback services.
pub(crate) fn client(timeout: Duration) -> Result<reqwest::Client, PartError> {
    // Fails when a provider is installed already, which is just as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(timeout)
        .connect_timeout(timeout)
        .build()
        .map_err(|error| PartError::HttpClient(error.to_string()))
}
