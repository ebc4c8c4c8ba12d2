//! Brings a store back into a folder: base, proof of the base, recovery to the target. Carries on where it was cut
//! short, and answers the same when it was done before.
//! Must not know which store's folder that will be.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use mainstay_backup::{Existing, Owners, Progress, Reader, Repository, RestoreOptions, restore};
use mainstay_driver::Cause;
use mainstay_model::{Epoch, Position, RecoveryTarget, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    super::{files::Folder, instance::Instance, programs::Programs, rebuild::gone},
    choose::{Stock, Until, Way},
    held::Held,
    leftovers::sweep,
    recover::{Reached, recover},
    scratch::Place,
    store::Store,
    wait::wait,
};
use crate::shared::{Brought, failed, lasting, passing, write_durably};

/// In a folder that is done: what it is.
pub(super) const DONE: &str = "mainstay_restored";
/// Reading everything once may take long.
const VERIFY: Duration = Duration::from_secs(24 * 3600);
const VERIFIED: &str = "pg_verifybackup";

/// What a folder holds, kept in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) version: u32,
    pub(super) target: String,
    pub(super) point: String,
    pub(super) tree: String,
    pub(super) reached: Timestamp,
    pub(super) lsn: u64,
    pub(super) commit: Option<Timestamp>,
    pub(super) epoch: Epoch,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) checks: Vec<String>,
}

/// What is being done to a folder, kept beside it until it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Begun {
    version: u32,
    point: String,
    until: String,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Phase {
    /// Files come back: what is right stays.
    Files,
    /// A server changes them: a second attempt begins anew.
    Recovery,
}

/// Brings back what a target names. Blocks; leaves nothing running.
pub(super) fn bring(
    store: &Store,
    from: &Repository,
    target: &RecoveryTarget,
    into: &Path,
    progress: &dyn Progress,
) -> Result<Brought, Cause> {
    let (until, named) = Until::of(target)?;
    bring_until(store, from, &until, named, into, progress)
}

/// The same for any stop.
pub(super) fn bring_until(
    store: &Store,
    from: &Repository,
    until: &Until,
    named: Option<&str>,
    into: &Path,
    progress: &dyn Progress,
) -> Result<Brought, Cause> {
    sweep_left(&store.instance)?;
    let stock = Stock::read(store, from)?;
    let mut last = None;
    for (way, held) in stock.ways(store, until, named)? {
        if let Until::Name(name) = until
            && !super::named::may_have(&way, &held, &stock.reader, name)?
        {
            continue;
        }
        match follow(store, from, &way, &held, into, progress) {
            // The name is not between this base and the end of the log after all: an older base may lead to it.
            Err(cause) if matches!(until, Until::Name(_)) && cause.code == "target-after-end" => {
                remove(into).map_err(|e| unusable(into, &e))?;
                last = Some(cause);
            }
            done => return done,
        }
    }
    Err(last.unwrap_or_else(|| {
        let what = format!(
            "{until} is nowhere in the stored log of {}",
            store.instance.name
        );
        lasting("no-restore-point", what)
    }))
}

fn unusable(into: &Path, error: &io::Error) -> Cause {
    passing(
        "restore-target",
        format!("restore to {}: {error}", into.display()),
    )
}

fn note_beside(into: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(into.file_name().unwrap_or_default());
    name.push(".mainstay-restore");
    into.with_file_name(name)
}

fn remove(into: &Path) -> io::Result<()> {
    fs::remove_dir_all(into).or_else(gone)?;
    fs::remove_file(note_beside(into)).or_else(gone)
}

/// What is to be done with a folder as it is.
enum Start {
    Anew,
    Mend,
    Done(Box<Note>),
}

fn begin(into: &Path, begun: &Begun) -> Result<Start, Cause> {
    let broken = |e: io::Error| unusable(into, &e);
    if let Some(note) = note(into)
        && note.point == begun.point
        && note.target == begun.until
    {
        return Ok(Start::Done(Box::new(note)));
    }
    let empty = match fs::read_dir(into) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(broken(error)),
    };
    let earlier = fs::read(note_beside(into)).ok();
    let earlier: Option<Begun> = earlier.and_then(|text| serde_json::from_slice(&text).ok());
    match earlier {
        _ if empty => Ok(Start::Anew),
        Some(earlier) if earlier == *begun => Ok(Start::Mend),
        // It is ours, and of no use any more.
        Some(_) => {
            remove(into).map_err(broken)?;
            Ok(Start::Anew)
        }
        None => {
            let what = format!("{} is not empty: name a folder that is", into.display());
            Err(lasting("restore-target", what))
        }
    }
}

/// What a folder says of itself.
pub(super) fn note(folder: &Path) -> Option<Note> {
    serde_json::from_slice(&fs::read(folder.join(DONE)).ok()?).ok()
}

