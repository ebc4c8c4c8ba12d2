//! What a restore is asked for, and what it answers.
//! Must not know how it is done.

use std::path::PathBuf;

use crate::Problem;

/// What happens to an entry that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// It is left alone, and listed as not restored.
    #[default]
    Keep,
    /// What is right in it stays, the rest is mended. So a restore that was cut short goes on where it was, and one
    /// that is done is verified.
    Mend,
}

/// Who owns what is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owners {
    /// The same numbers as in the snapshot, where this user may give files away; otherwise this user.
    #[default]
    AsInSnapshot,
    /// This user.
    Mine,
}

/// What a restore is asked for.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// What in the snapshot is restored: the content of a folder, or one file; everything if there is none.
    pub path: Option<PathBuf>,
    /// What happens to what is there.
    pub existing: Existing,
    /// Who owns it afterwards.
    pub owners: Owners,
    /// How many threads fetch and write; as many as there are processors if there is no number.
    pub threads: Option<usize>,
}

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Entries that are there now as they are in the snapshot, folders included.
    pub entries: u64,
    /// Bytes of the files among them.
    pub bytes: u64,
    /// Of these bytes, those that were there already and were found right.
    pub kept: u64,
    /// Every entry that is not there as it should be, sorted by path.
    pub missing: Vec<Problem>,
}
