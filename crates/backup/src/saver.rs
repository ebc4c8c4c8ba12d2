//! Saving blobs: each once, in packs, uploaded by threads of their own, listed in an index after they are safe.
//! Must not know what the blobs are parts of.

use std::{
    collections::HashSet,
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crossbeam_channel::{Receiver, Sender, bounded};
use rand::rngs::ThreadRng;

use crate::{
    BackupError, FileKind, Id, Index, Lock, Progress, Repository,
    index::Listed,
    pack::{BlobKind, Entry, Finished, Pack, Squeeze},
};

/// How many blobs an index file lists before the next one begins: about restic's number.
const BLOBS_PER_INDEX: usize = 50_000;
/// The level of compression. At this one text shrinks within a twentieth of what restic makes of it, and the
/// processor has time left for the hashes.
pub(crate) const LEVEL: i32 = 1;
/// How many sets the fresh blobs are spread over, so that threads rarely wait for each other.
const SHARDS: usize = 16;

/// Some thread failed; the reason is with the saver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopped;

/// What was saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stored {
    /// Blobs that were not in the repository before.
    pub blobs: u64,
    /// Their bytes before compression.
    pub plain_bytes: u64,
    /// Their bytes as they are stored.
    pub bytes: u64,
    /// Packs they are in.
    pub packs: u64,
}

/// What the savers and the uploaders share.
struct Shared<'a> {
    repository: &'a Repository,
    lock: &'a Lock,
    progress: &'a dyn Progress,
    /// Buffers of packs that were uploaded, to be used again.
    buffers: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
    listed: Mutex<Vec<Listed>>,
    stopped: AtomicBool,
    error: Mutex<Option<BackupError>>,
    blobs: AtomicU64,
    plain_bytes: AtomicU64,
    bytes: AtomicU64,
    packs: AtomicU64,
}

