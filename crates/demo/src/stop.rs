//! How a part learns that it should stop: SIGTERM or SIGINT for a process, a handle in tests.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use crate::error::PartError;

/// A future that ends when the process is asked to stop.
///
/// The handlers are installed before this returns, so that no signal is missed in between.
pub(crate) fn asked() -> Result<impl Future<Output = ()> + Send + 'static, PartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(PartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(PartError::Signals)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
