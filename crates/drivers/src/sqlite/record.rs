//! What a copy has proven and what was promoted, kept beside the database (`NAME.mainstay.json`), never in it:
//! a copy is replaced by rename and never written to.
//! Must not know SQLite.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use mainstay_model::{Epoch, Position, RecoveryPoint, SiteId, Timestamp};
use serde::{Deserialize, Serialize};

use super::open::{beside, nanoseconds};
use crate::shared::write_durably;

/// The version of the stored form.
const VERSION: u32 = 1;

/// The whole record. An unreadable one counts as none: a recovery point that cannot be proven is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// The copies of which one is in place: before a rename the old and the new one, so that either is known.
    copies: Vec<Proven>,
    /// The last promote at this site.
    pub(super) promoted: Option<Promoted>,
}

/// A copy and what was proven of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proven {
    pub(super) file: FileId,
    pub(super) source: SiteId,
    pub(super) taken_at: Timestamp,
    pub(super) digest: String,
    /// How the source keeps its journal; a promote restores it.
    pub(super) journal: Journal,
}

/// How a database keeps its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Journal {
    Wal,
    Rollback,
}

/// The content when writes were enabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Promoted {
    pub(super) epoch: Epoch,
    pub(super) digest: String,
}

/// Which file a copy is. A rename keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileId {
    inode: u64,
    bytes: u64,
    changed_ns: i64,
}

impl FileId {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = fs::metadata(path)?;
        Ok(Self {
            inode: file.ino(),
            bytes: file.len(),
            changed_ns: nanoseconds(&file),
        })
    }
}

impl Proven {
    /// As a fact.
    pub(super) fn point(&self) -> RecoveryPoint {
        RecoveryPoint {
            source: self.source.clone(),
            taken_at: self.taken_at,
            position: Position::Digest(self.digest.clone()),
        }
    }
}

impl Record {
    /// The record beside a database; an empty one where there is none or it cannot be read.
    pub(super) fn read(database: &Path) -> Self {
        fs::read(beside(database, SUFFIX))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok())
            .filter(|record| record.version == VERSION)
            .unwrap_or(Self {
                version: VERSION,
                copies: Vec::new(),
                promoted: None,
            })
    }

    /// What is proven of the file that is in place now.
    pub(super) fn proven(&self, database: &Path) -> Option<&Proven> {
        let file = FileId::of(database).ok()?;
        self.copies.iter().find(|copy| copy.file == file)
    }

    /// Adds a copy that is about to be put in place, or a later look at the one that is.
    pub(super) fn with_copy(mut self, database: &Path, copy: Proven) -> Self {
        let old = self.proven(database).cloned();
        self.copies = old
            .into_iter()
            .filter(|old| old.file != copy.file)
            .collect();
        self.copies.push(copy);
        self
    }

    /// Stores it durably.
    pub(super) fn write(&self, database: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self)?;
        write_durably(&beside(database, SUFFIX), &bytes)
    }
}

const SUFFIX: &str = ".mainstay.json";
