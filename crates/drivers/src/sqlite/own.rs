//! Changes who may write: seal, unseal, promote, demote, initialise. Each is one transaction on condition of the
//! stored epoch, so that a late or repeated one is refused or changes nothing (I2, I3).
//! Must not know where data comes from.

use std::{path::Path, time::Duration};

use mainstay_driver::ActError;
use mainstay_model::{Access, Epoch, Output, Position};
use rusqlite::{Connection, TransactionBehavior};

use super::{
    mark,
    observe::{Digests, Writes, local},
    open::{Held, to_change, to_create},
    record::{Journal, Promoted, Record},
};
use crate::shared::{Asker, Locked, Marked, Opening, State, hindered, refused, same, unknown};

/// How long a change waits for another change of the same store.
const PATIENCE: Duration = Duration::from_secs(10);

/// A database at this site, and what its changes need to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ours<'a> {
    pub(super) path: &'a Path,
    /// Taken by everything that changes the mark or replaces the file.
    pub(super) lock: &'a Path,
    pub(super) asker: Asker<'a>,
    pub(super) digests: &'a Digests,
}

impl Ours<'_> {
    pub(super) fn lock(&self) -> Result<Locked, ActError> {
        Locked::wait(self.lock, PATIENCE)
            .map_err(|error| hindered("store-busy", format!("lock the store: {error}")))
    }

    fn open(&self) -> Result<Held, ActError> {
        match std::fs::metadata(self.path) {
            Ok(file) if file.len() > 0 => to_change(self.path).map_err(|e| self.not_done(&e)),
            Ok(_) => Err(self.empty()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(self.empty()),
            Err(error) => Err(hindered(
                "store-unreadable",
                format!("open {}: {error}", self.path.display()),
            )),
        }
    }

    fn empty(&self) -> ActError {
        refused(
            "store-empty",
            format!("there is no database at {}", self.path.display()),
        )
    }

    /// A failure before the commit: the transaction is rolled back, nothing changed.
    pub(super) fn not_done(&self, error: &rusqlite::Error) -> ActError {
        hindered(
            "store-unreadable",
            format!("change {}: {error}", self.path.display()),
        )
    }

    fn output(&self, digest: String, epoch: Epoch) -> Output {
        Output {
            position: Some(Position::Digest(digest)),
            values: [
                ("epoch".to_owned(), epoch.to_string()),
                ("database".to_owned(), self.path.display().to_string()),
            ]
            .into(),
        }
    }
}

/// The mark, which every change but an initialisation needs.
fn marked(db: &Connection, ours: &Ours<'_>) -> Result<(Marked, Access), ActError> {
    let (marked, access) = local(db).map_err(|error| ours.not_done(&error))?;
    Ok((ours.asker.marked(marked)?, access))
}

/// Runs a change in one immediate transaction. Only a commit that fails leaves the outcome unknown.
fn change<T>(
    held: &mut Held,
    ours: &Ours<'_>,
    work: impl FnOnce(&Connection) -> Result<T, ActError>,
) -> Result<T, ActError> {
    let transaction = held
        .db
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| ours.not_done(&error))?;
    let value = work(&transaction)?;
    transaction
        .commit()
        .map_err(|error| unknown("store-unreadable", format!("commit: {error}")))?;
    Ok(value)
}

fn digest_after(held: &Held, ours: &Ours<'_>) -> Result<String, ActError> {
    let digest = ours.digests.of(&held.db, ours.path, Writes::Refused);
    digest.map_err(ActError::Unknown)
}

/// Refuses application writes from the commit on; the mark goes to at least this epoch.
pub(super) fn seal(ours: &Ours<'_>, epoch: Epoch) -> Result<Output, ActError> {
    let _lock = ours.lock()?;
    let mut held = ours.open()?;
    change(&mut held, ours, |db| {
        let (old, _) = marked(db, ours)?;
        let new = ours.asker.seal(&old, epoch)?;
        write_and_seal(db, &new).map_err(|error| ours.not_done(&error))
    })?;
    let digest = digest_after(&held, ours)?;
    Ok(ours.output(digest, epoch))
}

fn write_and_seal(db: &Connection, new: &Marked) -> rusqlite::Result<()> {
    // Rewriting an equal mark would change the file, and with it the proof that a copy is the proven one.
    let old = mark::read(db)?;
    if !old.is_some_and(|old| same(&old, new)) {
        mark::write(db, new)?;
    }
    mark::seal(db)
}

