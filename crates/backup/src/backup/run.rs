//! One backup, from the source's beginning to the snapshot: threads take folders, runs of entries and chunks from one
//! queue until nothing is left.
//! Must not know the format of trees.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    BackupOptions, Finished, Parent, Problem,
    folder::{Above, Chunk, Folder},
    old::Old,
    queue::{Queue, Work},
};
use crate::{
    BackupError, BlobKind, Entered, FileKind, INCOMPLETE, Id, Index, Kind, Listed, Lock, Missing,
    MissingEntry, Progress, Repository, Sharing, Snapshot, Source, Stored, Time, Who,
    chunk::Chunker,
    node::{Leads, write_node},
    saver::{Hand, Saver, Stopped, with_saver},
};

/// How many entries are read in a row by one thread.
const RUN: usize = 64;
/// How many of the missing entries a snapshot names.
const NAMED: usize = 100;

/// Something to do.
pub(super) enum Task<F> {
    /// A folder is listed.
    Folder {
        above: Option<Box<Above<F>>>,
        path: PathBuf,
        handle: F,
        old: Option<Id>,
    },
    /// Entries of a folder are read.
    Entries {
        folder: Arc<Folder<F>>,
        place: usize,
        entries: Vec<Listed>,
    },
    /// A folder in a folder is opened.
    Enter {
        folder: Arc<Folder<F>>,
        place: usize,
        name: OsString,
    },
}

/// What one thread works with.
pub(super) struct Hands<'a> {
    pub(super) hand: Hand<'a>,
    pub(super) window: Vec<u8>,
}

/// A backup under way.
pub(super) struct Run<'a, S: Source> {
    pub(super) source: &'a S,
    pub(super) repository: &'a Repository,
    pub(super) index: &'a Index,
    pub(super) saver: &'a Saver<'a>,
    pub(super) progress: &'a dyn Progress,
    pub(super) chunker: Chunker,
    pub(super) queue: Queue<Task<S::Folder>, Chunk>,
    pub(super) parent_time: Option<Time>,
    pub(super) entries: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) unchanged: AtomicU64,
    pub(super) changing: AtomicU64,
    problems: Mutex<Vec<Problem>>,
    tree: Mutex<Option<Id>>,
}

/// What the threads found together.
pub(super) struct Read {
    pub(super) tree: Id,
    pub(super) problems: Vec<Problem>,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) unchanged: u64,
    pub(super) changing: u64,
}

/// Backs up a source. What cannot be read is missing in the snapshot, and the snapshot says so.
pub fn backup<S: Source>(
    repository: &Repository,
    source: &S,
    options: &BackupOptions,
    progress: &dyn Progress,
) -> Result<Finished, BackupError> {
    let time = Time::now();
    let entered = source.enter().map_err(|source| BackupError::Source {
        path: PathBuf::from("/"),
        source,
    })?;
    let path = entered.path.display().to_string();
    let mut snapshot = snapshot(&path, options);
    snapshot.time = time;
    let selection = source.selection();
    (snapshot.excludes, snapshot.mainstay_includes) = (selection.exclude, selection.include);
    let lock = Lock::take(repository, Sharing::Shared)?;
    // Snapshots before indexes: whatever a snapshot needs was listed before the snapshot was there.
    let parent = parent(repository, options.parent, &snapshot.hostname, &path)?;
    let index = repository.index()?;
    let (read, stored) = with_saver(repository, &index, &lock, progress, |saver| {
        let read = read_all(
            repository,
            source,
            entered,
            &index,
            saver,
            parent.as_ref(),
            options,
            progress,
        )?;
        let settled = source.settle();
        settled.map_err(|why| {
            saver.fail(BackupError::NotWhole {
                name: path.clone(),
                why,
            })
        })?;
        Ok(read)
    })?;
    snapshot.parent = parent.map(|(id, _)| id);
    commit(repository, &lock, snapshot, read, stored)
}

/// A snapshot of a path that begins now; its tree is found out later.
pub(super) fn snapshot(path: &str, options: &BackupOptions) -> Snapshot {
    let who = Who::here();
    Snapshot {
        time: Time::now(),
        parent: None,
        tree: Id::of(&[]),
        paths: vec![path.to_owned()],
        hostname: options.hostname.clone().unwrap_or(who.hostname),
        username: who.username,
        uid: who.uid,
        gid: who.gid,
        tags: options.tags.clone(),
        excludes: Vec::new(),
        mainstay_includes: Vec::new(),
        original: None,
        program_version: concat!("mainstay ", env!("CARGO_PKG_VERSION")).to_owned(),
        mainstay_missing: None,
    }
}

