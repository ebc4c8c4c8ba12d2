//! What a backup is asked for, and what it answers.
//! Must not know how it is made.

use std::path::PathBuf;

use crate::{Id, Snapshot, Stored};

/// Which earlier snapshot tells what did not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parent {
    /// The newest of the same host and paths.
    #[default]
    Newest,
    /// This one.
    Exactly(Id),
    /// None: everything is read again.
    Nothing,
}

/// What a backup is asked for.
#[derive(Debug, Clone, Default)]
pub struct BackupOptions {
    /// Words to find the snapshot by.
    pub tags: Vec<String>,
    /// The host to name in it; this machine if there is none.
    pub hostname: Option<String>,
    /// What to compare with.
    pub parent: Parent,
    /// How many threads read, hash and compress; as many as there are processors if there is no number.
    pub threads: Option<usize>,
}

/// An entry that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its path in the snapshot.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// What a backup made.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The snapshot's id.
    pub id: Id,
    /// The snapshot.
    pub snapshot: Snapshot,
    /// What could not be read, sorted by path. If there is anything, the snapshot is marked as incomplete.
    pub problems: Vec<Problem>,
    /// Entries in the snapshot, folders included.
    pub entries: u64,
    /// Bytes of all files in the snapshot.
    pub bytes: u64,
    /// Of the entries, those that were taken from the parent unread.
    pub unchanged: u64,
    /// Files that changed while they were read. Each is in the snapshot as it was read, and is read again next time.
    pub changing: u64,
    /// What was added to the repository.
    pub stored: Stored,
}