/// Saves blobs into a repository.
pub(crate) struct Saver<'a> {
    shared: &'a Shared<'a>,
    index: &'a Index,
    fresh: [Mutex<HashSet<(BlobKind, Id)>>; SHARDS],
    uploads: Sender<Finished>,
    /// What threads left over, one pack for each kind.
    rest: [Mutex<Option<Pack>>; 2],
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs some work with a saver. When it answers, everything it saved is durable and listed in an index.
pub(crate) fn with_saver<T>(
    repository: &Repository,
    index: &Index,
    held: &Lock,
    progress: &dyn Progress,
    work: impl FnOnce(&Saver<'_>) -> Result<T, Stopped>,
) -> Result<(T, Stored), BackupError> {
    let shared = Shared {
        repository,
        lock: held,
        progress,
        buffers: bounded(16),
        listed: Mutex::default(),
        stopped: AtomicBool::new(false),
        error: Mutex::default(),
        blobs: AtomicU64::new(0),
        plain_bytes: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        packs: AtomicU64::new(0),
    };
    let done = std::thread::scope(|scope| {
        let (uploads, packs) = bounded(0);
        for _ in 0..repository.storage().uploads().max(1) {
            let (packs, shared) = (packs.clone(), &shared);
            scope.spawn(move || shared.upload_all(&packs));
        }
        drop(packs);
        let saver = Saver {
            shared: &shared,
            index,
            fresh: Default::default(),
            uploads,
            rest: Default::default(),
        };
        let done = work(&saver);
        // The uploaders end when the saver is gone.
        done.and_then(|done| saver.close().map(|()| done))
    });
    let listed = done.and_then(|done| shared.list(1).map(|()| done));
    let error = lock(&shared.error).take();
    match (listed, error) {
        (_, Some(error)) => Err(error),
        (Err(Stopped), None) => Err(BackupError::Cancelled),
        (Ok(done), None) => Ok((done, shared.stored())),
    }
}

impl Shared<'_> {
    fn fail(&self, error: BackupError) -> Stopped {
        lock(&self.error).get_or_insert(error);
        self.stopped.store(true, Ordering::SeqCst);
        Stopped
    }

    fn upload_all(&self, packs: &Receiver<Finished>) {
        for pack in packs {
            // After a failure the rest is only taken, so that nobody waits.
            if !self.stopped.load(Ordering::SeqCst) {
                let _ = self.upload(pack);
            }
        }
    }

    fn upload(&self, pack: Finished) -> Result<(), Stopped> {
        let Finished {
            id,
            begun,
            bytes,
            length,
            entries,
        } = pack;
        let written = self.lock.check().and_then(|()| {
            let name = FileKind::Pack.name(id)?;
            match begun {
                Some(mut begun) => {
                    begun.append(&bytes)?;
                    Ok(begun.finish(&name)?)
                }
                None => Ok(self.repository.storage().write(&name, &bytes)?),
            }
        });
        written.map_err(|error| self.fail(error))?;
        self.packs.fetch_add(1, Ordering::Relaxed);
        self.progress.stored(length);
        let _ = self.buffers.0.try_send(bytes);
        lock(&self.listed).push((id, entries));
        self.list(BLOBS_PER_INDEX)
    }

    /// Writes an index of what was uploaded since the last one, if that is at least so many blobs.
    fn list(&self, least: usize) -> Result<(), Stopped> {
        let packs = {
            let mut listed = lock(&self.listed);
            let blobs: usize = listed.iter().map(|(_, entries)| entries.len()).sum();
            if blobs < least {
                return Ok(());
            }
            mem::take(&mut *listed)
        };
        self.write_index(&packs).map_err(|error| self.fail(error))
    }

    fn write_index(&self, packs: &[Listed]) -> Result<(), BackupError> {
        // An index never lists a pack that a loss of power could take away.
        let storage = self.repository.storage();
        storage.flush()?;
        self.lock.check()?;
        self.repository.write_index(packs, &[])?;
        Ok(storage.flush()?)
    }

    fn stored(&self) -> Stored {
        Stored {
            blobs: self.blobs.load(Ordering::SeqCst),
            plain_bytes: self.plain_bytes.load(Ordering::SeqCst),
            bytes: self.bytes.load(Ordering::SeqCst),
            packs: self.packs.load(Ordering::SeqCst),
        }
    }

    fn empty(&self) -> Pack {
        let buffer = self.buffers.1.try_recv();
        Pack::new(buffer.unwrap_or_default())
    }
}

impl Saver<'_> {
    /// What one thread needs to save blobs.
    pub(crate) fn hand(&self) -> Result<Hand<'_>, Stopped> {
        let squeeze = match self.shared.repository.version() {
            1 => None,
            _ => Some(Squeeze::new(LEVEL).map_err(|error| {
                self.shared.fail(BackupError::Source {
                    path: "zstd".into(),
                    source: error,
                })
            })?),
        };
        Ok(Hand {
            saver: self,
            squeeze,
            packs: [None, None],
            random: rand::rng(),
        })
    }

    /// Keeps the first error and stops everybody.
    pub(crate) fn fail(&self, error: BackupError) -> Stopped {
        self.shared.fail(error)
    }

    /// Whether somebody failed, or the caller asked to stop.
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        if self.shared.stopped.load(Ordering::Relaxed) {
            return Err(Stopped);
        }
        if !self.shared.progress.go_on() {
            return Err(self.fail(BackupError::Cancelled));
        }
        Ok(())
    }

    /// Whether the blob is neither in the repository nor claimed by anybody yet. Whoever is told so saves it.
    fn claim(&self, kind: BlobKind, id: Id) -> bool {
        !self.index.has(kind, &id)
            && lock(&self.fresh[usize::from(id.0[0]) % SHARDS]).insert((kind, id))
    }

    fn send(&self, pack: Pack, random: &mut ThreadRng) -> Result<(), Stopped> {
        let finished = pack.finish(self.shared.repository.key(), random);
        self.uploads.send(finished).map_err(|_| Stopped)
    }

    /// Puts what a thread has left to what others left.
    fn leave(&self, kind: BlobKind, pack: Pack, random: &mut ThreadRng) -> Result<(), Stopped> {
        let mut rest = lock(&self.rest[slot(kind)]);
        let merged = match rest.take() {
            Some(mut other) if other.has_room_for(&pack) => {
                other.append(&pack);
                other
            }
            Some(other) => {
                drop(rest);
                self.send(other, random)?;
                rest = lock(&self.rest[slot(kind)]);
                pack
            }
            None => pack,
        };
        match rest.replace(merged) {
            // Somebody else left something meanwhile.
            Some(other) => {
                drop(rest);
                self.send(other, random)
            }
            None => Ok(()),
        }
    }

    fn close(self) -> Result<(), Stopped> {
        let mut random = rand::rng();
        for rest in &self.rest {
            if let Some(pack) = lock(rest).take() {
                self.send(pack, &mut random)?;
            }
        }
        Ok(())
    }
}

