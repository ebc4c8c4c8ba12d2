//! Looks at a tree and says what it lets its users do, who owns it, how far it goes.
//! Must not change anything.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use mainstay_driver::Cause;
use mainstay_model::{Access, Epoch, Facts, Position, StoreFacts};
use mainstay_storage::{Hashes, Manifest, TreeError, scan, take};

use super::state::{Copied, Record, data, read_mark};
use crate::shared::{Marked, State, passing};

/// What is remembered between looks: the hashes of unchanged files, and which trees were written to.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) hashes: Hashes,
    written: Mutex<BTreeSet<(PathBuf, Epoch)>>,
}

/// Says that a tree could not be looked at.
pub(super) fn unreadable(root: &Path, error: &dyn std::fmt::Display) -> Cause {
    passing(
        "store-unreadable",
        format!("read {}: {error}", root.display()),
    )
}

/// What the tree holds now.
pub(super) fn content(root: &Path, memory: &Memory) -> Result<Manifest, TreeError> {
    let tree = data(root).map_err(|source| TreeError::List {
        path: PathBuf::new(),
        source,
    })?;
    take(&tree, &memory.hashes)
}

/// The mark and what the tree lets its users do, by its word; a seal that was broken is seen by [`observe`].
pub(super) fn local(root: &Path) -> io::Result<(Option<Marked>, Access)> {
    let marked = read_mark(root)?;
    let access = match marked.as_ref().map(|marked| marked.state) {
        Some(State::Sealed) => Access::Sealed,
        Some(State::Replica) => Access::Replica,
        None if is_empty(root)? => Access::Empty,
        Some(State::Open) | None => Access::Open,
    };
    Ok((marked, access))
}

fn is_empty(root: &Path) -> io::Result<bool> {
    match data(root) {
        Ok(tree) => Ok(scan(&tree)
            .map_err(|error| io::Error::other(error.to_string()))?
            .is_empty()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Looks at the tree at a path.
pub(super) fn observe(root: &Path, memory: &Memory) -> Result<Facts, Cause> {
    let failed = |error: io::Error| unreadable(root, &error);
    let (marked, access) = local(root).map_err(failed)?;
    let record = Record::read(root).map_err(failed)?;
    let mut seen = StoreFacts {
        access,
        mark: marked.map(|marked| marked.mark),
        position: None,
        recovery: None,
        behind_bytes: None,
        written: None,
    };
    let digest = || -> Result<String, Cause> {
        let content = content(root, memory).map_err(|error| unreadable(root, &error))?;
        Ok(content.digest())
    };
    let mut facts = Facts {
        exists: Some(root.exists()),
        ..Facts::default()
    };
    match access {
        Access::Replica => {
            seen.recovery = record.copied.as_ref().map(Copied::point);
            seen.position = seen.recovery.as_ref().map(|point| point.position.clone());
            // A store that was written to under a promote is never turned into a copy unasked.
            seen.written = Some(false);
        }
        Access::Sealed => {
            let digest = digest()?;
            if record
                .sealed
                .as_ref()
                .is_some_and(|sealed| sealed.digest != digest)
            {
                // The seal is only as good as what was seen since: somebody still writes here.
                seen.access = Access::Open;
                let what = "the files changed after they were sealed".to_owned();
                facts.extra.insert("broken-seal".to_owned(), what);
            }
            seen.written = record.promoted.as_ref().map(|one| one.digest != digest);
            seen.position = Some(Position::Digest(digest));
        }
        _ => seen.written = written(root, &record, &seen, memory, digest)?,
    }
    facts.store = Some(seen);
    Ok(facts)
}

/// Whether an application wrote since the promote that the mark speaks of. Looks only until it did once.
fn written(
    root: &Path,
    record: &Record,
    seen: &StoreFacts,
    memory: &Memory,
    digest: impl Fn() -> Result<String, Cause>,
) -> Result<Option<bool>, Cause> {
    let epoch = seen.mark.as_ref().map(|mark| mark.epoch);
    let promoted = record.promoted.as_ref();
    let Some(promoted) = promoted.filter(|promoted| Some(promoted.epoch) == epoch) else {
        return Ok(None);
    };
    let key = (root.to_path_buf(), promoted.epoch);
    let known = || {
        memory
            .written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    };
    if known().contains(&key) {
        return Ok(Some(true));
    }
    let written = digest()? != promoted.digest;
    if written {
        known().insert(key);
    }
    Ok(Some(written))
}
