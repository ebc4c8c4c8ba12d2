//! Changes who may write: seal, open, demote, initialise. Under the tree's lock, on condition of the stored epoch.
//! Must not know where data comes from.

use std::{io, path::Path, thread, time::Duration};

use mainstay_driver::ActError;
use mainstay_model::{Access, Epoch, Output, Position};
use mainstay_storage::TreeError;

use super::{
    observe::{Memory, content, local},
    state::{Content, FOLDER, Record, lock, write_mark},
};
use crate::shared::{Asker, Locked, Marked, Opening, State, hindered, refused, same, unknown};

/// How long a change waits for another change of the same store.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between the two looks that a seal is made of. File times are exact to a few milliseconds.
const PAUSE: Duration = Duration::from_millis(20);

/// A tree at this site, and what its changes need to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ours<'a> {
    pub(super) root: &'a Path,
    pub(super) asker: Asker<'a>,
    pub(super) memory: &'a Memory,
}

impl Ours<'_> {
    pub(super) fn lock(&self) -> Result<Locked, ActError> {
        Locked::wait(&lock(self.root), PATIENCE)
            .map_err(|error| hindered("store-busy", format!("lock the store: {error}")))
    }

    /// A failure before anything was changed.
    pub(super) fn not_done(&self, error: &dyn std::fmt::Display) -> ActError {
        hindered(
            "store-unreadable",
            format!("change {}: {error}", self.root.display()),
        )
    }

    /// The lock, and the mark under it. Never creates anything where there is no store.
    fn marked(&self) -> Result<(Locked, Marked, Access), ActError> {
        if !self.root.join(FOLDER).is_dir() {
            let what = format!("there is no marked store at {}", self.root.display());
            return Err(if self.root.exists() {
                refused("store-unmarked", what)
            } else {
                refused("store-empty", what)
            });
        }
        let locked = self.lock()?;
        let (marked, access) = local(self.root).map_err(|error| self.not_done(&error))?;
        Ok((locked, self.asker.marked(marked)?, access))
    }

    pub(super) fn record(&self) -> Result<Record, ActError> {
        Record::read(self.root).map_err(|error| self.not_done(&error))
    }

    fn store(&self, old: &Marked, new: &Marked) -> Result<(), ActError> {
        if same(old, new) {
            return Ok(());
        }
        write_mark(self.root, new).map_err(|error| after(&error))
    }

    fn digest(&self) -> Result<String, TreeError> {
        content(self.root, self.memory).map(|content| content.digest())
    }
}

/// A write that failed may have happened.
fn after(error: &io::Error) -> ActError {
    unknown("store-unreadable", format!("write the mark: {error}"))
}

fn output(digest: Option<String>, epoch: Epoch) -> Output {
    Output {
        position: digest.map(Position::Digest),
        values: [("epoch".to_owned(), epoch.to_string())].into(),
    }
}

/// From here on no write is expected; that none comes is seen by looking twice, and again whenever it is observed.
pub(super) fn seal(ours: &Ours<'_>, epoch: Epoch) -> Result<Output, ActError> {
    let (_lock, old, _) = ours.marked()?;
    let new = ours.asker.seal(&old, epoch)?;
    ours.store(&old, &new)?;
    let digest = quiet(ours)?;
    if new.state == State::Sealed {
        remember_sealed(ours, epoch, &digest)?;
    }
    Ok(output(Some(digest), epoch))
}

/// The content, if it is the same at two looks.
fn quiet(ours: &Ours<'_>) -> Result<String, ActError> {
    let look = || {
        ours.digest()
            .map_err(|error| unknown("store-unreadable", error.to_string()))
    };
    let first = look()?;
    thread::sleep(PAUSE);
    if look()? == first {
        return Ok(first);
    }
    let what = format!("somebody still writes to {}", ours.root.display());
    Err(unknown("store-still-written", what))
}

fn remember_sealed(ours: &Ours<'_>, epoch: Epoch, digest: &str) -> Result<(), ActError> {
    let mut record = ours.record()?;
    record.sealed = Some(Content {
        epoch,
        digest: digest.to_owned(),
    });
    record.write(ours.root).map_err(|error| after(&error))
}

/// Takes writes at a new epoch.
pub(super) fn open_for_writes(ours: &Ours<'_>, epoch: Epoch) -> Result<Output, ActError> {
    let (_lock, old, access) = ours.marked()?;
    let Opening::New(new) = ours.asker.open(&old, access, epoch)? else {
        return Ok(output(None, epoch));
    };
    let digest = ours.digest().map_err(|error| ours.not_done(&error))?;
    let mut record = ours.record()?;
    record.promoted = Some(Content {
        epoch,
        digest: digest.clone(),
    });
    // First the record: without the mark it says nothing.
    record
        .write(ours.root)
        .map_err(|error| ours.not_done(&error))?;
    ours.store(&old, &new)?;
    Ok(output(Some(digest), epoch))
}

/// Voids a promote. A store that was not written to is a copy again.
pub(super) fn demote(ours: &Ours<'_>, epoch: Epoch) -> Result<Output, ActError> {
    let (_lock, old, access) = ours.marked()?;
    let new = ours.asker.demote(&old, access, epoch)?;
    ours.store(&old, &new)?;
    let digest = quiet(ours)?;
    let promoted = ours.record()?.promoted;
    if promoted.is_some_and(|promoted| promoted.digest == digest) {
        let copy = ours.asker.mark(epoch, &old.mark.owner, State::Replica);
        ours.store(&new, &copy)?;
    } else if new.state == State::Sealed {
        remember_sealed(ours, epoch, &digest)?;
    }
    Ok(output(Some(digest), epoch))
}

/// Whether the tree was never owned by anybody.
pub(super) fn is_unmarked(ours: &Ours<'_>) -> Result<bool, ActError> {
    let (found, _) = local(ours.root).map_err(|error| ours.not_done(&error))?;
    Ok(found.is_none())
}

/// Gives a tree that nobody owns its first mark, at this epoch.
pub(super) fn initialise(ours: &Ours<'_>, first: Epoch) -> Result<Output, ActError> {
    let _lock = ours.lock()?;
    let (old, _) = local(ours.root).map_err(|error| ours.not_done(&error))?;
    let new = ours.asker.initialise(old.clone(), first)?;
    if old.is_none() {
        write_mark(ours.root, &new).map_err(|error| after(&error))?;
    }
    Ok(output(None, new.mark.epoch))
}
