//! Looks at a database and says what it lets its users do, who owns it, how far it goes.
//! Must not change anything, not even by creating a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use mainstay_driver::Cause;
use mainstay_model::{Access, Epoch, Facts, Position, StoreFacts};
use rusqlite::Connection;

use super::{
    digest::digest,
    mark,
    open::{Stamp, stamp, to_look},
    record::Record,
};
use crate::shared::{Marked, State, now, passing};

/// A file's time of change is only this exact; within it two contents may look the same.
const TICK_NS: i64 = 50_000_000;

/// Digests of files that have not changed since.
#[derive(Debug, Default)]
pub(super) struct Digests {
    known: Mutex<BTreeMap<PathBuf, (Stamp, String)>>,
    /// Databases that were seen to be written to under an epoch: that never becomes untrue.
    written: Mutex<BTreeSet<(PathBuf, Epoch)>>,
}

/// Whether writes are refused while a digest is taken, so that no write can hide in the clock's tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writes {
    Refused,
    Possible,
}

impl Digests {
    /// The digest of an open database, from memory if the file has surely not changed since.
    pub(super) fn of(&self, db: &Connection, path: &Path, writes: Writes) -> Result<String, Cause> {
        let began = now().0.saturating_mul(1000);
        let before = stamp(path).map_err(|error| unreadable(path, &error))?;
        if let Some((stamp, digest)) = self.lock().get(path)
            && *stamp == before
        {
            return Ok(digest.clone());
        }
        let digest = digest(db).map_err(|error| unreadable(path, &error))?;
        let after = stamp(path).map_err(|error| unreadable(path, &error))?;
        let settled = writes == Writes::Refused || before.changed() + TICK_NS < began;
        if before == after && settled {
            self.lock()
                .insert(path.to_path_buf(), (before, digest.clone()));
        }
        Ok(digest)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, (Stamp, String)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn written(&self) -> std::sync::MutexGuard<'_, BTreeSet<(PathBuf, Epoch)>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that a database could not be looked at.
pub(super) fn unreadable(path: &Path, error: &dyn std::error::Error) -> Cause {
    passing(
        "store-unreadable",
        format!("read {}: {error}", path.display()),
    )
}

/// Reads the mark and sees whether the seal is really there.
pub(super) fn local(db: &Connection) -> rusqlite::Result<(Option<Marked>, Access)> {
    let marked = mark::read(db)?;
    let access = match marked.as_ref().map(|marked| marked.state) {
        None | Some(State::Open) => Access::Open,
        Some(_) if !mark::is_sealed(db)? => Access::Open,
        Some(State::Sealed) => Access::Sealed,
        Some(State::Replica) => Access::Replica,
    };
    Ok((marked, access))
}

/// Looks at the database at a path.
pub(super) fn observe(path: &Path, digests: &Digests) -> Result<Facts, Cause> {
    let size = match std::fs::metadata(path) {
        Ok(file) => file.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(unreadable(path, &error)),
    };
    if size == 0 {
        return Ok(facts(false, store(Access::Empty)));
    }
    let db = to_look(path).map_err(|error| unreadable(path, &error))?;
    // One transaction: the mark, the seal and the content belong together.
    db.execute_batch("BEGIN")
        .map_err(|error| unreadable(path, &error))?;
    let (marked, access) = local(&db).map_err(|error| unreadable(path, &error))?;
    let record = Record::read(path);
    let mut seen = StoreFacts {
        mark: marked.map(|marked| marked.mark),
        ..store(access)
    };
    match access {
        Access::Replica => {
            let proven = record.proven(path);
            seen.recovery = proven.map(super::record::Proven::point);
            seen.position = seen.recovery.as_ref().map(|point| point.position.clone());
            // A store that was written to under a promote is never turned into a copy unasked.
            seen.written = Some(false);
        }
        Access::Sealed => {
            let digest = digests.of(&db, path, Writes::Refused)?;
            seen.written = untouched_since(&record, Some(&digest));
            seen.position = Some(Position::Digest(digest));
        }
        _ => seen.written = written(&db, path, &record, &seen, digests)?,
    }
    let mut facts = facts(true, seen);
    facts.extra.insert("bytes".to_owned(), size.to_string());
    Ok(facts)
}

/// Whether an application wrote since the promote that this site's mark speaks of. Looks at the content only
/// until the first write was seen.
fn written(
    db: &Connection,
    path: &Path,
    record: &Record,
    seen: &StoreFacts,
    digests: &Digests,
) -> Result<Option<bool>, Cause> {
    let epoch = seen.mark.as_ref().map(|mark| mark.epoch);
    let Some(promoted) = record
        .promoted
        .as_ref()
        .filter(|promoted| Some(promoted.epoch) == epoch)
    else {
        return Ok(None);
    };
    let key = (path.to_path_buf(), promoted.epoch);
    if digests.written().contains(&key) {
        return Ok(Some(true));
    }
    let written = digests.of(db, path, Writes::Possible)? != promoted.digest;
    if written {
        digests.written().insert(key);
    }
    Ok(Some(written))
}

fn untouched_since(record: &Record, digest: Option<&str>) -> Option<bool> {
    let promoted = record.promoted.as_ref()?;
    Some(promoted.digest != digest?)
}

fn store(access: Access) -> StoreFacts {
    StoreFacts {
        access,
        mark: None,
        position: None,
        recovery: None,
        behind_bytes: None,
        written: None,
    }
}

fn facts(exists: bool, store: StoreFacts) -> Facts {
    Facts {
        exists: Some(exists),
        store: Some(store),
        ..Facts::default()
    }
}
