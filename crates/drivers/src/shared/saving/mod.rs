//! Backups of a store, for every kind that can be saved: a kind plugs in how its stores are read, brought back and
//! checked; what is the same for all of them is here.
//! Must not know any kind, schedules or receipts.

mod driver;
mod extract;
mod jobs;
mod saves;
#[cfg(test)]
mod tests;

pub(crate) use driver::Saving;
pub(crate) use extract::{Brought, Workshop, bring, find};
pub(crate) use saves::{About, Saves, Validated, failed};
