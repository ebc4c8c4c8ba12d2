//! Makes this site's tree a verified copy of another site's. While it is being made it is a replica, so nobody takes
//! it for more than it is; the recovery point moves only when everything was read back and compared.
//! Must not know how either side is used.

use std::path::Path;

use mainstay_driver::ActError;
use mainstay_model::{Access, Output, Position, SiteId};
use mainstay_storage::{Copied, Deletes, Gate, Tree, TreeError, copy as copy_tree};

use super::{
    observe::{content, local},
    own::Ours,
    state::{self, FOLDER, copy_lock, data, write_mark},
};
use crate::shared::{Locked, Marked, Replaces, State, hindered, now, owner_of, same};

/// The other side, and what a delete there means here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) site: &'a SiteId,
    pub(super) root: &'a Path,
    pub(super) deletes: Deletes,
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> ActError {
    hindered("copy-failed", format!("{what}: {error}"))
}

/// Copies, verifies and records.
pub(super) fn copy(
    ours: &Ours<'_>,
    source: Source<'_>,
    replaces: Replaces,
) -> Result<Output, ActError> {
    // Looked at before anything is created here.
    let (here, access) = local(ours.root).map_err(|error| ours.not_done(&error))?;
    ours.asker
        .may_replace(here.as_ref(), access, replaces, None)?;
    // Before the first folder is read: every write that was acknowledged until now is in what is read.
    let taken_at = now();
    let unreachable = |error: &dyn std::fmt::Display| {
        let what = format!("read {}: {error}", source.root.display());
        hindered("source-unreachable", what)
    };
    let from = data(source.root).map_err(|error| unreachable(&error))?;
    // A volume that is not mounted has no mark either, so it never empties its copy.
    let (marked, _) = local(source.root).map_err(|error| unreachable(&error))?;
    let marked = owner_of(marked, source.site)?;
    ours.asker
        .may_replace(here.as_ref(), access, replaces, Some(&marked))?;
    let to = Tree::create(ours.root)
        .map_err(|error| failed("open the destination", &error))?
        .without(FOLDER);
    let _alone = Locked::attempt(&copy_lock(ours.root))
        .map_err(|error| failed("lock the copy", &error))?
        .ok_or_else(|| hindered("copy-running", "another copy of this store is running"))?;
    become_replica(ours, source, replaces, &marked)?;
    let mut gate = Replica {
        ours,
        source: &marked,
    };
    let hashes = &ours.memory.hashes;
    let copied = copy_tree(&from, &to, source.deletes, hashes, &mut gate)
        .map_err(|error| failed("copy the files", &error))?;
    verify(ours, source.deletes, &marked, &copied)?;
    let proven = state::Copied {
        source: source.site.clone(),
        taken_at,
        digest: copied.manifest.digest(),
    };
    let output = output(&proven, &copied);
    let _pass = gate
        .pass()
        .map_err(|error| failed("finish the copy", &error))?;
    let mut record = ours.record()?;
    record.copied = Some(proven);
    record
        .write(ours.root)
        .map_err(|error| failed("write the record", &error))?;
    Ok(output)
}

fn output(proven: &state::Copied, copied: &Copied) -> Output {
    Output {
        position: Some(Position::Digest(proven.digest.clone())),
        values: [
            ("from", proven.source.to_string()),
            ("taken-at", proven.taken_at.to_string()),
            ("files", copied.manifest.items.len().to_string()),
            ("written", copied.written.to_string()),
            ("bytes", copied.bytes.to_string()),
            ("removed", copied.removed.to_string()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect(),
    }
}

/// Marks the destination as a copy before anything in it changes. What an older copy had proven stays good until then
/// only if it is a copy of the same source.
fn become_replica(
    ours: &Ours<'_>,
    source: Source<'_>,
    replaces: Replaces,
    marked: &Marked,
) -> Result<(), ActError> {
    let _lock = ours.lock()?;
    let (here, access) = local(ours.root).map_err(|error| ours.not_done(&error))?;
    ours.asker
        .may_replace(here.as_ref(), access, replaces, Some(marked))?;
    let replica = Marked {
        mark: marked.mark.clone(),
        state: State::Replica,
    };
    let mut record = ours.record()?;
    let other = record
        .copied
        .as_ref()
        .is_some_and(|copied| copied.source != *source.site);
    if access != Access::Replica || other {
        (record.copied, record.sealed, record.promoted) = (None, None, None);
        record
            .write(ours.root)
            .map_err(|error| failed("write the record", &error))?;
    }
    if here.is_some_and(|here| same(&here, &replica)) {
        return Ok(());
    }
    write_mark(ours.root, &replica).map_err(|error| failed("write the mark", &error))
}

/// Compares the destination, as it is on disk now, with what was read from the source.
fn verify(
    ours: &Ours<'_>,
    deletes: Deletes,
    source: &Marked,
    copied: &Copied,
) -> Result<(), ActError> {
    let there = content(ours.root, ours.memory).map_err(|error| failed("verify", &error))?;
    let lacks = there.lacks(&copied.manifest);
    // A live source may have moved files about while it was read; a sealed one must be equal in every respect.
    let equal = match (deletes, source.state) {
        (Deletes::Mirror, State::Sealed) => there.digest() == copied.manifest.digest(),
        _ => true,
    };
    match lacks.first() {
        Some((item, _)) => {
            let what = format!("{} differs from its source", item.path.display());
            Err(hindered("copy-differs", what))
        }
        None if !equal => Err(hindered("copy-differs", "the copy differs from its source")),
        None => Ok(()),
    }
}

/// Lets changes through while this site is a copy of the source and nothing more.
struct Replica<'a, 'b> {
    ours: &'a Ours<'b>,
    source: &'a Marked,
}

impl Gate for Replica<'_, '_> {
    type Pass = Locked;

    fn pass(&mut self) -> Result<Locked, TreeError> {
        let stopped = |why: &dyn std::fmt::Display| TreeError::Stopped {
            why: why.to_string(),
        };
        let locked = self.ours.lock().map_err(|error| stopped(&error))?;
        let (here, access) = local(self.ours.root).map_err(|error| stopped(&error))?;
        self.ours
            .asker
            .may_replace(here.as_ref(), access, Replaces::Copies, Some(self.source))
            .map_err(|error| stopped(&error))?;
        Ok(locked)
    }
}
