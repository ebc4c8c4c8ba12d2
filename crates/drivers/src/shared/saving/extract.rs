//! Brings a snapshot into a folder: which one, which part, carrying on where an earlier attempt was cut short.
//! Must not know kinds.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use mainstay_backup::{
    Existing, Holds, Id, Problem, Progress, Repository, RestoreOptions, RestorePoint, Wholeness,
    restore,
};
use mainstay_driver::Cause;
use mainstay_model::{Epoch, Position, RecoveryTarget, SiteId, Timestamp};

use super::{
    super::{lasting, passing, write_durably},
    saves::{About, failed},
};

/// What was brought.
#[derive(Debug, Clone)]
pub(crate) struct Brought {
    /// The restore point that it came from, or began with.
    pub(crate) point: Id,
    /// The hash over everything in that restore point.
    pub(crate) tree: Id,
    /// The site that it was read from.
    pub(crate) site: SiteId,
    /// The moment that is there now: every write acknowledged before it, by the clock of the source.
    pub(crate) reached: Timestamp,
    /// The store's epoch then.
    pub(crate) epoch: Epoch,
    /// How far it goes, where the kind can say.
    pub(crate) position: Option<Position>,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    /// Everything that is not there as it should be.
    pub(crate) missing: Vec<Problem>,
}

/// Finds the restore point that a target names. For a time it is the newest one taken before it.
pub(crate) fn find(
    about: &About<'_>,
    from: &Repository,
    target: &RecoveryTarget,
) -> Result<RestorePoint, Cause> {
    let store = &about.declared.name;
    let mut points =
        RestorePoint::of(from, &about.home.plan.system, store).map_err(|error| failed(&error))?;
    points.retain(|point| point.label.holds == Holds::Store);
    let whole = |point: &&RestorePoint| point.snapshot.wholeness() == Wholeness::Whole;
    let found = match target {
        RecoveryTarget::Newest => points.iter().rev().find(whole),
        RecoveryTarget::Point(wanted) => {
            let mut found = points
                .iter()
                .filter(|point| !wanted.is_empty() && point.id.to_string().starts_with(wanted));
            found.next().filter(|_| found.next().is_none())
        }
        RecoveryTarget::Time(time) => points
            .iter()
            .rev()
            .filter(whole)
            .find(|point| point.label.taken <= *time),
        RecoveryTarget::Position(position) => points
            .iter()
            .rev()
            .filter(whole)
            .find(|point| point.label.position.as_ref() == Some(position)),
        RecoveryTarget::Named(_) => None,
    };
    found.cloned().ok_or_else(|| {
        let oldest = points.iter().find(whole);
        let range = match (oldest, points.iter().rev().find(whole)) {
            (Some(oldest), Some(newest)) => format!(
                "complete ones go from {} to {}",
                oldest.label.taken, newest.label.taken
            ),
            _ => "it has no complete one".to_owned(),
        };
        let what = format!("no restore point of {store} is {target}: {range}");
        lasting("no-restore-point", what)
    })
}

/// Brings the restore point that `target` names, or the part of it at `path`, into a folder: the content of the folder
/// that was saved, or the one file. Every byte that is written is verified.
pub(crate) fn bring(
    about: &About<'_>,
    from: &Repository,
    target: &RecoveryTarget,
    path: Option<&Path>,
    into: &Path,
    progress: &dyn Progress,
) -> Result<Brought, Cause> {
    let point = find(about, from, target)?;
    let mut options = RestoreOptions {
        path: Some(part(&point, path)),
        ..RestoreOptions::default()
    };
    let begun = Begun::at(
        into,
        &format!(
            "{} {}",
            point.id,
            options.path.as_deref().unwrap_or(Path::new("/")).display()
        ),
    );
    match begun.state().map_err(|error| unusable(into, &error))? {
        State::Empty => begun.note().map_err(|error| unusable(into, &error))?,
        State::Ours => options.existing = Existing::Mend,
        State::Foreign => {
            let what = format!("{} is not empty: name a folder that is", into.display());
            return Err(lasting("restore-target", what));
        }
    }
    let restored = restore(from, &point.snapshot, into, &options, progress);
    let restored = restored.map_err(|error| failed(&error))?;
    if restored.missing.is_empty() {
        begun.done().map_err(|error| unusable(into, &error))?;
    }
    Ok(Brought {
        point: point.id,
        tree: point.snapshot.tree,
        site: point.label.site.clone(),
        reached: point.label.taken,
        epoch: point.label.epoch,
        position: point.label.position,
        entries: restored.entries,
        bytes: restored.bytes,
        missing: restored.missing,
    })
}

