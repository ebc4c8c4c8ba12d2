//! Routes in HAProxy: servers of each site behind a running process, switched and weighted by its runtime API.
//! Must not know HAProxy's configuration file.

mod cli;
mod driver;
mod kind;
mod options;
mod state;

pub use driver::HaproxyDriver;
pub use kind::HaproxyKind;
pub use options::{HaproxyOptions, HaproxyTarget, Sessions};
