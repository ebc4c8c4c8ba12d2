//! A small deterministic world for the run machine, and a host that drives a run in it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses its part"
)]

mod book;
mod host;
mod places;

pub use book::{created, join, name, runbook, small_move, step};
pub use host::{Host, is_over};
pub use places::{Fault, World};