/// Where in the snapshot the wanted part is.
fn part(point: &RestorePoint, path: Option<&Path>) -> PathBuf {
    let root = PathBuf::from(point.snapshot.paths.first().map_or("/", String::as_str));
    match path {
        Some(path) => root.join(path.strip_prefix("/").unwrap_or(path)),
        None => root,
    }
}

fn unusable(into: &Path, error: &io::Error) -> Cause {
    passing(
        "restore-target",
        format!("restore to {}: {error}", into.display()),
    )
}

/// A note beside a folder that a restore into it was begun and is not over.
struct Begun {
    folder: PathBuf,
    note: PathBuf,
    what: String,
}

/// What a folder holds before a restore.
enum State {
    Empty,
    Ours,
    Foreign,
}

impl Begun {
    fn at(folder: &Path, what: &str) -> Self {
        let mut name = std::ffi::OsString::from(".");
        name.push(folder.file_name().unwrap_or_default());
        name.push(".mainstay-restore");
        Self {
            folder: folder.to_owned(),
            note: folder.with_file_name(name),
            what: what.to_owned(),
        }
    }

    fn state(&self) -> io::Result<State> {
        let empty = match fs::read_dir(&self.folder) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error),
        };
        if empty {
            return Ok(State::Empty);
        }
        match fs::read(&self.note) {
            Ok(noted) if noted == self.what.as_bytes() => Ok(State::Ours),
            Ok(_) => Ok(State::Foreign),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::Foreign),
            Err(error) => Err(error),
        }
    }

    fn note(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        write_durably(&self.note, self.what.as_bytes())
    }

    fn done(&self) -> io::Result<()> {
        fs::remove_file(&self.note)
    }
}

/// A folder of the agent's own in which a store is put together before it takes its place.
pub(crate) struct Workshop {
    folder: PathBuf,
}

impl Workshop {
    /// The workshop of one store. What an earlier attempt left in it is carried on with.
    pub(crate) fn of(about: &About<'_>) -> Self {
        Self {
            folder: about.home.state_of("restoring", &about.declared.name),
        }
    }

    /// Where the state is brought to.
    pub(crate) fn restored(&self) -> PathBuf {
        self.folder.join("restored")
    }

    /// Brings the state that `target` names; all of it, or nothing that counts.
    pub(crate) fn bring(
        &self,
        about: &About<'_>,
        from: &Repository,
        target: &RecoveryTarget,
        progress: &dyn Progress,
    ) -> Result<Brought, Cause> {
        let first = bring(about, from, target, None, &self.restored(), progress);
        let brought = match first {
            // Another state was brought there and never put in place.
            Err(cause) if cause.code == "restore-target" => {
                self.clear();
                bring(about, from, target, None, &self.restored(), progress)?
            }
            other => other?,
        };
        match brought.missing.first() {
            None => Ok(brought),
            Some(first) => {
                let (count, path) = (brought.missing.len(), first.path.display());
                let what = format!(
                    "{count} entries did not come back; the first is {path}: {}",
                    first.why
                );
                Err(lasting("restore-incomplete", what))
            }
        }
    }

    /// Takes away what is in it.
    pub(crate) fn clear(&self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
