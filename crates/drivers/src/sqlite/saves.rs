//! Saves a database as one consistent file, brings it back, lets it pass its checks.
//! Must not know repositories' format.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use mainstay_backup::{Finished, Holds, Label, Progress, Repository, Stream, backup};
use mainstay_driver::{ActError, Cause};
use mainstay_model::{Epoch, Output, Position, RecoveryTarget};
use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};

use super::{
    digest::digest,
    driver::SqliteDriver,
    observe::{Digests, local, unreadable},
    open::{to_create, to_look},
    options::SqliteOptions,
    own::Ours,
    restore::put,
};
use crate::shared::{About, Brought, Saves, Workshop, bring, failed, lasting, now, passing};

/// Pages that are copied while the database is held; between two lots its writers go on.
const PAGES: i32 = 1024;

/// The half of `sqlite` that saves.
#[derive(Debug, Clone)]
pub(crate) struct SqliteSaves(pub(super) Arc<Digests>);

impl Saves for SqliteSaves {
    fn save(
        &self,
        about: &About<'_>,
        into: &Repository,
        progress: &dyn Progress,
    ) -> Result<(Label, Finished), Cause> {
        let path = SqliteDriver::path(about.home, about.declared, about.site)?;
        if fs::metadata(&path).map_or(0, |file| file.len()) == 0 {
            let what = format!("there is no database {}", path.display());
            return Err(lasting("store-empty", what));
        }
        let scratch = Scratch::new(about)?;
        // Before the first page is read: every write that was acknowledged until now is in the copy.
        let taken = now();
        let (epoch, digest) = copy(&path, &scratch.file)?;
        let position = Some(Position::Digest(digest));
        let label = about.label(epoch, taken, position, Holds::Store);
        let file = File::open(&scratch.file).map_err(|error| scratch.failed(&error))?;
        let stream = Stream::new(name(about), file, || Ok(()));
        let finished = backup(into, &stream, &about.options(&label), progress);
        Ok((label, finished.map_err(|error| failed(&error))?))
    }

    fn extract(
        &self,
        about: &About<'_>,
        from: &Repository,
        target: &RecoveryTarget,
        path: Option<&Path>,
        into: &Path,
        progress: &dyn Progress,
    ) -> Result<Brought, Cause> {
        if path.is_some() {
            let what = "a database is brought back whole: leave the path out";
            return Err(lasting("no-such-path", what));
        }
        bring(about, from, target, None, into, progress)
    }

    fn check(
        &self,
        about: &About<'_>,
        folder: &Path,
        _: &dyn Progress,
    ) -> Result<Vec<String>, Cause> {
        let path = folder.join(name(about));
        let options = SqliteOptions::of(about.declared);
        let options = options.map_err(|error| lasting("options-invalid", error.to_string()))?;
        let db = to_look(&path).map_err(|error| unreadable(&path, &error))?;
        let mut passed = Vec::new();
        for pragma in ["integrity_check", "foreign_key_check"] {
            let bad = complaint(&db, pragma).map_err(|error| unreadable(&path, &error))?;
            if let Some(bad) = bad {
                return Err(lasting("check-failed", format!("{pragma}: {bad}")));
            }
            passed.push(pragma.to_owned());
        }
        for question in &options.checks {
            let answer = holds(&db, question);
            let answer =
                answer.map_err(|error| lasting("check-failed", format!("{question}: {error}")))?;
            if !answer {
                return Err(lasting(
                    "check-failed",
                    format!("{question}: it does not hold"),
                ));
            }
            passed.push(question.clone());
        }
        Ok(passed)
    }

    fn restore(
        &self,
        about: &About<'_>,
        from: &Repository,
        target: &RecoveryTarget,
        progress: &dyn Progress,
    ) -> Result<Output, ActError> {
        let path = SqliteDriver::path(about.home, about.declared, about.site);
        let path = path.map_err(ActError::NotDone)?;
        let workshop = Workshop::of(about);
        let brought = workshop.bring(about, from, target, progress);
        let brought = brought.map_err(ActError::NotDone)?;
        let state = about.home.state_of("sqlite", &about.declared.name);
        let ours = Ours {
            path: &path,
            lock: &state.join("lock"),
            asker: about.asker(),
            digests: &self.0,
        };
        let output = put(&ours, &workshop.restored().join(name(about)), &brought)?;
        workshop.clear();
        Ok(output)
    }
}

/// The file's name in the repository.
fn name(about: &About<'_>) -> String {
    format!("{}.db", about.declared.name)
}

/// Copies the database as it is at one moment; answers its epoch and its digest.
fn copy(path: &Path, to: &Path) -> Result<(Epoch, String), Cause> {
    let failed = |error: rusqlite::Error| unreadable(path, &error);
    let source = to_look(path).map_err(failed)?;
    let mut held = to_create(to).map_err(failed)?;
    {
        let backup = Backup::new(&source, &mut held.db).map_err(failed)?;
        while backup.step(PAGES).map_err(failed)? != StepResult::Done {}
    }
    // A copy has no log of its own.
    let rollback = held
        .db
        .query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()));
    rollback.map_err(failed)?;
    let (marked, _) = local(&held.db).map_err(failed)?;
    let digest = digest(&held.db).map_err(failed)?;
    Ok((marked.map_or(Epoch(0), |marked| marked.mark.epoch), digest))
}

/// What the database complains about, if anything.
fn complaint(db: &Connection, pragma: &str) -> rusqlite::Result<Option<String>> {
    let mut asked = db.prepare(&format!("PRAGMA {pragma}"))?;
    let mut rows = asked.query([])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let first: rusqlite::types::Value = row.get(0)?;
    Ok(match first {
        rusqlite::types::Value::Text(text) if text == "ok" => None,
        rusqlite::types::Value::Text(text) => Some(text),
        other => Some(format!("{other:?}")),
    })
}

/// Whether a question is answered with one row that begins with something other than 0 or nothing.
fn holds(db: &Connection, question: &str) -> rusqlite::Result<bool> {
    let mut asked = db.prepare(question)?;
    let mut rows = asked.query([])?;
    let Some(row) = rows.next()? else {
        return Ok(false);
    };
    Ok(match row.get_ref(0)? {
        rusqlite::types::ValueRef::Integer(number) => number != 0,
        rusqlite::types::ValueRef::Null => false,
        _ => true,
    })
}

/// A file for the copy, gone when it is dropped or when the next one is made.
struct Scratch {
    folder: PathBuf,
    file: PathBuf,
}

impl Scratch {
    fn new(about: &About<'_>) -> Result<Self, Cause> {
        let folder = about.home.state_of("saving", &about.declared.name);
        let scratch = Self {
            file: folder.join("copy.db"),
            folder,
        };
        let _ = fs::remove_dir_all(&scratch.folder);
        fs::create_dir_all(&scratch.folder).map_err(|error| scratch.failed(&error))?;
        Ok(scratch)
    }

    fn failed(&self, error: &std::io::Error) -> Cause {
        passing("scratch", format!("use {}: {error}", self.folder.display()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
