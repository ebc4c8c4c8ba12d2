//! Why the state could not be used.
//! Must not know what it was needed for.

use mainstay_engine::Damage;
use mainstay_model::RunId;

use crate::db::DbError;

/// Why the state could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A run's journal is not what was written (I18).
    #[error("the journal of run {run} is damaged: {damage}")]
    Damaged {
        /// The run.
        run: RunId,
        /// What was found.
        damage: Damage,
    },
    /// A run's journal ends elsewhere than where it was left (I18).
    #[error("the journal of run {run} ends at entry {found}, and entry {head} was confirmed")]
    Cut {
        /// The run.
        run: RunId,
        /// The last entry that is there.
        found: u64,
        /// The last entry that was confirmed.
        head: u64,
    },
    /// No such run.
    #[error("there is no run {0}")]
    NoRun(RunId),
    /// Something stored cannot be read.
    #[error("failed to read {what}: {why}")]
    Unreadable {
        /// What was to be read.
        what: String,
        /// Why it cannot be.
        why: String,
    },
    /// Something cannot be stored.
    #[error("failed to store {what}: {why}")]
    NotStorable {
        /// What was to be stored.
        what: String,
        /// Why it cannot be.
        why: String,
    },
}

impl StateError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Db(error) => error.code(),
            Self::Damaged { damage, .. } => damage.code(),
            Self::Cut { .. } => "journal-cut",
            Self::NoRun(_) => "no-run",
            Self::Unreadable { .. } => "state-unreadable",
            Self::NotStorable { .. } => "state-not-storable",
        }
    }
}