fn follow(
    store: &Store,
    from: &Repository,
    way: &Way,
    held: &Held,
    into: &Path,
    progress: &dyn Progress,
) -> Result<Brought, Cause> {
    let mut begun = Begun {
        version: 1,
        point: way.base.point.id.to_string(),
        until: way.until.to_string(),
        phase: Phase::Files,
    };
    let existing = match begin(into, &begun)? {
        Start::Done(note) => return Ok(brought(way, &note)),
        Start::Anew => Existing::Keep,
        Start::Mend => Existing::Mend,
    };
    keep_note(into, &begun)?;
    fs::create_dir_all(into).map_err(|e| unusable(into, &e))?;
    let options = RestoreOptions {
        path: Some(store.data_path()),
        existing,
        owners: Owners::Mine,
        threads: None,
    };
    let snapshot = &way.base.point.snapshot;
    let restored = restore(from, snapshot, into, &options, progress);
    let restored = restored.map_err(|error| failed(&error))?;
    let mut note = Note {
        version: 1,
        target: begun.until.clone(),
        point: begun.point.clone(),
        tree: snapshot.tree.to_string(),
        reached: way.base.point.label.taken,
        lsn: way.base.end,
        commit: None,
        epoch: way.base.point.label.epoch,
        entries: restored.entries,
        bytes: restored.bytes,
        checks: Vec::new(),
    };
    if !restored.missing.is_empty() {
        let mut brought = brought(way, &note);
        brought.missing = restored.missing;
        return Ok(brought);
    }
    let place = place(store, into)?;
    place.give_all(into).map_err(|e| unusable(into, &e))?;
    verify(&place)?;
    note.checks.push(VERIFIED.to_owned());
    begun.phase = Phase::Recovery;
    keep_note(into, &begun)?;
    let reader = Reader::open(from).map_err(|error| failed(&error))?;
    let reached = recover(&place, way, held, reader, progress)?;
    (note.lsn, note.commit) = (reached.lsn, reached.commit);
    note.epoch = note.epoch.max(reached.epoch);
    note.reached = moment(way, &reached);
    finish(&place, into, &note)?;
    Ok(brought(way, &note))
}

/// The moment that is there now: every write acknowledged before it.
fn moment(way: &Way, reached: &Reached) -> Timestamp {
    let base = way.base.point.label.taken;
    match way.until {
        Until::Consistent => base,
        Until::Time(time, _) => time,
        Until::End => way.reach.taken.max(base),
        Until::Lsn(..) | Until::Name(_) => reached.commit.unwrap_or(base).max(base),
    }
}

fn keep_note(into: &Path, begun: &Begun) -> Result<(), Cause> {
    let text = serde_json::to_vec(begun).unwrap_or_default();
    write_durably(&note_beside(into), &text).map_err(|e| unusable(into, &e))
}

/// Everything is on disk before the folder says that it is done.
fn finish(place: &Place, into: &Path, note: &Note) -> Result<(), Cause> {
    let folder = Folder {
        path: into.to_owned(),
        owner: place.programs.owner,
    };
    wait(async { folder.sync().await.map_err(|e| unusable(into, &e)) })?;
    let text = serde_json::to_string_pretty(note).unwrap_or_default();
    let written = folder.write(&into.join(DONE), &text);
    written.map_err(|e| unusable(into, &e))?;
    fs::remove_file(note_beside(into))
        .or_else(gone)
        .map_err(|e| unusable(into, &e))
}

fn brought(way: &Way, note: &Note) -> Brought {
    Brought {
        point: way.base.point.id,
        tree: way.base.point.snapshot.tree,
        site: way.base.point.label.site.clone(),
        reached: note.reached,
        epoch: note.epoch,
        position: Some(Position::Lsn(note.lsn)),
        entries: note.entries,
        bytes: note.bytes,
        missing: Vec::new(),
    }
}

/// Where it is noted that scratch servers of a store run.
fn notes(instance: &Instance) -> PathBuf {
    instance.state("servers")
}

/// Ends and removes what is left of restores and proofs whose process is gone.
pub(super) fn sweep_left(instance: &Instance) -> Result<(), Cause> {
    sweep(&notes(instance))
}

/// Where a restored folder's server works: programs of its own version, run by the user that runs the store's cluster.
pub(super) fn place(store: &Store, data: &Path) -> Result<Place, Cause> {
    let instance = &store.instance;
    wait(async {
        let at = instance.at(&instance.home.site)?;
        let bin = at.bin.as_ref().map(|bin| instance.home.path(bin));
        let mut programs = Programs::find(bin.as_deref(), at.run_as.as_deref(), data).await?;
        programs.owner = instance.programs().await?.owner;
        let login = instance.admin(&instance.home.site).await?;
        Ok(Place {
            programs,
            data: data.to_owned(),
            user: login.user().to_owned(),
            database: login.database().to_owned(),
            notes: notes(instance),
        })
    })
}

/// The source's own list of files, their checksums, and the log that makes them consistent.
fn verify(place: &Place) -> Result<(), Cause> {
    let data = place.data.display().to_string();
    place.reachable()?;
    let done = wait(place.programs.run(VERIFIED, &["-q", &data], None, VERIFY));
    done.map(drop)
        .map_err(|cause| lasting("postgres-not-verified", cause.what))
}
