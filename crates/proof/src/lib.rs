//! Hash chains, signatures, receipts and their verifier: pure, keys and bytes come in as values.
//! Must not know a file, a key store, a run or who asks for a proof.

mod chain;
mod hash;

pub use chain::{Broken, Damaged, Head, Link, link, verify};
pub use hash::{Hash, HashError};
