//! Leases for stores that fence themselves (class F1): the grantor's machine and the holder's arithmetic.
//! Must not know a clock, a disk or a network; monotonic time is passed in.

mod grantor;
mod holder;
mod time;

pub use grantor::{
    Expiry, Fenced, Granted, Grantor, LEASE_RECORD_VERSION, LeaseRecord, Owner, Refused, Save,
    StoreRecord,
};
pub use holder::{Holder, MayWrite};
pub use time::{Drift, Mono};
