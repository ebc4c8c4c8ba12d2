//! The demo's parts, tested as the processes' own code: real sockets, databases and files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash;
mod dns;
mod load;
mod order_service;
mod postgres;
mod scheduler;
mod support;
