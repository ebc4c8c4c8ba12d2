//! Verifies a copy of a chain with a public key alone: no state, no network, no trust in whoever made the copy.
//! Must not know where the chain comes from.

use std::io::{BufRead, BufReader, Read};

use mainstay_proof::{BadReceipt, Head, PublicKey, Receipt, Verifier};

/// A chain that is good.
#[derive(Debug)]
pub struct Verified {
    /// Its receipts, oldest first.
    pub receipts: Vec<Receipt>,
    /// Where it ends.
    pub head: Head,
}

/// Why a chain is not good.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// It cannot be read.
    #[error("failed to read the chain: {0}")]
    Io(#[from] std::io::Error),
    /// A receipt is not good, and so none after it is.
    #[error(transparent)]
    Bad(#[from] BadReceipt),
    /// It ends earlier than its head says: receipts were cut off.
    #[error("the chain ends at receipt {found}, and its head names receipt {expected}")]
    Short {
        /// The last receipt that is there.
        found: u64,
        /// The last receipt that should be.
        expected: u64,
    },
}

impl Wrong {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "receipts-unusable",
            Self::Bad(bad) => bad.code(),
            Self::Short { .. } => "receipts-cut",
        }
    }
}

/// Verifies a chain with this key. `head`, kept apart from the chain, shows whether its end was cut off.
pub fn verify(chain: impl Read, key: PublicKey, head: Option<Head>) -> Result<Verified, Wrong> {
    let mut verifier = Verifier::new([key]);
    let mut receipts = Vec::new();
    let mut reader = BufReader::new(chain);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        // A line that was being written when its process died was never issued.
        if line.last() == Some(&b'\n') {
            let text = String::from_utf8_lossy(&line);
            receipts.push(verifier.next(text.trim_end())?);
        }
        line.clear();
    }
    let found = verifier.head();
    match head {
        Some(head) if found.seq < head.seq => Err(Wrong::Short {
            found: found.seq,
            expected: head.seq,
        }),
        _ => Ok(Verified {
            receipts,
            head: found,
        }),
    }
}
