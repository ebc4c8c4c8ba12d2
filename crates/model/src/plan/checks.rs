//! What no single value can be blamed for: references, order, protection, promises.
//! Must not know how the file was read.

mod detection;
mod kinds;
mod order;
mod protection;
mod references;
mod sites;
mod whole;

pub(super) use kinds::{kind, promises};
use references::section_of;
pub(super) use whole::whole;