fn slot(kind: BlobKind) -> usize {
    usize::from(kind == BlobKind::Tree)
}

/// Saves blobs for one thread.
pub(crate) struct Hand<'a> {
    saver: &'a Saver<'a>,
    squeeze: Option<Squeeze>,
    packs: [Option<Pack>; 2],
    random: ThreadRng,
}

impl Hand<'_> {
    /// Saves a blob if the repository does not have it, and answers its id.
    pub(crate) fn save(&mut self, kind: BlobKind, plain: &[u8]) -> Result<Id, Stopped> {
        let id = Id::of(plain);
        if !self.saver.claim(kind, id) {
            return Ok(id);
        }
        let shared = self.saver.shared;
        let pack = self.packs[slot(kind)].get_or_insert_with(|| shared.empty());
        let squeeze = self.squeeze.as_mut();
        let key = shared.repository.key();
        let length = pack.add(kind, id, plain, key, squeeze, &mut self.random);
        shared.blobs.fetch_add(1, Ordering::Relaxed);
        shared
            .plain_bytes
            .fetch_add(plain.len() as u64, Ordering::Relaxed);
        shared.bytes.fetch_add(length, Ordering::Relaxed);
        let spilled = pack.spill(shared.repository.storage());
        spilled.map_err(|error| shared.fail(error.into()))?;
        if pack.is_full()
            && let Some(pack) = self.packs[slot(kind)].take()
        {
            self.saver.send(pack, &mut self.random)?;
        }
        Ok(id)
    }

    /// Saves a blob that is sealed already, whether the repository has it or not.
    pub(crate) fn save_sealed(&mut self, entry: Entry, sealed: &[u8]) -> Result<(), Stopped> {
        let shared = self.saver.shared;
        let pack = self.packs[slot(entry.kind)].get_or_insert_with(|| shared.empty());
        pack.add_sealed(entry, sealed);
        shared.blobs.fetch_add(1, Ordering::Relaxed);
        shared
            .bytes
            .fetch_add(sealed.len() as u64, Ordering::Relaxed);
        let spilled = pack.spill(shared.repository.storage());
        spilled.map_err(|error| shared.fail(error.into()))?;
        if pack.is_full()
            && let Some(pack) = self.packs[slot(entry.kind)].take()
        {
            self.saver.send(pack, &mut self.random)?;
        }
        Ok(())
    }

    /// Gives back what is not a whole pack yet.
    pub(crate) fn close(mut self) -> Result<(), Stopped> {
        for kind in [BlobKind::Data, BlobKind::Tree] {
            if let Some(pack) = self.packs[slot(kind)].take()
                && !pack.is_empty()
            {
                self.saver.leave(kind, pack, &mut self.random)?;
            }
        }
        Ok(())
    }
}