/// Writes the snapshot, marked if anything is missing.
pub(super) fn commit(
    repository: &Repository,
    lock: &Lock,
    mut snapshot: Snapshot,
    read: Read,
    stored: Stored,
) -> Result<Finished, BackupError> {
    snapshot.tree = read.tree;
    if !read.problems.is_empty() {
        snapshot.tags.push(INCOMPLETE.to_owned());
        let entry = |problem: &Problem| MissingEntry {
            path: problem.path.display().to_string(),
            why: problem.why.clone(),
        };
        snapshot.mainstay_missing = Some(Missing {
            count: read.problems.len() as u64,
            first: read.problems.iter().take(NAMED).map(entry).collect(),
        });
    }
    lock.check()?;
    let id = repository.write_json(FileKind::Snapshot, &snapshot)?;
    repository.storage().flush()?;
    Ok(Finished {
        id,
        snapshot,
        problems: read.problems,
        entries: read.entries,
        bytes: read.bytes,
        unchanged: read.unchanged,
        changing: read.changing,
        stored,
    })
}

pub(super) fn parent(
    repository: &Repository,
    wanted: Parent,
    hostname: &str,
    path: &str,
) -> Result<Option<(Id, Snapshot)>, BackupError> {
    match wanted {
        Parent::Nothing => Ok(None),
        Parent::Exactly(id) => Ok(Some((id, repository.snapshot(id)?))),
        Parent::Newest => {
            let mut snapshots = repository.snapshots()?;
            snapshots.retain(|(_, one)| one.hostname == hostname && one.paths == [path]);
            Ok(snapshots.pop())
        }
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of a backup meet here, once"
)]
fn read_all<S: Source>(
    repository: &Repository,
    source: &S,
    entered: Entered<S::Folder>,
    index: &Index,
    saver: &Saver<'_>,
    parent: Option<&(Id, Snapshot)>,
    options: &BackupOptions,
    progress: &dyn Progress,
) -> Result<Read, Stopped> {
    let first = first(
        repository,
        index,
        entered,
        parent.map(|(_, snapshot)| snapshot.tree),
    );
    let run = Run {
        source,
        repository,
        index,
        saver,
        progress,
        chunker: Chunker::new(&repository.secret()),
        queue: Queue::new(first),
        parent_time: parent.map(|(_, snapshot)| snapshot.time),
        entries: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        unchanged: AtomicU64::new(0),
        changing: AtomicU64::new(0),
        problems: Mutex::default(),
        tree: Mutex::default(),
    };
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads = options.threads.unwrap_or_else(processors).max(1);
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(|| run.work())).collect();
        let done = all
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .map(|one| one.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        done.collect::<Vec<_>>()
            .into_iter()
            .collect::<Result<(), Stopped>>()
    })?;
    let tree = run
        .tree
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let problems = run.problems.into_inner();
    let mut problems = problems.unwrap_or_else(PoisonError::into_inner);
    problems.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Read {
        tree: tree.ok_or(Stopped)?,
        problems,
        entries: run.entries.into_inner(),
        bytes: run.bytes.into_inner(),
        unchanged: run.unchanged.into_inner(),
        changing: run.changing.into_inner(),
    })
}

/// The folders above the source, each with one place, and the task for the source's own.
fn first<F>(
    repository: &Repository,
    index: &Index,
    entered: Entered<F>,
    parent: Option<Id>,
) -> Task<F> {
    let mut old = parent;
    let mut above = None;
    let mut path = PathBuf::from("/");
    for (name, meta) in entered.folders {
        let read = old.and_then(|id| Old::read(repository, index, id).ok());
        old = read.as_ref().and_then(|read| read.subtree(name.as_bytes()));
        let folder = Arc::new(Folder::new(above, path.clone(), None, read, 1));
        path.push(&name);
        above = Some(Box::new(Above {
            folder,
            place: 0,
            name,
            meta,
        }));
    }
    Task::Folder {
        above,
        path,
        handle: entered.folder,
        old,
    }
}

