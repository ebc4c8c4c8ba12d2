//! PostgreSQL with streaming replication: sealed by its own access rules, promoted at an epoch, rebuilt as a standby.
//! Must not know any other kind.

mod backup;
pub mod cluster;
mod driver;
mod files;
mod gate;
mod instance;
mod job;
mod keep;
mod kind;
mod look;
mod mark;
mod moves;
mod options;
mod point;
mod programs;
mod rebuild;
mod salvage;
mod server;
mod session;

pub use driver::PostgresDriver;
pub use kind::PostgresKind;
pub use options::{PostgresAt, PostgresOptions, Replication};
