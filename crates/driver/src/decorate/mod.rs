//! Behaviour around a driver that no driver needs to know of: dry run, faults, tracing, time limits.
//! Must not know any concrete driver.

mod dry_run;
mod faults;
mod limit;
mod traced;

pub use dry_run::DryRun;
pub use faults::{Fault, Faults};
pub use limit::{Limited, Limits};
pub use traced::Traced;
