//! The demo's authoritative DNS server: one zone that takes signed updates (RFC 2136 with TSIG).
//!
//! A server of its own because the library's zones either refuse updates or let readers see a
//! record set half changed. It is a plain server: it does not know what its records mean.

mod options;
mod persist;
mod run;
mod server;
mod update;
mod zone;

pub use options::{Data, Options, SeedRecord};
pub use run::{DnsServer, run};
