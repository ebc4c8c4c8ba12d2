//! Puts a restored tree in the place of what is here: in place of a copy, which stays a copy, or of a sealed tree, which
//! stays sealed under its own mark. Every file is old or new, never half, and all of it is compared at the end.
//! Must not know repositories.

use std::path::Path;

use mainstay_driver::ActError;
use mainstay_model::{Access, Mark, Output, Position};
use mainstay_storage::{Deletes, Gate, Tree, TreeError, copy as copy_tree};

use super::{
    observe::{content, local},
    own::Ours,
    state::{Content, Copied, FOLDER, data, write_mark},
};
use crate::shared::{Brought, Locked, Marked, State, hindered, refused, same};

fn failed(what: &str, error: &dyn std::fmt::Display) -> ActError {
    hindered("restore-failed", format!("{what}: {error}"))
}

/// Makes this tree hold what that folder holds, and nothing else.
pub(super) fn put(ours: &Ours<'_>, restored: &Path, brought: &Brought) -> Result<Output, ActError> {
    let becomes = becomes(ours, brought)?;
    let from = data(restored).map_err(|error| failed("open what was brought back", &error))?;
    let to = Tree::create(ours.root)
        .map_err(|error| failed("open the destination", &error))?
        .without(FOLDER);
    {
        let _lock = ours.lock()?;
        let (here, _) = local(ours.root).map_err(|error| ours.not_done(&error))?;
        if here.is_none() {
            write_mark(ours.root, &becomes).map_err(|error| failed("write the mark", &error))?;
        }
    }
    let mut gate = Unchanged {
        ours,
        mark: &becomes,
    };
    let hashes = &ours.memory.hashes;
    let copied = copy_tree(&from, &to, Deletes::Mirror, hashes, &mut gate)
        .map_err(|error| failed("copy the files", &error))?;
    let here = content(ours.root, ours.memory).map_err(|error| failed("compare", &error))?;
    let digest = here.digest();
    if digest != copied.manifest.digest() {
        return Err(hindered(
            "restore-failed",
            "what is here differs from what was brought back",
        ));
    }
    let _pass = gate.pass().map_err(|error| failed("finish", &error))?;
    let mut record = ours.record()?;
    if becomes.state == State::Replica {
        record.copied = Some(Copied {
            source: brought.site.clone(),
            taken_at: brought.reached,
            digest: digest.clone(),
        });
    } else {
        record.sealed = Some(Content {
            epoch: becomes.mark.epoch,
            digest: digest.clone(),
        });
    }
    record
        .write(ours.root)
        .map_err(|error| failed("write the record", &error))?;
    Ok(Output {
        position: Some(Position::Digest(digest)),
        values: [
            ("point".to_owned(), brought.point.to_string()),
            ("taken-at".to_owned(), brought.reached.to_string()),
            ("written".to_owned(), copied.written.to_string()),
            ("removed".to_owned(), copied.removed.to_string()),
        ]
        .into(),
    })
}

/// The mark that the tree has afterwards, or why nothing may be restored here.
fn becomes(ours: &Ours<'_>, brought: &Brought) -> Result<Marked, ActError> {
    let (here, access) = local(ours.root).map_err(|error| ours.not_done(&error))?;
    if let Some(here) = &here {
        ours.asker.admitted(here.mark.epoch)?;
    }
    match (here, access) {
        // Nobody writes here, and it goes on so: whose it is does not change.
        (Some(here), Access::Sealed | Access::Replica) => Ok(here),
        (None, Access::Empty) => Ok(Marked {
            mark: Mark {
                epoch: brought.epoch,
                owner: brought.site.clone(),
                run: Some(ours.asker.run.clone()),
            },
            state: State::Replica,
        }),
        _ => Err(refused(
            "store-open",
            "the store here takes writes: a restore would destroy them",
        )),
    }
}

/// Lets changes through while nobody changed whose the tree is.
struct Unchanged<'a, 'b> {
    ours: &'a Ours<'b>,
    mark: &'a Marked,
}

impl Gate for Unchanged<'_, '_> {
    type Pass = Locked;

    fn pass(&mut self) -> Result<Locked, TreeError> {
        let stopped = |why: &dyn std::fmt::Display| TreeError::Stopped {
            why: why.to_string(),
        };
        let locked = self.ours.lock().map_err(|error| stopped(&error))?;
        let (here, _) = local(self.ours.root).map_err(|error| stopped(&error))?;
        match here {
            Some(here) if same(&here, self.mark) => Ok(locked),
            _ => Err(stopped(&"the store's mark changed meanwhile")),
        }
    }
}
