//! What Mainstay can operate, a module for each kind. Only the command line's start-up names this crate.
//! Must not know in which order steps are taken, nor who asks for them.

pub mod dns;
mod exec;
mod files;
pub mod haproxy;
mod http;
mod objects;
pub mod postgres;
mod process;
mod registry;
mod shared;
mod sqlite;
mod support;

pub use registry::{drivers, kinds};
pub use shared::{NeverQuarantined, Place, Quarantine};
pub use support::Home;
