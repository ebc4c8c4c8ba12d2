//! The one small runtime that all remote containers share, and the bridge to it: a thread waits for a future that runs
//! there. A future that panics or takes too long is an answer like any other.
//! Must not know what is waited for.
//!
//! Waiting blocks the calling thread, so it must not be an asynchronous runtime's own: the calls of a container belong
//! on threads, or into `spawn_blocking`. Nothing panics there either; the thread is only held up.

use std::{
    future::Future,
    io,
    sync::{LazyLock, mpsc},
    time::Duration,
};

use tokio::runtime::{Builder, Runtime};

/// Why a future gave no answer of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lost {
    /// It took longer than it may, and was given up.
    Late(Duration),
    /// It panicked.
    Died,
    /// There is no runtime to run it on.
    NoRuntime(String),
}

/// Where the limit is on each step, not on the whole.
pub(super) const NO_LIMIT: Duration = Duration::MAX;

/// Two threads: they only move bytes and encrypt; eight uploads at once keep them busy.
static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("mainstay-remote")
        .enable_all()
        .build()
});

/// Runs a future on the shared runtime and waits for its answer.
pub(super) fn wait<T: Send + 'static>(
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Lost> {
    let runtime = match &*RUNTIME {
        Ok(runtime) => runtime,
        Err(error) => return Err(Lost::NoRuntime(error.to_string())),
    };
    let (answer, answered) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        let done = tokio::time::timeout(limit, work).await;
        // Nobody is gone: the one who asked is waiting below.
        let _ = answer.send(done);
    });
    match answered.recv() {
        Ok(done) => done.map_err(|_| Lost::Late(limit)),
        Err(mpsc::RecvError) => Err(Lost::Died),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(10);

    #[test]
    fn an_answer_comes_back() {
        assert_eq!(wait(LONG, async { 7 }), Ok(7));
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let limit = Duration::from_millis(1);
        assert_eq!(
            wait(limit, std::future::pending::<()>()),
            Err(Lost::Late(limit))
        );
    }

    #[test]
    fn a_panic_is_an_answer() {
        let lost = wait(LONG, async {
            assert!(std::hint::black_box(false), "planted");
        });
        assert_eq!(lost, Err(Lost::Died));
    }

    #[test]
    fn it_can_be_waited_for_inside_another_runtime() {
        let other = Builder::new_current_thread().build().unwrap();
        let both = other.block_on(async {
            let blocking = tokio::task::spawn_blocking(|| wait(LONG, async { 1 }));
            // Not how it should be called; but no reason to panic.
            (blocking.await.unwrap(), wait(LONG, async { 2 }))
        });
        assert_eq!(both, (Ok(1), Ok(2)));
    }
}
