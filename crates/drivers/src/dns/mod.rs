//! Routes kept in DNS: addresses behind one name, changed by RFC 2136 updates that a newer plan's epoch record refuses.
//! Must not know a particular name server.

mod driver;
mod kind;
mod options;
mod record;
mod update;
mod wire;

pub use driver::DnsDriver;
pub use kind::DnsKind;
pub use options::{DnsOptions, DnsTarget, Tsig, TsigHash};
pub use record::EpochRecord;