/// Takes writes at a new epoch: a copy that is promoted, or a sealed source in a retreat.
pub(super) fn open_for_writes(ours: &Ours<'_>, epoch: Epoch) -> Result<Output, ActError> {
    let _lock = ours.lock()?;
    let mut held = ours.open()?;
    let (old, access) = marked(&held.db, ours)?;
    if ours.asker.open(&old, access, epoch)? == Opening::Already {
        let values = ours.output(String::new(), epoch).values;
        return Ok(Output {
            position: None,
            values,
        });
    }
    let digest = remember_content(&held, ours, epoch)?;
    change(&mut held, ours, |db| {
        let (old, access) = marked(db, ours)?;
        let Opening::New(new) = ours.asker.open(&old, access, epoch)? else {
            return Ok(());
        };
        mark::unseal(db)
            .and_then(|()| mark::write(db, &new))
            .map_err(|error| ours.not_done(&error))
    })?;
    Ok(ours.output(digest, epoch))
}

/// Records what the content is when writes are enabled, and gives a copy its source's journal mode back.
fn remember_content(held: &Held, ours: &Ours<'_>, epoch: Epoch) -> Result<String, ActError> {
    let mut record = Record::read(ours.path);
    let proven = record.proven(ours.path).cloned();
    let digest = match &proven {
        Some(proven) => proven.digest.clone(),
        None => ours
            .digests
            .of(&held.db, ours.path, Writes::Refused)
            .map_err(ActError::NotDone)?,
    };
    record.promoted = Some(Promoted {
        epoch,
        digest: digest.clone(),
    });
    record
        .write(ours.path)
        .map_err(|error| hindered("store-unreadable", format!("write the record: {error}")))?;
    if proven.is_some_and(|proven| proven.journal == Journal::Wal) {
        let sql = "PRAGMA journal_mode = WAL";
        let mode: rusqlite::Result<String> = held.db.query_row(sql, [], |row| row.get(0));
        mode.map_err(|error| ours.not_done(&error))?;
    }
    Ok(digest)
}

/// Voids a promote: refuses writes at this epoch. A store that was not written to is a copy again.
pub(super) fn demote(ours: &Ours<'_>, epoch: Epoch) -> Result<Output, ActError> {
    let _lock = ours.lock()?;
    let mut held = ours.open()?;
    change(&mut held, ours, |db| {
        let (old, access) = marked(db, ours)?;
        let new = ours.asker.demote(&old, access, epoch)?;
        write_and_seal(db, &new).map_err(|error| ours.not_done(&error))
    })?;
    let digest = digest_after(&held, ours)?;
    let untouched = Record::read(ours.path)
        .promoted
        .is_some_and(|promoted| promoted.digest == digest);
    if untouched {
        change(&mut held, ours, |db| {
            let (old, _) = marked(db, ours)?;
            let new = ours.asker.mark(epoch, &old.mark.owner, State::Replica);
            write_and_seal(db, &new).map_err(|error| ours.not_done(&error))
        })
        .map_err(after_the_seal)?;
    }
    Ok(ours.output(digest, epoch))
}

/// A second change failed after the first was committed: the whole is no longer "not done".
fn after_the_seal(error: ActError) -> ActError {
    match error {
        ActError::NotDone(cause) => ActError::Unknown(cause),
        other => other,
    }
}

/// Whether the database is there and nobody ever owned it.
pub(super) fn is_unmarked(ours: &Ours<'_>) -> Result<bool, ActError> {
    let held = ours.open()?;
    let (found, _) = local(&held.db).map_err(|error| ours.not_done(&error))?;
    Ok(found.is_none())
}

/// Gives a store that nobody owns its first mark: this site, at this epoch. An empty store becomes a database.
pub(super) fn initialise(ours: &Ours<'_>, first: Epoch) -> Result<Output, ActError> {
    let _lock = ours.lock()?;
    if let Some(folder) = ours.path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| hindered("store-unreadable", format!("create its folder: {error}")))?;
    }
    let mut held = to_create(ours.path).map_err(|error| ours.not_done(&error))?;
    let epoch = change(&mut held, ours, |db| {
        let (old, _) = local(db).map_err(|error| ours.not_done(&error))?;
        let new = ours.asker.initialise(old.clone(), first)?;
        if old.is_none() {
            mark::write(db, &new).map_err(|error| ours.not_done(&error))?;
        }
        Ok(new.mark.epoch)
    })?;
    Ok(Output {
        position: None,
        values: [("epoch".to_owned(), epoch.to_string())].into(),
    })
}
