//! The system's receipts: one chain, one key, kept in the folder of the state (I11, I12, I30).
//! Must not know what is proven, nor by whom.

mod error;
mod ledger;
mod verify;

pub use error::LedgerError;
pub use ledger::Ledger;
pub use verify::{Verified, Wrong, verify};
