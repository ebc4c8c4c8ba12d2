//! Control's tests over real sockets and real files, with a fake driver.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agent;
mod dispatch;
mod receipts;
mod state;
mod watch;
mod world;
