//! Receipts: signed proof that named bytes were verified at a destination (I11, I12).
//! Must not know how bytes are copied, nor where receipts are kept.
//!
//! A receipt is stored as one line of JSON: its own text, the hash that chains it to the receipt before it, and the
//! signature over that hash. The text is kept as it was signed; nobody serialises it again.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Hash, Head, KeyId, Signature, Signer, link};

/// The version of a receipt's text. Version 1 knew one level of proof only: read back.
pub const RECEIPT_VERSION: u32 = 2;

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

/// How far bytes at a destination were proven. The order is the order of trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// They are listed where they should be, with the sizes that they should have.
    Stored,
    /// They were read back, and their hash matched.
    ReadBack,
    /// They were restored into a scratch place, and the hash of what came out matched.
    Restored,
    /// What was restored works: its own checks passed.
    Checked,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stored => "stored",
            Self::ReadBack => "read back",
            Self::Restored => "restored",
            Self::Checked => "checked",
        })
    }
}

/// What was done to prove it. From [`Level::ReadBack`] on only a [`Matched`] makes it (I11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// See [`Level::Stored`].
    Stored,
    /// See [`Level::ReadBack`].
    ReadBack(Matched),
    /// See [`Level::Restored`].
    Restored(Matched),
    /// See [`Level::Checked`].
    Checked {
        /// What came out of the restore.
        matched: Matched,
        /// The checks that passed, by name; at least one.
        checks: Vec<String>,
    },
}

impl Evidence {
    /// The level it stands for.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::Stored => Level::Stored,
            Self::ReadBack(_) => Level::ReadBack,
            Self::Restored(_) => Level::Restored,
            Self::Checked { .. } => Level::Checked,
        }
    }

    fn into_parts(self) -> (Option<Hash>, Vec<String>) {
        match self {
            Self::Stored => (None, Vec::new()),
            Self::ReadBack(matched) | Self::Restored(matched) => (Some(matched.0), Vec::new()),
            Self::Checked { matched, checks } => (Some(matched.0), checks),
        }
    }
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
    /// The restore point, by its name in the repository; none for a continuous copy.
    pub point: Option<String>,
    /// Which part of the store's history.
    pub range: Range,
    /// How many bytes.
    pub bytes: u64,
    /// How it was proven.
    pub evidence: Evidence,
    /// Where.
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
    pub level: Level,
    pub point: Option<String>,
    pub range: Range,
    pub bytes: u64,
    /// The hash that matched; none for [`Level::Stored`].
    pub sha256: Option<Hash>,
    pub checks: Vec<String>,
    pub destination: String,
    pub at: i64,
    /// The key that signed it.
    pub key: KeyId,
    /// The hash of the receipt before it.
    pub previous: Hash,
}

/// A receipt of version 1: everything in it was read back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Receipt1 {
    version: u32,
    seq: u64,
    system: String,
    store: String,
    epoch: u64,
    range: Range,
    bytes: u64,
    sha256: Hash,
    destination: String,
    at: i64,
    key: KeyId,
    previous: Hash,
}

impl From<Receipt1> for Receipt {
    fn from(old: Receipt1) -> Self {
        Self {
            version: old.version,
            seq: old.seq,
            system: old.system,
            store: old.store,
            epoch: old.epoch,
            level: Level::ReadBack,
            point: None,
            range: old.range,
            bytes: old.bytes,
            sha256: Some(old.sha256),
            checks: Vec::new(),
            destination: old.destination,
            at: old.at,
            key: old.key,
            previous: old.previous,
        }
    }
}

impl Receipt {
    /// Reads a receipt's text, of this version or an earlier one. Verifies nothing.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        match Self::version_of(text)? {
            1 => serde_json::from_str::<Receipt1>(text).map(Self::from),
            _ => serde_json::from_str(text),
        }
    }

    /// The version of a receipt's text.
    pub(crate) fn version_of(text: &str) -> Result<u32, serde_json::Error> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        serde_json::from_str(text).map(|Version { version }| version)
    }

    /// Whether what it says of its evidence fits its level.
    pub(crate) fn is_consistent(&self) -> bool {
        self.sha256.is_some() == (self.level > Level::Stored)
            && self.checks.is_empty() == (self.level < Level::Checked)
    }
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
    let level = claim.evidence.level();
    let (sha256, checks) = claim.evidence.into_parts();
    let receipt = Receipt {
        version: RECEIPT_VERSION,
        seq,
        system: claim.system,
        store: claim.store,
        epoch: claim.epoch,
        level,
        point: claim.point,
        range: claim.range,
        bytes: claim.bytes,
        sha256,
        checks,
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