impl<S: Source> Run<'_, S> {
    /// Takes work until there is none.
    fn work(&self) -> Result<(), Stopped> {
        let mut hands = Hands {
            hand: self.saver.hand().inspect_err(|_| self.queue.stop())?,
            window: Vec::new(),
        };
        while let Some(work) = self.queue.next() {
            let done = match work {
                Work::Chunk(chunk) => self.chunk_of_another(&mut hands, &chunk),
                Work::Task(task) => self.task(&mut hands, task),
            };
            if done.is_err() {
                self.queue.stop();
                return done;
            }
            self.queue.finished();
        }
        self.saver.check()?;
        hands.hand.close()
    }

    fn task(&self, hands: &mut Hands<'_>, task: Task<S::Folder>) -> Result<(), Stopped> {
        self.saver.check()?;
        match task {
            Task::Folder {
                above,
                path,
                handle,
                old,
            } => self.folder(hands, above, path, handle, old),
            Task::Entries {
                folder,
                place,
                entries,
            } => self.entries(hands, &folder, place, &entries),
            Task::Enter {
                folder,
                place,
                name,
            } => {
                let Some(handle) = &folder.handle else {
                    return self.fill(hands, &folder, place, Vec::new());
                };
                match self.source.folder(handle, &name) {
                    Err(error) => {
                        self.trouble(folder.path.join(&name), &error);
                        self.fill(hands, &folder, place, Vec::new())
                    }
                    Ok((handle, meta)) => {
                        let path = folder.path.join(&name);
                        let old = folder
                            .old
                            .as_ref()
                            .and_then(|old| old.subtree(name.as_bytes()));
                        let above = Some(Box::new(Above {
                            folder,
                            place,
                            name,
                            meta,
                        }));
                        self.folder(hands, above, path, handle, old)
                    }
                }
            }
        }
    }

    /// Lists a folder and adds what is in it to the queue.
    fn folder(
        &self,
        hands: &mut Hands<'_>,
        above: Option<Box<Above<S::Folder>>>,
        path: PathBuf,
        handle: S::Folder,
        old: Option<Id>,
    ) -> Result<(), Stopped> {
        let mut listed = self.source.list(&handle).unwrap_or_else(|error| {
            // A short list is worth nothing; the folder itself is kept, and the snapshot says that it is not whole.
            self.problem(path.clone(), error.to_string());
            Vec::new()
        });
        for entry in listed.iter_mut().filter(|entry| entry.kind.is_none()) {
            // One that cannot be looked at is named when it is read.
            entry.kind = self
                .source
                .glance(&handle, &entry.name)
                .ok()
                .map(|seen| seen.kind);
        }
        self.progress.found(listed.len() as u64, 0);
        let runs = runs(listed);
        // A parent that cannot be read is no parent.
        let old = old.and_then(|id| Old::read(self.repository, self.index, id).ok());
        let folder = Arc::new(Folder::new(
            above,
            path,
            Some(handle),
            old,
            runs.len().max(1),
        ));
        self.entries.fetch_add(1, Ordering::Relaxed);
        if runs.is_empty() {
            return self.fill(hands, &folder, 0, Vec::new());
        }
        let task = |(place, entries): (usize, Vec<Listed>)| {
            let folder = Arc::clone(&folder);
            match &entries[..] {
                [one] if one.kind == Some(Kind::Folder) => {
                    let name = one.name.clone();
                    Task::Enter {
                        folder,
                        place,
                        name,
                    }
                }
                _ => Task::Entries {
                    folder,
                    place,
                    entries,
                },
            }
        };
        let tasks: Vec<_> = runs.into_iter().enumerate().map(task).collect();
        self.queue.add(tasks.into_iter());
        Ok(())
    }

    /// Fills a place; if it was the last one, saves the tree and goes on above.
    pub(super) fn fill(
        &self,
        hands: &mut Hands<'_>,
        folder: &Arc<Folder<S::Folder>>,
        place: usize,
        texts: Vec<u8>,
    ) -> Result<(), Stopped> {
        let (mut folder, mut place, mut texts) = (Arc::clone(folder), place, texts);
        while let Some(tree) = folder.fill(place, texts) {
            let same = folder
                .old
                .as_ref()
                .and_then(|old| old.same(&tree, self.index));
            let id = match same {
                Some(id) => id,
                None => hands.hand.save(BlobKind::Tree, &tree)?,
            };
            let Some(above) = &folder.above else {
                *self.tree.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
                break;
            };
            texts = Vec::new();
            write_node(
                above.name.as_bytes(),
                &above.meta,
                Leads::Tree(id),
                &mut texts,
            );
            place = above.place;
            folder = Arc::clone(&above.folder);
        }
        Ok(())
    }

    pub(super) fn problem(&self, path: PathBuf, why: String) {
        self.progress.trouble(&path, &why);
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.push(Problem { path, why });
    }
}

/// Sorts a list by name, and parts it: a folder by itself, anything else in runs.
fn runs(mut listed: Vec<Listed>) -> Vec<Vec<Listed>> {
    listed.sort_unstable_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    let mut runs: Vec<Vec<Listed>> = Vec::new();
    let mut open = false;
    for entry in listed {
        let alone = matches!(entry.kind, Some(Kind::Folder));
        match runs.last_mut() {
            Some(run) if open && !alone && run.len() < RUN => run.push(entry),
            _ => runs.push(vec![entry]),
        }
        open = !alone;
    }
    runs
}
