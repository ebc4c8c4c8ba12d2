//! The offline verifier of receipts: needs the lines and the public keys, nothing else.
//! Must not know where either came from.

use std::collections::BTreeMap;

use crate::{
    Damaged, Head, KeyId, Level, Link, PublicKey, RECEIPT_DOMAIN, RECEIPT_VERSION, Receipt,
    SignedReceipt,
};

/// What is wrong with a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// It is of a version that this program does not read.
    #[error("it has version {0}, and this program reads versions up to {RECEIPT_VERSION}")]
    Version(u32),
    /// Its evidence does not fit its level: a hash that matched, and for [`Level::Checked`] the checks.
    #[error("its evidence does not fit its level, {0}")]
    Evidence(Level),
    /// The chain of hashes is broken at it.
    #[error("{0}")]
    Chain(crate::Broken),
    /// It is signed by a key that is not among those that are trusted.
    #[error("it is signed by key {0}, which is not trusted")]
    Key(KeyId),
    /// The signature is not that key's.
    #[error("its signature is wrong")]
    Signature,
    /// It does not begin where the receipt before it, of the same store and destination, ended.
    #[error("it begins after {found:?}, and the receipt before it ended at {expected:?}")]
    Gap {
        /// Where it should begin.
        expected: Option<String>,
        /// Where it begins.
        found: Option<String>,
    },
    /// Its epoch is older than that of the receipt before it.
    #[error("its epoch {found} is older than {before}")]
    Epoch {
        /// The epoch of the receipt before it.
        before: u64,
        /// Its epoch.
        found: u64,
    },
}

/// A receipt that proves nothing, and so none after it does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("receipt {entry} is not good: {flaw}")]
pub struct BadReceipt {
    /// Its number in the chain.
    pub entry: u64,
    /// What is wrong with it.
    pub flaw: Flaw,
}

impl BadReceipt {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.flaw {
            Flaw::Unreadable(_) | Flaw::Evidence(_) | Flaw::Chain(_) => "receipt-damaged",
            Flaw::Version(_) => "receipt-version",
            Flaw::Key(_) => "receipt-key",
            Flaw::Signature => "receipt-signature",
            Flaw::Gap { .. } | Flaw::Epoch { .. } => "receipt-gap",
        }
    }
}

/// Checks a chain of receipts, one by one.
#[derive(Debug, Clone)]
pub struct Verifier {
    keys: BTreeMap<KeyId, PublicKey>,
    head: Head,
    /// For each store, destination and level: how far, at which epoch.
    reached: BTreeMap<(String, String, Level), (String, u64)>,
}

impl Verifier {
    /// Trusts these keys.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        let keys = keys.into_iter().map(|key| (key.id(), key));
        Self {
            keys: keys.collect(),
            head: Head::default(),
            reached: BTreeMap::new(),
        }
    }

    /// The last receipt that was good. Compare it with a head that is kept elsewhere to find a chain that was cut.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Checks the next line.
    pub fn next(&mut self, line: &str) -> Result<Receipt, BadReceipt> {
        let entry = self.head.seq + 1;
        self.check(line).map_err(|flaw| BadReceipt { entry, flaw })
    }

    fn check(&mut self, line: &str) -> Result<Receipt, Flaw> {
        let unreadable = |error: serde_json::Error| Flaw::Unreadable(error.to_string());
        let signed: SignedReceipt = serde_json::from_str(line).map_err(unreadable)?;
        let version = Receipt::version_of(&signed.receipt).map_err(unreadable)?;
        if !(1..=RECEIPT_VERSION).contains(&version) {
            return Err(Flaw::Version(version));
        }
        let receipt = Receipt::read(&signed.receipt).map_err(unreadable)?;
        let mut head = self.head;
        let next = Link {
            seq: receipt.seq,
            previous: receipt.previous,
            bytes: signed.receipt.as_bytes(),
            hash: signed.hash,
        };
        head.follow(RECEIPT_DOMAIN, &next)
            .map_err(|Damaged { what, .. }| Flaw::Chain(what))?;
        let key = self.keys.get(&receipt.key);
        let key = key.ok_or_else(|| Flaw::Key(receipt.key.clone()))?;
        if !key.verifies(&signed.hash.0, &signed.signature) {
            return Err(Flaw::Signature);
        }
        if !receipt.is_consistent() {
            return Err(Flaw::Evidence(receipt.level));
        }
        // A whole restore point joins nothing, and any of them may be proven or tried out at any time, also an old one.
        let whole = receipt.point.is_some() && receipt.range.after.is_none();
        if receipt.level <= Level::ReadBack && !whole {
            self.follows(&receipt)?;
            let reached = (receipt.range.to.clone(), receipt.epoch);
            self.reached.insert(chain_of(&receipt), reached);
        }
        self.head = head;
        Ok(receipt)
    }

    /// Ranges join without a gap, unless one starts anew with everything; epochs never go back (I12).
    fn follows(&self, receipt: &Receipt) -> Result<(), Flaw> {
        let reached = self.reached.get(&chain_of(receipt));
        if let Some((_, before)) = reached
            && receipt.epoch < *before
        {
            return Err(Flaw::Epoch {
                before: *before,
                found: receipt.epoch,
            });
        }
        let expected = reached.map(|(to, _)| to.clone());
        if receipt.range.after.is_some() && receipt.range.after != expected {
            return Err(Flaw::Gap {
                expected,
                found: receipt.range.after.clone(),
            });
        }
        Ok(())
    }
}

/// Ranges of one store at one destination join at each level by themselves: what is listed is read back later.
fn chain_of(receipt: &Receipt) -> (String, String, Level) {
    let Receipt {
        store,
        destination,
        level,
        ..
    } = receipt;
    (store.clone(), destination.clone(), *level)
}
