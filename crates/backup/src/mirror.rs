//! Copying a repository to a second container: packs, then indexes, then snapshots, each read back there, so that the
//! copy never claims more than it holds. What is there already is not copied again.
//! Must not know when copies are due, nor what the second container keeps for longer than the first.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use mainstay_storage::{Created, ObjectName, Part, Storage, StorageError};

use crate::{
    BackupError, FileKind, Id, Lock, Progress, Repository, ScrubMemory, Sharing, Snapshot, Time,
    check::{Found, affected, is_gone, walk, whole},
    index::Listed,
    layout,
};

/// What a copy took, and what it could not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrored {
    /// Packs that were copied and read back.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packs that were there already.
    pub packs_there: u64,
    /// Snapshots that were copied.
    pub snapshots: u64,
    /// Snapshots that only the second container has: they were forgotten in the first. They stay.
    pub only_there: BTreeSet<Id>,
    /// Files of the first container that are damaged or missing, and so were not copied, with the reason.
    pub damaged: BTreeMap<ObjectName, String>,
    /// Snapshots that were not copied, because something is missing that they need.
    pub held_back: BTreeSet<Id>,
}

impl Mirrored {
    /// Whether the second container can restore whatever the first one lists.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty() && self.held_back.is_empty()
    }
}

/// Copies a repository into a container that is empty or holds an earlier copy of it, and answers what was done. The
/// memory is that of scrubbing the second container: a pack that it remembers as whole is not read again; one that it
/// does not is read there, and copied again if it is not right. So it goes on where it was when it is cut short.
/// Nothing is ever removed from the second container.
pub fn mirror(
    from: &Repository,
    to: Arc<dyn Storage>,
    memory: &mut ScrubMemory,
    progress: &dyn Progress,
) -> Result<Mirrored, BackupError> {
    let here = Lock::take(from, Sharing::Shared)?;
    let to = from.on(to);
    open(from, &to)?;
    let there = Lock::take(&to, Sharing::Shared)?;
    memory.belong(to.id());
    let copy = Copy {
        from,
        to: &to,
        locks: [&here, &there],
        progress,
        state: Mutex::new(State {
            memory,
            done: Mirrored::default(),
        }),
    };
    // In this order, so that what a backup adds meanwhile is never taken for missing.
    let snapshots = copy.snapshots()?;
    let indexes = copy.indexes()?;
    let held = copy.packs(&indexes)?;
    copy.list(&indexes, &held)?;
    copy.commit(snapshots)?;
    let state = copy.state.into_inner();
    Ok(state.unwrap_or_else(PoisonError::into_inner).done)
}

/// Makes the second container one of the same repository, if it is none yet.
fn open(from: &Repository, to: &Repository) -> Result<(), BackupError> {
    let name = layout::config()?;
    let config = whole(from, &name)?;
    let mut there = Vec::new();
    match to.storage().read(&name, Part::Whole, &mut there) {
        Ok(()) if to.proves_config(&there) => {}
        // A container that does not keep its word left the beginning of it.
        Ok(()) if config.starts_with(&there) => to.storage().write(&name, &config)?,
        Ok(()) => {
            return Err(BackupError::NotACopy {
                why: "it holds another repository",
            });
        }
        Err(StorageError::Absent { .. }) => {
            for kind in [FileKind::Snapshot, FileKind::Index, FileKind::Pack] {
                if !to.list(kind)?.is_empty() {
                    return Err(BackupError::NotACopy {
                        why: "it has no file called config, and yet it is not empty",
                    });
                }
            }
        }
        Err(error) => return Err(error.into()),
    }
    // Keys first: a repository that nobody can open is none.
    copy_keys(from, to)?;
    if there.is_empty() && to.storage().create(&name, &config)? == Created::ThereAlready {
        // Somebody else was faster, perhaps with the same.
        whole(to, &name)?;
    }
    Ok(to.storage().flush()?)
}

