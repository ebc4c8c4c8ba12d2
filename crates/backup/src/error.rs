//! What can go wrong with a repository, a backup or a restore. Each has a stable code.
//! Must not know how it is shown.

use std::{io, path::PathBuf};

use mainstay_storage::{ObjectName, StorageError};

use crate::{BlobKind, Id};

/// Why something could not be done with a repository.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// What the repository is kept in failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is no repository at this place.
    #[error("open the repository: there is none here (no file called config)")]
    NoRepository,
    /// There is one already.
    #[error("create a repository: there is one here already")]
    RepositoryExists,
    /// The password opens none of the keys.
    #[error("open the repository: the password fits none of its {keys} keys")]
    WrongPassword {
        /// How many keys were tried.
        keys: usize,
    },
    /// A key asks for more memory or time than any key that restic or Mainstay writes.
    #[error("open key {key}: {what}")]
    KeyRefused {
        /// Which key.
        key: Id,
        /// What it asks for.
        what: String,
    },
    /// The last key cannot be removed, nor the one that the repository was opened with.
    #[error("remove key {key}: {why}")]
    KeyNeeded {
        /// Which key.
        key: Id,
        /// Why it must stay.
        why: &'static str,
    },
    /// The repository is of a version that this program does not know.
    #[error("open the repository: its version is {version}; 1 and 2 are known")]
    Version {
        /// The version it names.
        version: u32,
    },
    /// A file of the repository is not what it should be.
    #[error("read {name}: it is damaged: {how}")]
    Damaged {
        /// Which file.
        name: ObjectName,
        /// How it shows.
        how: String,
    },
    /// The plan file does not say how to open it, or what it refers to is not there.
    #[error("open the repository at {url}: {why}")]
    Declared {
        /// Where it is.
        url: String,
        /// What is missing. No secrets.
        why: String,
    },
    /// Something that is referred to is in no index.
    #[error("read {kind} {id}: no index of the repository lists it")]
    Missing {
        /// What it should be.
        kind: BlobKind,
        /// Which one.
        id: Id,
    },
    /// A blob was read and is not what its name says, or cannot be understood.
    #[error("read {kind} {id}: {how}")]
    BadBlob {
        /// What it should be.
        kind: BlobKind,
        /// Which one.
        id: Id,
        /// How it shows.
        how: String,
    },
    /// Somebody else holds a lock that excludes this work.
    #[error("lock the repository: {holder} holds a lock on it since {since}")]
    Locked {
        /// Process, user and host as the lock names them.
        holder: String,
        /// When the lock was written last.
        since: String,
    },
    /// The lock could not be refreshed in time, so that others may take it for abandoned.
    #[error("go on: the lock on the repository was lost: {why}")]
    LockLost {
        /// What happened.
        why: String,
    },
    /// No snapshot has this id.
    #[error("find the snapshot {wanted}: {why}")]
    NoSnapshot {
        /// What was asked for.
        wanted: String,
        /// None, or too many.
        why: &'static str,
    },
    /// The source as a whole cannot be read.
    #[error("read the source {}: {source}", path.display())]
    Source {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A pattern of what to leave out or take in cannot be understood.
    #[error("read the pattern {pattern:?}: {why}")]
    Pattern {
        /// Which one.
        pattern: String,
        /// Why not.
        why: String,
    },
    /// A stream ended, but whoever wrote it did not say that it is whole.
    #[error("take the stream {name}: {why}; no snapshot was written")]
    NotWhole {
        /// What the stream is called.
        name: String,
        /// What its writer said.
        why: String,
    },
    /// The place to restore to cannot be used.
    #[error("restore to {}: {source}", path.display())]
    Target {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing in the snapshot has this path.
    #[error("find {} in the snapshot: it is not there", path.display())]
    NoPath {
        /// Which path.
        path: PathBuf,
    },
    /// Something that should be deleted may still be needed, so nothing is.
    #[error("prune the repository: {why}; nothing was deleted")]
    PruneRefused {
        /// What was found.
        why: String,
    },
    /// What should be another copy of a repository is something else.
    #[error("use the other container: {why}")]
    NotACopy {
        /// What it is.
        why: &'static str,
    },
    /// The repository is not as it was when the plan to mend it was made.
    #[error("mend the repository: {why}; nothing was changed")]
    MendRefused {
        /// What was found.
        why: &'static str,
    },
    /// The caller asked to stop.
    #[error("go on: the work was cancelled")]
    Cancelled,
}

impl BackupError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Storage(error) => error.code(),
            Self::NoRepository => "no-repository",
            Self::RepositoryExists => "repository-exists",
            Self::WrongPassword { .. } => "wrong-password",
            Self::KeyRefused { .. } => "key-refused",
            Self::KeyNeeded { .. } => "key-needed",
            Self::Version { .. } => "repository-version",
            Self::Damaged { .. } => "repository-damaged",
            Self::Declared { .. } => "repository-declared",
            Self::Missing { .. } => "blob-missing",
            Self::BadBlob { .. } => "blob-damaged",
            Self::Locked { .. } => "repository-locked",
            Self::LockLost { .. } => "lock-lost",
            Self::NoSnapshot { .. } => "no-snapshot",
            Self::Source { .. } => "source-unreadable",
            Self::Pattern { .. } => "backup-pattern",
            Self::NotWhole { .. } => "stream-not-whole",
            Self::Target { .. } => "restore-target",
            Self::NoPath { .. } => "no-such-path",
            Self::PruneRefused { .. } => "prune-refused",
            Self::NotACopy { .. } => "repository-not-a-copy",
            Self::MendRefused { .. } => "mend-refused",
            Self::Cancelled => "backup-cancelled",
        }
    }
}
