//! The demo's parts, tested as the processes' own code: real sockets, databases and files.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it leaves out"
)]

mod crash;
mod dns;
mod load;
mod order_service;
mod postgres;
mod scheduler;
mod support;
