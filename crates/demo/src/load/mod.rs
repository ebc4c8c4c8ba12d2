//! The demo's load generator: clients that find the service through DNS alone and keep a list of
//! every write that was acknowledged to them, and what that list proves afterwards.
//!
//! It must not know the sites: an address is whatever the name resolves to.

mod audit;
mod client;
mod list;
mod measure;
mod options;
mod resolver;
mod run;

pub use audit::{Audit, Lost, Missing, audit};
pub use list::{Ack, Entry, Failure, List};
pub(crate) use measure::seconds;
pub use measure::{Gap, Served, Window};
pub use options::Options;
pub use run::{run, run_until};
