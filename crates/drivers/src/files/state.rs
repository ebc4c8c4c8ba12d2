//! What is kept at the root of a tree, in a folder that is no part of the data: the mark, the record of what was proven,
//! and the lock under which both change.
//! Must not know the rules of ownership.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use mainstay_model::{Epoch, Mark, Position, RecoveryPoint, RunId, SiteId, Timestamp};
use mainstay_storage::Tree;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::shared::{Marked, State, write_durably};

/// The folder's name.
pub(super) const FOLDER: &str = ".mainstay";
/// The version of both stored forms.
const VERSION: u32 = 1;

/// `mark.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredMark {
    version: u32,
    epoch: Epoch,
    owner: SiteId,
    run: Option<RunId>,
    state: State,
}

/// `record.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// For a copy: what it has proven.
    pub(super) copied: Option<Copied>,
    /// The content when writes were enabled here.
    pub(super) promoted: Option<Content>,
    /// The content when writes were refused here.
    pub(super) sealed: Option<Content>,
}

/// What a copy has proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Copied {
    pub(super) source: SiteId,
    pub(super) taken_at: Timestamp,
    pub(super) digest: String,
}

/// A content and the epoch that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) epoch: Epoch,
    pub(super) digest: String,
}

impl Copied {
    /// As a fact.
    pub(super) fn point(&self) -> RecoveryPoint {
        RecoveryPoint {
            source: self.source.clone(),
            taken_at: self.taken_at,
            position: Position::Digest(self.digest.clone()),
        }
    }
}

/// The data below a root, without what is Mainstay's own.
pub(super) fn data(root: &Path) -> io::Result<Tree> {
    Ok(Tree::open(root)?.without(FOLDER))
}

/// The file that is locked while the mark or the data of a copy changes.
pub(super) fn lock(root: &Path) -> PathBuf {
    root.join(FOLDER).join("lock")
}

/// The file that is locked while a copy runs.
pub(super) fn copy_lock(root: &Path) -> PathBuf {
    root.join(FOLDER).join("copy.lock")
}

/// Reads the mark; none where there is none. One that makes no sense is an error, never none.
pub(super) fn read_mark(root: &Path) -> io::Result<Option<Marked>> {
    let stored: Option<StoredMark> = read(&root.join(FOLDER).join("mark.json"))?;
    let Some(stored) = stored else {
        return Ok(None);
    };
    known(stored.version)?;
    Ok(Some(Marked {
        mark: Mark {
            epoch: stored.epoch,
            owner: stored.owner,
            run: stored.run,
        },
        state: stored.state,
    }))
}

/// Replaces the mark. The caller has the lock.
pub(super) fn write_mark(root: &Path, marked: &Marked) -> io::Result<()> {
    let stored = StoredMark {
        version: VERSION,
        epoch: marked.mark.epoch,
        owner: marked.mark.owner.clone(),
        run: marked.mark.run.clone(),
        state: marked.state,
    };
    let bytes = serde_json::to_vec(&stored)?;
    write_durably(&root.join(FOLDER).join("mark.json"), &bytes)
}

impl Record {
    /// Reads the record; an empty one where there is none.
    pub(super) fn read(root: &Path) -> io::Result<Self> {
        let stored: Option<Self> = read(&root.join(FOLDER).join("record.json"))?;
        match stored {
            Some(record) => known(record.version).map(|()| record),
            None => Ok(Self {
                version: VERSION,
                copied: None,
                promoted: None,
                sealed: None,
            }),
        }
    }

    /// Stores it durably. The caller has the lock.
    pub(super) fn write(&self, root: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self)?;
        write_durably(&root.join(FOLDER).join("record.json"), &bytes)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn known(version: u32) -> io::Result<()> {
    if version == VERSION {
        return Ok(());
    }
    let what = format!("it was stored by another version ({version})");
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}
