//! Where a file can be had: here, from the other copy, or nowhere. And what can still be read of a pack.
//! Must not know what is needed.

use std::collections::BTreeMap;

use mainstay_storage::Part;

use crate::{
    BackupError, FileKind, Id, Repository,
    check::{is_gone, own_list, place, whole},
    index::Gathered,
    pack::Entry,
    repository::Unseal,
};

/// Who has a file as it should be.
pub(super) enum Had<T> {
    /// It is sound here.
    Here(T),
    /// It is sound in the other copy.
    There(T),
    /// Neither.
    Nowhere(String),
}

/// What looking for a file in one container showed.
enum Look<T> {
    Sound(T),
    Bad(String),
}

/// Damage is an answer; that a container does not answer is an error.
fn look<T>(read: Result<T, BackupError>) -> Result<Look<T>, BackupError> {
    match read {
        Ok(read) => Ok(Look::Sound(read)),
        Err(BackupError::Storage(error)) if !is_gone(&error) => Err(error.into()),
        Err(error) => Ok(Look::Bad(error.to_string())),
    }
}

/// Looks for a file here and, if it is not sound, in the other copy.
pub(super) fn had<T>(
    own: &Repository,
    other: Option<&Repository>,
    read: impl Fn(&Repository) -> Result<T, BackupError>,
) -> Result<Had<T>, BackupError> {
    let how = match look(read(own))? {
        Look::Sound(file) => return Ok(Had::Here(file)),
        Look::Bad(how) => how,
    };
    match other.map(|other| look(read(other))).transpose()? {
        Some(Look::Sound(file)) => Ok(Had::There(file)),
        _ => Ok(Had::Nowhere(how)),
    }
}

/// The blobs of a pack by its own list, if it is whole.
pub(super) fn listed_by_itself(repository: &Repository, id: Id) -> Option<Vec<Entry>> {
    let bytes = whole(repository, &FileKind::Pack.name(id).ok()?).ok()?;
    own_list(repository, &bytes).ok()
}

/// The blobs that can still be read of a pack, each by itself.
pub(super) fn readable(
    repository: &Repository,
    pack: Id,
    entries: &[Entry],
) -> Result<Vec<Entry>, BackupError> {
    let mut readable = Vec::new();
    for entry in entries {
        if let Look::Sound(_) = look(sealed(repository, pack, entry))? {
            readable.push(*entry);
        }
    }
    Ok(readable)
}

/// Reads one sealed blob and proves it.
pub(super) fn sealed(
    repository: &Repository,
    pack: Id,
    entry: &Entry,
) -> Result<Vec<u8>, BackupError> {
    let (mut sealed, mut plain) = (Vec::new(), Vec::new());
    let part = Part::Range {
        from: u64::from(entry.offset),
        len: u64::from(entry.length),
    };
    let name = FileKind::Pack.name(pack)?;
    repository.storage().read(&name, part, &mut sealed)?;
    repository.open_blob(
        entry.kind,
        entry.id,
        place(entry),
        &mut sealed.clone(),
        &mut Unseal::default(),
        &mut plain,
    )?;
    Ok(sealed)
}

/// What the other copy's indexes list, as far as they can be read.
pub(super) fn listed_there(other: &Repository) -> Result<BTreeMap<Id, Vec<Entry>>, BackupError> {
    let mut packs: BTreeMap<Id, Vec<Entry>> = BTreeMap::new();
    for (id, _) in other.list(FileKind::Index)? {
        if let Look::Sound(listed) = look(other.index_file(id))? {
            packs.extend(listed);
        }
    }
    Ok(packs)
}

/// Adds packs to an index.
pub(super) fn add<'a>(index: &mut Gathered, packs: impl Iterator<Item = (Id, &'a [Entry])>) {
    for (id, entries) in packs {
        index.add(id, entries.iter().copied());
    }
}
