//! Puts a restored database in the place of what is here: in place of a copy, which stays a copy, or of a sealed store,
//! which stays sealed under its own mark. It appears whole, by rename; what was there is gone only then.
//! Must not know repositories.

use std::{
    fs::{self, File},
    path::Path,
};

use mainstay_driver::ActError;
use mainstay_model::{Access, Mark, Output, Position};

use super::{
    copy::{put_aside_logs, remove_database, temporary},
    digest::digest,
    mark,
    observe::local,
    open::{beside, in_wal_mode, to_change, to_look},
    own::Ours,
    record::{FileId, Journal, Proven, Record},
};
use crate::shared::{Brought, Marked, State, hindered, refused, sync_folder};

fn failed(what: &str, error: &dyn std::fmt::Display) -> ActError {
    hindered("restore-failed", format!("{what}: {error}"))
}

/// Puts the database in that file in place. Its content was verified when it was brought, and is compared once more.
pub(super) fn put(ours: &Ours<'_>, restored: &Path, brought: &Brought) -> Result<Output, ActError> {
    let becomes = becomes(ours, brought)?;
    let folder = ours.path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| failed("create its folder", &error))?;
    let temporary = temporary(ours.path);
    remove_database(&temporary).map_err(|error| failed("remove an old temporary", &error))?;
    fs::copy(restored, &temporary).map_err(|error| failed("copy the database", &error))?;
    let content = marked(&temporary, &becomes).map_err(|error| failed("mark it", &error))?;
    let position = Position::Digest(content.clone());
    if brought.position.as_ref() != Some(&position) {
        return Err(hindered(
            "restore-failed",
            "what was brought back differs from what was saved",
        ));
    }
    File::open(&temporary)
        .and_then(|file| file.sync_all())
        .map_err(|error| failed("sync it", &error))?;
    let _lock = ours.lock()?;
    if self::becomes(ours, brought)? != becomes {
        return Err(hindered("store-busy", "the store's mark changed meanwhile"));
    }
    let proven = Proven {
        file: FileId::of(&temporary).map_err(|error| failed("look at it", &error))?,
        source: brought.site.clone(),
        taken_at: brought.reached,
        digest: content,
        journal: journal(ours.path),
    };
    Record::read(ours.path)
        .with_copy(ours.path, proven)
        .write(ours.path)
        .and_then(|()| put_aside_logs(ours.path))
        .and_then(|()| fs::rename(&temporary, ours.path))
        .and_then(|()| sync_folder(folder))
        .map_err(|error| failed("put it in place", &error))?;
    Ok(Output {
        position: Some(position),
        values: [
            ("point".to_owned(), brought.point.to_string()),
            ("taken-at".to_owned(), brought.reached.to_string()),
        ]
        .into(),
    })
}

/// The mark that the restored database gets, or why it may not go here.
fn becomes(ours: &Ours<'_>, brought: &Brought) -> Result<Marked, ActError> {
    let there = fs::metadata(ours.path).map_or(0, |file| file.len()) > 0;
    let (here, access) = if there {
        let db = to_look(ours.path).map_err(|error| ours.not_done(&error))?;
        local(&db).map_err(|error| ours.not_done(&error))?
    } else {
        (None, Access::Empty)
    };
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

/// Gives the file its mark and seals it; answers its content.
fn marked(file: &Path, becomes: &Marked) -> rusqlite::Result<String> {
    let held = to_change(file)?;
    let transaction = held.db.unchecked_transaction()?;
    mark::write(&transaction, becomes)?;
    mark::seal(&transaction)?;
    transaction.commit()?;
    digest(&held.db)
}

fn journal(path: &Path) -> Journal {
    if in_wal_mode(path) || beside(path, "-wal").exists() {
        Journal::Wal
    } else {
        Journal::Rollback
    }
}
