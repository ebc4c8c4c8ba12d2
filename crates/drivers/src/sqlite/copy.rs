//! Makes this site's database a verified copy of another site's: online backup into a file beside it, checked,
//! compared, marked as a replica, then renamed into place. A crash leaves the old or the new copy, never a mixture.
//! Must not know how either side is used.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use mainstay_driver::ActError;
use mainstay_model::{Access, Output, Position, SiteId, Timestamp};
use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};

use super::{
    digest::digest,
    mark,
    observe::{Writes, local},
    open::{beside, in_wal_mode, to_create, to_look},
    own::Ours,
    record::{FileId, Journal, Proven, Record},
};
use crate::shared::{Locked, Marked, Replaces, State, hindered, now, owner_of, sync_folder};

/// The other side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) site: &'a SiteId,
    pub(super) path: &'a Path,
}

/// A read transaction on the source, and what was found in it.
struct Snapshot {
    db: Connection,
    marked: Marked,
    access: Access,
    taken_at: Timestamp,
    /// Known if it could be read without keeping the application from writing.
    digest: Option<String>,
    journal: Journal,
}

/// Copies, verifies and puts in place. An unchanged source only renews the recovery point.
pub(super) fn copy(
    ours: &Ours<'_>,
    source: Source<'_>,
    replaces: Replaces,
) -> Result<Output, ActError> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        hindered("copy-failed", format!("{what}: {error}"))
    };
    let alone = beside(ours.lock, ".copy");
    let _alone = Locked::attempt(&alone)
        .map_err(|error| failed("lock the copy", &error))?
        .ok_or_else(|| hindered("copy-running", "another copy of this store is running"))?;
    check_destination(ours, replaces, None)?;
    let snapshot = snapshot(ours, source)?;
    check_destination(ours, replaces, Some(&snapshot.marked))?;
    if let Some(output) = renew(ours, source, &snapshot)? {
        return Ok(output);
    }
    let folder = ours.path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder).map_err(|error| failed("create the folder", &error))?;
    let temporary = temporary(ours.path);
    remove_database(&temporary).map_err(|error| failed("remove an old temporary", &error))?;
    let copied =
        write_copy(&snapshot, &temporary).map_err(|error| failed("copy the database", &error))?;
    if snapshot
        .digest
        .as_ref()
        .is_some_and(|source| *source != copied)
    {
        let _ = remove_database(&temporary);
        return Err(hindered("copy-differs", "the copy differs from its source"));
    }
    let taken = Taken {
        source: source.site.clone(),
        at: snapshot.taken_at,
        digest: copied,
        journal: snapshot.journal,
    };
    let marked = snapshot.marked.clone();
    drop(snapshot);
    install(ours, replaces, &marked, &temporary, taken)
}

/// What is recorded of a copy.
struct Taken {
    source: SiteId,
    at: Timestamp,
    digest: String,
    journal: Journal,
}

impl Taken {
    fn output(&self) -> Output {
        Output {
            position: Some(Position::Digest(self.digest.clone())),
            values: [
                ("from".to_owned(), self.source.to_string()),
                ("taken-at".to_owned(), self.at.to_string()),
            ]
            .into(),
        }
    }

    fn proven(self, file: FileId) -> Proven {
        Proven {
            file,
            source: self.source,
            taken_at: self.at,
            digest: self.digest,
            journal: self.journal,
        }
    }
}

/// Refuses to replace what nobody may replace. Looked at first, and again under the lock right before the rename.
fn check_destination(
    ours: &Ours<'_>,
    replaces: Replaces,
    source: Option<&Marked>,
) -> Result<(), ActError> {
    if fs::metadata(ours.path).map_or(0, |file| file.len()) == 0 {
        return Ok(());
    }
    let db = to_look(ours.path).map_err(|error| ours.not_done(&error))?;
    let (marked, access) = local(&db).map_err(|error| ours.not_done(&error))?;
    ours.asker
        .may_replace(marked.as_ref(), access, replaces, source)
}

fn snapshot(ours: &Ours<'_>, source: Source<'_>) -> Result<Snapshot, ActError> {
    let failed = |error: &dyn std::fmt::Display| {
        hindered(
            "source-unreachable",
            format!("read {}: {error}", source.path.display()),
        )
    };
    // Before the first read: every write that was acknowledged until now is in the snapshot.
    let taken_at = now();
    let journal = if in_wal_mode(source.path) || beside(source.path, "-wal").exists() {
        Journal::Wal
    } else {
        Journal::Rollback
    };
    let db = to_look(source.path).map_err(|error| failed(&error))?;
    db.execute_batch("BEGIN").map_err(|error| failed(&error))?;
    let (marked, access) = local(&db).map_err(|error| failed(&error))?;
    let marked = owner_of(marked, source.site)?;
    // With a rollback journal a long read keeps the application from writing.
    let digest = match (access, journal) {
        (Access::Sealed, _) => Some(Writes::Refused),
        (_, Journal::Wal) => Some(Writes::Possible),
        (_, Journal::Rollback) => None,
    };
    let digest = digest
        .map(|writes| ours.digests.of(&db, source.path, writes))
        .transpose()
        .map_err(ActError::NotDone)?;
    Ok(Snapshot {
        db,
        marked,
        access,
        taken_at,
        digest,
        journal,
    })
}

