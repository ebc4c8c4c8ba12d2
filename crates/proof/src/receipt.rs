//! Receipts: signed proof that named bytes were verified at a destination (I11, I12).
//! Must not know how bytes are copied, nor where receipts are kept.
//!
//! A receipt is stored as one line of JSON: its own text, the hash that chains it to the receipt before it, and the
//! signature over that hash. The text is kept as it was signed; nobody serialises it again.

use serde::{Deserialize, Serialize};

use crate::{Hash, Head, KeyId, Signature, Signer, link};

/// The version of a receipt's text.
pub const RECEIPT_VERSION: u32 = 1;

/// The domain tag of the chain of receipts.
pub const RECEIPT_DOMAIN: &str = "mainstay receipt 1";

/// What was read back is not what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{read_back} was read back where {sent} was sent")]
pub struct Mismatch {
    /// The hash of what was sent.
    pub sent: Hash,
    /// The hash of what was read back.
    pub read_back: Hash,
}

/// The hash of bytes that were read back at the destination and matched. There is no other way to get one (I11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched(Hash);

impl Matched {
    /// Compares what was sent with what was read back.
    pub fn new(sent: Hash, read_back: Hash) -> Result<Self, Mismatch> {
        if sent == read_back {
            Ok(Self(sent))
        } else {
            Err(Mismatch { sent, read_back })
        }
    }
}

/// Which part of a store's history the bytes are. Positions are written as the store's kind writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The position after which it begins; none for everything from the start.
    pub after: Option<String>,
    /// The position that is reached.
    pub to: String,
}

/// What a receipt is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The declared system.
    pub system: String,
    /// The store.
    pub store: String,
    /// The store's epoch.
    pub epoch: u64,
    /// Which part of it.
    pub range: Range,
    /// How many bytes.
    pub bytes: u64,
    /// Their hash.
    pub matched: Matched,
    /// Where they were read back.
    pub destination: String,
    /// When, in microseconds since 1970.
    pub at: i64,
}

/// A receipt. Unknown fields are refused: what a verifier does not know, it cannot vouch for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of the claim")]
pub struct Receipt {
    /// [`RECEIPT_VERSION`] when it was written.
    pub version: u32,
    /// Its number in the chain, from 1.
    pub seq: u64,
    pub system: String,
    pub store: String,
    pub epoch: u64,
    pub range: Range,
    pub bytes: u64,
    pub sha256: Hash,
    pub destination: String,
    pub at: i64,
    /// The key that signed it.
    pub key: KeyId,
    /// The hash of the receipt before it.
    pub previous: Hash,
}

/// A receipt as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedReceipt {
    /// The text that was signed: a [`Receipt`] as JSON.
    pub receipt: String,
    /// The hash of the text in the chain.
    pub hash: Hash,
    /// The signature over the hash.
    pub signature: Signature,
}

/// Signs the next receipt of a chain and moves its head on.
pub fn issue(
    signer: &Signer,
    head: &mut Head,
    claim: Claim,
) -> Result<SignedReceipt, serde_json::Error> {
    let seq = head.seq + 1;
    let receipt = Receipt {
        version: RECEIPT_VERSION,
        seq,
        system: claim.system,
        store: claim.store,
        epoch: claim.epoch,
        range: claim.range,
        bytes: claim.bytes,
        sha256: claim.matched.0,
        destination: claim.destination,
        at: claim.at,
        key: signer.public().id(),
        previous: head.hash,
    };
    let text = serde_json::to_string(&receipt)?;
    let hash = link(RECEIPT_DOMAIN, &head.hash, seq, text.as_bytes());
    *head = Head { seq, hash };
    Ok(SignedReceipt {
        receipt: text,
        hash,
        signature: signer.sign(&hash.0),
    })
}
