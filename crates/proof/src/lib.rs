//! Hash chains, signatures, receipts and their verifier: pure, keys and bytes come in as values.
//! Must not know a file, a key store, a run or who asks for a proof.

mod chain;
mod hash;
mod key;
mod receipt;
mod verifier;

pub use chain::{Broken, Damaged, Head, Link, link, verify};
pub use hash::{Hash, HashError};
pub use key::{KeyError, KeyId, PublicKey, Signature, Signer};
pub use receipt::{
    Claim, Evidence, Level, Matched, Mismatch, RECEIPT_DOMAIN, RECEIPT_VERSION, Range, Receipt,
    SignedReceipt, issue,
};
pub use verifier::{BadReceipt, Flaw, Verifier};