/// If the copy in place equals the source, mark and all, it is only looked at later.
fn renew(
    ours: &Ours<'_>,
    source: Source<'_>,
    snapshot: &Snapshot,
) -> Result<Option<Output>, ActError> {
    let record = Record::read(ours.path);
    let Some(proven) = record.proven(ours.path).cloned() else {
        return Ok(None);
    };
    let here = to_look(ours.path)
        .and_then(|db| local(&db))
        .map_err(|error| ours.not_done(&error))?;
    let (Some(marked), Access::Replica) = here else {
        return Ok(None);
    };
    let same = snapshot.digest.as_ref() == Some(&proven.digest)
        && proven.source == *source.site
        && marked.mark.epoch == snapshot.marked.mark.epoch
        && marked.mark.owner == snapshot.marked.mark.owner;
    if !same {
        return Ok(None);
    }
    let taken = Taken {
        source: source.site.clone(),
        at: snapshot.taken_at,
        digest: proven.digest.clone(),
        journal: proven.journal,
    };
    let output = taken.output();
    let _lock = ours.lock()?;
    record
        .with_copy(ours.path, taken.proven(proven.file))
        .write(ours.path)
        .map_err(|error| hindered("copy-failed", format!("write the record: {error}")))?;
    Ok(Some(output))
}

/// Backs up into a temporary file, checks it, marks it, and gives the digest of what was read back from it.
fn write_copy(snapshot: &Snapshot, temporary: &Path) -> rusqlite::Result<String> {
    let mut held = to_create(temporary)?;
    {
        let backup = Backup::new(&snapshot.db, &mut held.db)?;
        while backup.step(-1)? != StepResult::Done {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    let db = &held.db;
    // A copy has no log of its own: readers see one file, which is replaced whole.
    db.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    check(db, snapshot.access)?;
    let transaction = db.unchecked_transaction()?;
    let replica = Marked {
        mark: snapshot.marked.mark.clone(),
        state: State::Replica,
    };
    mark::write(&transaction, &replica)?;
    mark::seal(&transaction)?;
    transaction.commit()?;
    digest(db)
}

/// The whole check where the source is sealed, so that this copy may be promoted; the quick one in between.
fn check(db: &Connection, source: Access) -> rusqlite::Result<()> {
    let sql = match source {
        Access::Sealed => "PRAGMA integrity_check",
        _ => "PRAGMA quick_check",
    };
    let answer: String = db.query_row(sql, [], |row| row.get(0))?;
    if answer == "ok" {
        return Ok(());
    }
    let damaged = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(damaged, Some(answer)))
}

/// Puts the copy in place. The record names the new file before it is there, so that it is known either way.
fn install(
    ours: &Ours<'_>,
    replaces: Replaces,
    source: &Marked,
    temporary: &Path,
    taken: Taken,
) -> Result<Output, ActError> {
    let failed =
        |error: io::Error| hindered("copy-failed", format!("put the copy in place: {error}"));
    let _lock = ours.lock()?;
    check_destination(ours, replaces, Some(source))?;
    File::open(temporary)
        .and_then(|file| file.sync_all())
        .map_err(failed)?;
    let output = taken.output();
    let file = FileId::of(temporary).map_err(failed)?;
    Record::read(ours.path)
        .with_copy(ours.path, taken.proven(file))
        .write(ours.path)
        .map_err(failed)?;
    put_aside_logs(ours.path).map_err(failed)?;
    fs::rename(temporary, ours.path).map_err(failed)?;
    if let Some(folder) = ours.path.parent() {
        sync_folder(folder).map_err(failed)?;
    }
    Ok(output)
}

/// A log of the replaced database must never be applied to the new one. If there is one, the old database goes
/// first: a crash in between leaves nothing here, which the next attempt fills.
pub(super) fn put_aside_logs(path: &Path) -> io::Result<()> {
    let logs = ["-wal", "-journal", "-shm"].map(|suffix| beside(path, suffix));
    if logs.iter().any(|log| log.exists()) {
        remove_database(path)?;
        if let Some(folder) = path.parent() {
            sync_folder(folder)?;
        }
    }
    Ok(())
}

/// The temporary file of the one copy that may run.
pub(super) fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.mainstay-copy"))
}

/// Removes a database, then what belongs to it.
pub(super) fn remove_database(path: &Path) -> io::Result<()> {
    for file in ["", "-journal", "-wal", "-shm"].map(|suffix| beside(path, suffix)) {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
