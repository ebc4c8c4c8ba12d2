//! Asynchronous work from a thread that may block: these calls take minutes to hours, on threads of their own.
//! Must not be used inside a runtime.

use std::future::Future;

use mainstay_driver::Cause;

use crate::shared::passing;

/// Runs some asynchronous work to its end.
pub(super) fn wait<T>(work: impl Future<Output = Result<T, Cause>>) -> Result<T, Cause> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| passing("driver-fault", format!("no runtime: {error}")))?;
    runtime.block_on(work)
}
