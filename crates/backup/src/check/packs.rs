//! The packs: there, as long as their blobs make them, and down to every byte what their names say.
//! Must not know what the blobs are parts of.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use mainstay_storage::Part;

use super::run::{Found, Packs};
use crate::{
    BackupError, FileKind, Id, Progress, Repository,
    index::Place,
    pack::{Entry, LENGTH, list_length, read_list, tail_length},
    repository::Unseal,
};

/// Compares what the indexes list with what is there.
pub(super) fn compare(
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
        .collect();
    progress.found(all.len() as u64, 0);
    let (next, bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
    let shared = Mutex::new(found);
    let work = || {
        let (mut read, mut plain, mut unseal) = (Vec::new(), Vec::new(), Unseal::default());
        while let Some((id, entries)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !progress.go_on() {
                return Err(BackupError::Cancelled);
            }
            let done = one(
                repository,
                **id,
                entries,
                &mut read,
                &mut plain,
                &mut unseal,
            );
            bytes.fetch_add(read.len() as u64, Ordering::Relaxed);
            progress.done(1, read.len() as u64);
            if let Err((how, lost)) = done {
                let mut found = shared.lock().unwrap_or_else(PoisonError::into_inner);
                found.pack(**id, &lost, how);
            }
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let done = all.into_iter().map(std::thread::ScopedJoinHandle::join);
        done.map(|one| one.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Vec<_>>()
            .into_iter()
            .collect::<Result<(), _>>()
    })?;
    Ok(bytes.into_inner())
}

/// Reads one pack. On a fault, says which of its blobs cannot be believed: those with a broken seal or hash.
fn one(
    repository: &Repository,
    id: Id,
    entries: &[Entry],
    read: &mut Vec<u8>,
    plain: &mut Vec<u8>,
    unseal: &mut Unseal,
) -> Result<(), (String, Vec<Entry>)> {
    read.clear();
    let name = FileKind::Pack.name(id);
    let name = name.map_err(|error| (error.to_string(), entries.to_vec()))?;
    let done = repository.storage().read(&name, Part::Whole, read);
    done.map_err(|error| (error.to_string(), entries.to_vec()))?;
    let mut faults = Vec::new();
    if Id::of(read) != id {
        faults.push("its content is not what its name says".to_owned());
    }
    if let Err(how) = list(repository, entries, read) {
        faults.push(how);
    }
    let mut lost = Vec::new();
    for entry in entries {
        let from = entry.offset as usize;
        let place = Place {
            pack: 0,
            offset: entry.offset,
            length: entry.length,
            raw: entry.raw,
        };
        let opened = match read.get_mut(from..from.saturating_add(entry.length as usize)) {
            Some(sealed) => repository
                .open_blob(entry.kind, entry.id, place, sealed, unseal, plain)
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
    Err((faults.join("; "), lost))
}

/// Compares the pack's own list with the index.
fn list(repository: &Repository, entries: &[Entry], pack: &[u8]) -> Result<(), String> {
    let size = pack.len() as u64;
    let length = list_length(pack, size).map_err(|error| error.to_string())?;
    let end = pack.len() - LENGTH;
    let from = end - usize::try_from(length).map_err(|error| error.to_string())?;
    let mut sealed = pack[from..end].to_vec();
    let listed =
        read_list(repository.key(), &mut sealed, size).map_err(|error| error.to_string())?;
    if listed == entries {
        Ok(())
    } else {
        Err("its own list differs from the index".to_owned())
    }
}
