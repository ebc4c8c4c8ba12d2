//! Backups of a cluster with any moment restorable: base backups, the log as it is written, recovery to a target,
//! proof that what comes back is whole.
//! Must not know other kinds.

mod base;
mod bring;
mod choose;
mod feed;
mod held;
mod keeping;
mod leftovers;
mod logs;
mod named;
mod output;
mod proof;
mod receiver;
mod recover;
mod saves;
mod scratch;
mod segment;
mod spool;
mod store;
#[cfg(test)]
mod tests;
mod trim;
mod wait;

pub(super) use keeping::{Keeping, Standing};
pub(crate) use saves::PostgresSaves;