/// Copies the keys that are sound; there must be one.
fn copy_keys(from: &Repository, to: &Repository) -> Result<(), BackupError> {
    let (mut copied, mut bad) = (0, None);
    for (id, _) in from.list(FileKind::Key)? {
        let name = FileKind::Key.name(id)?;
        match whole(from, &name) {
            Ok(bytes) if whole(to, &name).is_err() => to.storage().write(&name, &bytes)?,
            Ok(_) => {}
            Err(error) => {
                bad = Some(error);
                continue;
            }
        }
        copied += 1;
    }
    match bad {
        Some(error) if copied == 0 => Err(error),
        _ => Ok(to.storage().flush()?),
    }
}

struct State<'a> {
    memory: &'a mut ScrubMemory,
    done: Mirrored,
}

struct Copy<'a> {
    from: &'a Repository,
    to: &'a Repository,
    locks: [&'a Lock; 2],
    progress: &'a dyn Progress,
    state: Mutex<State<'a>>,
}

impl<'a> Copy<'a> {
    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn go_on(&self) -> Result<(), BackupError> {
        if !self.progress.go_on() {
            return Err(BackupError::Cancelled);
        }
        self.locks.iter().try_for_each(|lock| lock.check())
    }

    /// Reads something of the first container. Damage is noted and is nothing.
    fn had<T>(
        &self,
        name: ObjectName,
        read: Result<T, BackupError>,
    ) -> Result<Option<T>, BackupError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(BackupError::Storage(error)) if !is_gone(&error) => Err(error.into()),
            Err(error) => {
                self.state().done.damaged.insert(name, error.to_string());
                Ok(None)
            }
        }
    }

    /// The snapshots of the first container that the second one does not have.
    fn snapshots(&self) -> Result<Vec<(Id, Snapshot)>, BackupError> {
        let mut here: BTreeMap<Id, u64> = self.from.list(FileKind::Snapshot)?.into_iter().collect();
        let mut missing = Vec::new();
        for (id, _) in self.to.list(FileKind::Snapshot)? {
            if here.remove(&id).is_none() {
                self.state().done.only_there.insert(id);
            } else if whole(self.to, &FileKind::Snapshot.name(id)?).is_err() {
                here.insert(id, 0);
            }
        }
        for id in here.into_keys() {
            let name = FileKind::Snapshot.name(id)?;
            let snapshot = self.had(name, self.from.snapshot(id))?;
            missing.extend(snapshot.map(|snapshot| (id, snapshot)));
        }
        Ok(missing)
    }

    fn indexes(&self) -> Result<BTreeMap<Id, Vec<Listed>>, BackupError> {
        let mut indexes = BTreeMap::new();
        for (id, _) in self.from.list(FileKind::Index)? {
            let name = FileKind::Index.name(id)?;
            let listed = self.had(name, self.from.index_file(id))?;
            indexes.extend(listed.map(|listed| (id, listed)));
        }
        Ok(indexes)
    }

    /// Copies the packs that are listed, several at once, and answers those that the second container has now.
    fn packs(&self, indexes: &BTreeMap<Id, Vec<Listed>>) -> Result<BTreeSet<Id>, BackupError> {
        let listed = indexes.values().flatten().map(|(pack, _)| *pack);
        let wanted: BTreeSet<Id> = listed.collect();
        let wanted: Vec<Id> = wanted.into_iter().collect();
        let here: BTreeMap<Id, u64> = self.from.list(FileKind::Pack)?.into_iter().collect();
        let there: BTreeMap<Id, u64> = self.to.list(FileKind::Pack)?.into_iter().collect();
        let bytes = wanted.iter().filter_map(|id| here.get(id)).sum();
        self.progress.found(wanted.len() as u64, bytes);
        let (next, held) = (AtomicUsize::new(0), Mutex::new(BTreeSet::new()));
        let work = || {
            while let Some(id) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.go_on()?;
                if self.pack(*id, there.get(id).copied())? {
                    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                    held.insert(*id);
                }
                self.progress.done(1, here.get(id).copied().unwrap_or(0));
            }
            Ok(())
        };
        let threads = self.to.storage().uploads().clamp(1, 8);
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let done = all.into_iter().map(std::thread::ScopedJoinHandle::join);
            done.map(|one| one.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect::<Vec<_>>()
                .into_iter()
                .collect::<Result<(), BackupError>>()
        })?;
        self.to.storage().flush()?;
        Ok(held.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sees to it that one pack is there, and answers whether it is.
    fn pack(&self, id: Id, there: Option<u64>) -> Result<bool, BackupError> {
        let name = FileKind::Pack.name(id)?;
        if let Some(size) = there {
            let remembered = self.state().memory.is_whole(&id, size, Time::now());
            // A name is a hash, so what proves it has the right length too.
            if remembered || whole(self.to, &name).is_ok() {
                let mut state = self.state();
                state.done.packs_there += 1;
                if !remembered {
                    state.memory.note_whole(self.to.id(), id, size, Time::now());
                }
                return Ok(true);
            }
        }
        let Some(bytes) = self.had(name.clone(), whole(self.from, &name))? else {
            return Ok(false);
        };
        self.put(&name, &bytes)?;
        self.progress.stored(bytes.len() as u64);
        let (size, mut state) = (bytes.len() as u64, self.state());
        state.memory.note_whole(self.to.id(), id, size, Time::now());
        state.done.packs += 1;
        state.done.bytes += size;
        Ok(true)
    }

    /// Writes a file and proves that it is there.
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), BackupError> {
        let storage = self.to.storage();
        storage.write(name, bytes)?;
        storage.flush()?;
        whole(self.to, name).map(|_| ())
    }

    /// Copies the indexes. One that lists a pack that the second container does not have is written without it.
    fn list(
        &self,
        indexes: &BTreeMap<Id, Vec<Listed>>,
        held: &BTreeSet<Id>,
    ) -> Result<(), BackupError> {
        let mut known = BTreeSet::new();
        for (id, _) in self.to.list(FileKind::Index)? {
            if let Ok(listed) = self.to.index_file(id) {
                known.extend(listed.into_iter().map(|(pack, _)| pack));
            }
        }
        for (id, listed) in indexes {
            self.go_on()?;
            let name = FileKind::Index.name(*id)?;
            if listed.iter().all(|(pack, _)| held.contains(pack)) {
                if whole(self.to, &name).is_err()
                    && let Some(bytes) = self.had(name.clone(), whole(self.from, &name))?
                {
                    self.put(&name, &bytes)?;
                }
                continue;
            }
            let fresh = |(pack, _): &&Listed| held.contains(pack) && !known.contains(pack);
            let fresh: Vec<Listed> = listed.iter().filter(fresh).cloned().collect();
            if !fresh.is_empty() {
                self.to.write_index(&fresh, &[])?;
            }
        }
        Ok(self.to.storage().flush()?)
    }

    /// Copies the snapshots that need nothing that the second container lacks.
    fn commit(&self, snapshots: Vec<(Id, Snapshot)>) -> Result<(), BackupError> {
        if snapshots.is_empty() {
            return Ok(());
        }
        let index = self.to.index()?;
        let mut found = Found::default();
        walk(self.to, &index, &snapshots, &mut found);
        let lost = affected(self.to, &index, &snapshots, &found.blobs);
        let held_back: BTreeSet<Id> = lost.into_iter().map(|one| one.snapshot).collect();
        for (id, _) in snapshots {
            if held_back.contains(&id) {
                continue;
            }
            self.go_on()?;
            let name = FileKind::Snapshot.name(id)?;
            if let Some(bytes) = self.had(name.clone(), whole(self.from, &name))? {
                self.put(&name, &bytes)?;
                self.state().done.snapshots += 1;
            }
        }
        self.state().done.held_back = held_back;
        Ok(())
    }
}
