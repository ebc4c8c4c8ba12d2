//! Fetching blobs and writing them where they belong. A file is made when its first part comes and is done when its
//! last one is written; a file of one part is made, written and done in one go.
//! Must not know how the work is shared out.

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use mainstay_storage::Part;

use super::{
    existing::compare,
    plan::{Fetch, FileJob, Stretch, Use},
    target::{Target, set_length, shown, write_at, write_sparse},
};
use crate::{
    BackupError, BlobKind, Existing, FileKind, Index, Problem, Progress, Repository,
    repository::Unseal,
};

/// How many files are held open at a time.
const OPEN: usize = 256;

/// How a file goes on.
struct State {
    /// How many parts are to be written yet.
    left: AtomicU32,
    /// Whether the file was made by this restore: what is not written in it is zero.
    made: Mutex<Made>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    NotYet,
    New,
    WasThere,
    Failed,
}

/// What threads that fetch share.
pub(super) struct Fetcher<'a> {
    pub(super) repository: &'a Repository,
    pub(super) index: &'a Index,
    pub(super) target: &'a Target,
    pub(super) progress: &'a dyn Progress,
    pub(super) existing: Existing,
    jobs: &'a [FileJob],
    states: Vec<State>,
    open: Mutex<BTreeMap<u32, Arc<OwnedFd>>>,
    pub(super) problems: Mutex<Vec<Problem>>,
    pub(super) entries: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) kept: AtomicU64,
}

/// What one thread works with.
#[derive(Default)]
pub(super) struct Hands {
    read: Vec<u8>,
    plain: Vec<u8>,
    unseal: Unseal,
}

