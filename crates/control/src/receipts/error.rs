//! Why a receipt could not be issued or read.
//! Must not know who wanted it.

use std::path::PathBuf;

use crate::state::StateError;

/// Why a receipt could not be issued or read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A file of the ledger cannot be used.
    #[error("failed to use {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The key file holds no key.
    #[error("{0} holds no signing key: 64 hexadecimal digits")]
    Key(PathBuf),
    /// The last line of the chain is no receipt.
    #[error("the last receipt of {path} cannot be read: {why}")]
    Damaged {
        /// The chain.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Receipts that were issued are gone from the end of the chain (I30).
    #[error("{path} ends at receipt {found}, and receipt {issued} was issued")]
    Cut {
        /// The chain.
        path: PathBuf,
        /// The last receipt that is there.
        found: u64,
        /// The last receipt that was issued.
        issued: u64,
    },
    /// The receipt cannot be written down.
    #[error("failed to write the receipt: {0}")]
    Text(#[from] serde_json::Error),
    /// The state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

impl LedgerError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "receipts-unusable",
            Self::Key(_) => "receipts-key-unusable",
            Self::Damaged { .. } => "receipt-damaged",
            Self::Cut { .. } => "receipts-cut",
            Self::Text(_) => "receipt-not-storable",
            Self::State(error) => error.code(),
        }
    }
}
