//! Watches a system through the agents of its observers, proposes moves, and acts alone only where it may.
//! Must not decide what a failure is; the detector in the engine does.

mod act;
mod error;
mod observers;
mod run;
mod targets;

pub use error::WatchError;
pub use run::{WatchNotice, run};