/// The parts blob by blob; none is empty.
fn blobs(parts: &[Fetch]) -> impl Iterator<Item = &[Fetch]> {
    // Whoever wrote the index may have put two blobs at one place.
    parts.chunk_by(|a, b| (a.id, a.place) == (b.id, b.place))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Fetcher<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        index: &'a Index,
        target: &'a Target,
        progress: &'a dyn Progress,
        existing: Existing,
        jobs: &'a [FileJob],
    ) -> Self {
        let state = |_| State {
            left: AtomicU32::new(0),
            made: Mutex::new(Made::NotYet),
        };
        Self {
            repository,
            index,
            target,
            progress,
            existing,
            jobs,
            states: jobs.iter().map(state).collect(),
            open: Mutex::default(),
            problems: Mutex::default(),
            entries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            kept: AtomicU64::new(0),
        }
    }

    fn job(&self, file: u32) -> &FileJob {
        &self.jobs[file as usize]
    }

    fn state(&self, file: u32) -> &State {
        &self.states[file as usize]
    }

    /// A file cannot be restored: it is listed, once, and what there is of it goes away.
    pub(super) fn fail(&self, file: u32, why: &str) {
        let mut made = lock(&self.state(file).made);
        if *made == Made::Failed {
            return;
        }
        lock(&self.open).remove(&file);
        if *made == Made::New {
            // Half a file looks like a whole one.
            let _ = self.target.remove(&self.job(file).path);
        }
        *made = Made::Failed;
        self.problem(&self.job(file).path, why);
    }

    pub(super) fn problem(&self, path: &std::path::Path, why: &str) {
        let path = shown(path);
        self.progress.trouble(&path, why);
        let why = why.to_owned();
        lock(&self.problems).push(Problem { path, why });
    }

    /// Looks at a file before anything is fetched, and answers which parts of it are needed and where they go.
    pub(super) fn prepare(&self, file: u32) -> Vec<Fetch> {
        let job = self.job(file);
        let (mut parts, mut at) = (Vec::with_capacity(job.blobs.len()), 0);
        for id in &job.blobs {
            let Some(place) = self.index.find(BlobKind::Data, id) else {
                let missing = BackupError::Missing {
                    kind: BlobKind::Data,
                    id: *id,
                };
                self.fail(file, &missing.to_string());
                return Vec::new();
            };
            let (id, goes) = (*id, Use { file, at });
            parts.push(Fetch { id, place, goes });
            at += place.plain_length();
        }
        if at != job.size {
            let why = format!("its parts have {at} bytes, the snapshot says {}", job.size);
            self.problem(&job.path, &why);
        }
        if self.existing == Existing::Mend {
            match compare(self.target, job, self.index) {
                Ok(None) => {}
                Ok(Some(found)) => {
                    *lock(&self.state(file).made) = Made::WasThere;
                    let mut right = found.right.iter();
                    parts.retain(|part| {
                        let right = right.next().copied().unwrap_or(false);
                        if right {
                            let length = part.place.plain_length();
                            self.kept.fetch_add(length, Ordering::Relaxed);
                        }
                        !right
                    });
                    if parts.is_empty() {
                        self.settle(file, &found.file, false);
                        return parts;
                    }
                }
                Err(error) => {
                    self.fail(file, &error.to_string());
                    return Vec::new();
                }
            }
        }
        let left = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        self.state(file).left.store(left, Ordering::SeqCst);
        if parts.is_empty() {
            self.finish_empty(file);
        }
        parts
    }

    fn finish_empty(&self, file: u32) {
        let job = self.job(file);
        match self.target.make_file(&job.path, &job.facts) {
            Ok(made) => {
                *lock(&self.state(file).made) = Made::New;
                self.settle(file, &made, true);
            }
            Err(error) => self.fail(file, &error.to_string()),
        }
    }

    /// Fetches a stretch of a pack and writes what is in it.
    pub(super) fn stretch(&self, hands: &mut Hands, stretch: &Stretch, parts: &[Fetch]) {
        let part = Part::Range {
            from: stretch.from,
            len: stretch.len,
        };
        let read = FileKind::Pack
            .name(stretch.pack)
            .and_then(|name| self.repository.storage().read(&name, part, &mut hands.read));
        if let Err(error) = read {
            if parts.len() > 1 {
                // Perhaps only a part of it is unreadable.
                for blob in blobs(parts) {
                    self.alone(hands, stretch, blob);
                }
            } else {
                self.lost(parts, &error.to_string());
            }
            return;
        }
        let mut read = std::mem::take(&mut hands.read);
        for blob in blobs(parts) {
            let place = blob[0].place;
            let from = usize::try_from(u64::from(place.offset) - stretch.from);
            let sealed = from.ok().and_then(|from| {
                let to = from.checked_add(place.length as usize)?;
                read.get_mut(from..to)
            });
            match sealed {
                Some(sealed) => self.blob(hands, blob, sealed),
                None => self.lost(blob, "its pack is too short"),
            }
        }
        hands.read = read;
    }

    fn alone(&self, hands: &mut Hands, stretch: &Stretch, blob: &[Fetch]) {
        let place = blob[0].place;
        let part = Part::Range {
            from: u64::from(place.offset),
            len: u64::from(place.length),
        };
        let mut read = Vec::new();
        let done = FileKind::Pack
            .name(stretch.pack)
            .and_then(|name| self.repository.storage().read(&name, part, &mut read));
        match done {
            Ok(()) => self.blob(hands, blob, &mut read),
            Err(error) => self.lost(blob, &error.to_string()),
        }
    }

    fn lost(&self, parts: &[Fetch], why: &str) {
        for part in parts {
            self.fail(part.goes.file, why);
        }
    }

    /// Opens a blob, proves it, and writes it wherever it belongs.
    fn blob(&self, hands: &mut Hands, blob: &[Fetch], sealed: &mut [u8]) {
        let Hands { plain, unseal, .. } = hands;
        let Fetch { id, place, .. } = blob[0];
        let opened = self
            .repository
            .open_blob(BlobKind::Data, id, place, sealed, unseal, plain);
        let plain = match opened {
            Ok(plain) => plain,
            Err(error) => return self.lost(blob, &error.to_string()),
        };
        for Fetch { goes, .. } in blob {
            match self.write(*goes, plain) {
                Ok(()) => self.progress.done(0, plain.len() as u64),
                Err(error) => self.fail(goes.file, &error.to_string()),
            }
        }
    }

    fn write(&self, one: Use, plain: &[u8]) -> io::Result<()> {
        let (job, state) = (self.job(one.file), self.state(one.file));
        let mut made = lock(&state.made);
        if *made == Made::Failed {
            return Ok(());
        }
        if *made == Made::NotYet && job.blobs.len() == 1 {
            let file = self.target.make_file(&job.path, &job.facts)?;
            *made = Made::New;
            drop(made);
            write_sparse(&file, plain, 0)?;
            if plain.last() == Some(&0) {
                set_length(&file, plain.len() as u64)?;
            }
            self.settle(one.file, &file, true);
            return Ok(());
        }
        let file = self.opened(one.file, &mut made)?;
        let new = *made == Made::New;
        drop(made);
        if new {
            write_sparse(&file, plain, one.at)?;
        } else {
            write_at(&file, plain, one.at)?;
        }
        if state.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            lock(&self.open).remove(&one.file);
            self.settle(one.file, &file, new);
        }
        Ok(())
    }

    /// The open file; made if it is not there, opened again if too many others were open meanwhile.
    fn opened(&self, file: u32, made: &mut Made) -> io::Result<Arc<OwnedFd>> {
        if let Some(open) = lock(&self.open).get(&file) {
            return Ok(Arc::clone(open));
        }
        let job = self.job(file);
        let opened = if *made == Made::NotYet {
            let opened = self.target.make_file(&job.path, &job.facts)?;
            *made = Made::New;
            set_length(&opened, job.size)?;
            opened
        } else {
            self.target.open_file(&job.path)?
        };
        let opened = Arc::new(opened);
        let mut open = lock(&self.open);
        if open.len() >= OPEN {
            open.pop_first();
        }
        open.insert(file, Arc::clone(&opened));
        Ok(opened)
    }

    /// Gives a file that is written whole the rest of what it is.
    fn settle(&self, file: u32, open: &OwnedFd, new: bool) {
        let job = self.job(file);
        match self.target.settle_file(open, &job.facts, new) {
            Ok(()) => {
                self.entries.fetch_add(1, Ordering::Relaxed);
                self.bytes.fetch_add(job.size, Ordering::Relaxed);
                self.progress.done(1, 0);
            }
            // The content is there and right; what else is not is listed.
            Err(error) => self.problem(&job.path, &format!("its content is there, but: {error}")),
        }
    }
}
