//! The packs: there, as long as their blobs make them, and down to every byte what their names say.
//! Must not know what the blobs are parts of.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use mainstay_storage::{Part, StorageError};

use super::{
    files::is_gone,
    run::{Found, Packs},
};
use crate::{
    BackupError, FileKind, Id, Progress, Repository,
    index::Place,
    pack::{BadList, Entry, LENGTH, list_length, read_list, tail_length},
    repository::Unseal,
};

/// Compares what the indexes list with what is there.
pub(crate) fn compare(
    repository: &Repository,
    packs: &Packs,
    found: &mut Found,
) -> Result<(), BackupError> {
    let there: BTreeMap<Id, u64> = repository.list(FileKind::Pack)?.into_iter().collect();
    for (id, entries) in packs {
        let Some(size) = there.get(id) else {
            found.pack(*id, entries, "it is not there");
            continue;
        };
        let mut end = 0_u64;
        let fits = entries.iter().all(|entry| {
            let begins = u64::from(entry.offset) == end;
            end += u64::from(entry.length);
            begins
        });
        let expected = end + tail_length(entries.iter().copied());
        if !fits {
            found.pack(
                *id,
                entries,
                "the index lists its blobs with gaps or one over another",
            );
        } else if expected != *size {
            let how = format!("it has {size} bytes, its blobs make {expected}");
            found.pack(*id, entries, how);
        }
    }
    for id in there.keys().filter(|id| !packs.contains_key(id)) {
        found.waste(format!("pack {id}"), "no index lists it");
    }
    Ok(())
}

/// What is wrong with a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not what it should be.
    Damaged {
        /// How that shows.
        how: String,
        /// Which of its blobs cannot be believed: those with a broken seal or hash.
        lost: Vec<Entry>,
    },
    /// It could not be read, and may be sound.
    Unreadable(String),
}

/// Reads every pack that is there, and answers how many bytes that were.
pub(super) fn read_all(
    repository: &Repository,
    packs: &Packs,
    found: &mut Found,
    progress: &dyn Progress,
) -> Result<u64, BackupError> {
    let all: Vec<_> = packs
        .iter()
        .filter(|(id, _)| !found.packs.contains(id))
        .map(|(id, entries)| (*id, &entries[..]))
        .collect();
    let bytes = AtomicU64::new(0);
    let shared = Mutex::new(found);
    read_each(repository, &all, progress, &|id, entries, length, fault| {
        bytes.fetch_add(length, Ordering::Relaxed);
        let mut found = shared.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            None => {}
            Some(Fault::Damaged { how, lost }) => found.pack(id, &lost, how),
            Some(Fault::Unreadable(how)) => found.pack(id, entries, how),
        }
    })?;
    Ok(bytes.into_inner())
}

/// Is told of each pack how many bytes were read and what is wrong.
pub(crate) type Tell<'a> = dyn Fn(Id, &[Entry], u64, Option<Fault>) + Sync + 'a;

/// Reads packs on as many threads as there are processors.
pub(crate) fn read_each(
    repository: &Repository,
    packs: &[(Id, &[Entry])],
    progress: &dyn Progress,
    tell: &Tell<'_>,
) -> Result<(), BackupError> {
    progress.found(packs.len() as u64, 0);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut hands = Hands::default();
        while let Some((id, entries)) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !progress.go_on() {
                return Err(BackupError::Cancelled);
            }
            let done = prove(repository, *id, entries, &mut hands);
            let length = hands.read.len() as u64;
            progress.done(1, length);
            tell(*id, entries, length, done.err());
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads.min(packs.len()))
            .map(|_| scope.spawn(work))
            .collect();
        let done = all.into_iter().map(std::thread::ScopedJoinHandle::join);
        done.map(|one| one.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Vec<_>>()
            .into_iter()
            .collect()
    })
}

/// What one thread reads with.
#[derive(Default)]
pub(crate) struct Hands {
    pub(crate) read: Vec<u8>,
    plain: Vec<u8>,
    unseal: Unseal,
}

/// Reads one pack whole: its name is its hash, its own list is that of the index, every blob is what it is called.
pub(crate) fn prove(
    repository: &Repository,
    id: Id,
    entries: &[Entry],
    hands: &mut Hands,
) -> Result<(), Fault> {
    let Hands {
        read,
        plain,
        unseal,
    } = hands;
    read.clear();
    let name = FileKind::Pack.name(id);
    let done = name.and_then(|name| repository.storage().read(&name, Part::Whole, read));
    done.map_err(|error| unread(&error, entries))?;
    let mut faults = Vec::new();
    if Id::of(read) != id {
        faults.push("its content is not what its name says".to_owned());
    }
    match own_list(repository, read) {
        Ok(listed) if listed == entries => {}
        Ok(_) => faults.push("its own list differs from the index".to_owned()),
        Err(how) => faults.push(how.to_string()),
    }
    let mut lost = Vec::new();
    for entry in entries {
        let from = entry.offset as usize;
        let opened = match read.get_mut(from..from.saturating_add(entry.length as usize)) {
            Some(sealed) => repository
                .open_blob(entry.kind, entry.id, place(entry), sealed, unseal, plain)
                .map(|_| ())
                .map_err(|error| error.to_string()),
            None => Err(format!("{} {} lies beyond its end", entry.kind, entry.id)),
        };
        if let Err(how) = opened {
            faults.push(how);
            lost.push(*entry);
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    let how = faults.join("; ");
    Err(Fault::Damaged { how, lost })
}

/// A pack that is not there is damage; one that a container could not hand out just now may be sound.
fn unread(error: &StorageError, entries: &[Entry]) -> Fault {
    let how = error.to_string();
    if is_gone(error) {
        let lost = entries.to_vec();
        return Fault::Damaged { how, lost };
    }
    Fault::Unreadable(how)
}

/// Where an entry's blob is, for opening it.
pub(crate) fn place(entry: &Entry) -> Place {
    Place {
        pack: 0,
        offset: entry.offset,
        length: entry.length,
        raw: entry.raw,
    }
}

/// The list that a pack has of its own blobs.
pub(crate) fn own_list(repository: &Repository, pack: &[u8]) -> Result<Vec<Entry>, BadList> {
    let size = pack.len() as u64;
    let length = list_length(pack, size)?;
    let end = pack.len() - LENGTH;
    let length = usize::try_from(length).map_err(|_| BadList::Short)?;
    let mut sealed = pack[end - length..end].to_vec();
    read_list(repository.key(), &mut sealed, size)
}
