//! Why something could not be done about backups.
//! Must not know who wanted it.

use mainstay_backup::BackupError;
use mainstay_driver::Cause;
use mainstay_model::{ComponentId, RepositoryId};

use crate::{client::ClientError, receipts::LedgerError, state::StateError};

/// Why something could not be done about backups.
#[derive(Debug, thiserror::Error)]
pub enum BackupsError {
    /// The plan file has no such repository.
    #[error("the plan file declares no repository {0}")]
    NoRepository(RepositoryId),
    /// No site that has the store answers.
    #[error("no agent of a site that has {store} can do it: {why}")]
    NoAgent {
        /// The store.
        store: ComponentId,
        /// What was tried.
        why: String,
    },
    /// The repository cannot be used.
    #[error(transparent)]
    Repository(#[from] BackupError),
    /// What an agent was asked to do failed.
    #[error("{}", .0.what)]
    Work(Cause),
    /// An agent's answer makes no sense.
    #[error("{0}")]
    Answer(String),
    /// The agent cannot be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A receipt could not be issued.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// What is remembered of the repository's packs could not be written.
    #[error("remember what was read back: {0}")]
    Memory(std::io::Error),
}

impl BackupsError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::NoRepository(_) => "repository-unknown",
            Self::NoAgent { .. } => "no-agent",
            Self::Repository(error) => error.code(),
            Self::Work(cause) => &cause.code,
            Self::Answer(_) => "agent-answer",
            Self::Client(error) => error.code(),
            Self::Ledger(error) => error.code(),
            Self::State(error) => error.code(),
            Self::Memory(_) => "scrub-memory",
        }
    }
}
