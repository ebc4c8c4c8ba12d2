//! A container as it will be: files that are going to be taken from another copy are read from there. Nothing can be
//! written to it.
//! Must not know why a file is taken.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use mainstay_storage::{Created, Object, ObjectName, Part, Storage, StorageError};

use crate::{BackupError, FileKind, Id, Repository};

/// The container of one repository, and that of another copy behind it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) own: Repository,
    pub(super) other: Option<Repository>,
    /// Files that are read from the other.
    pub(super) taken: BTreeSet<ObjectName>,
    /// Names under which packs of the other are seen, beside the same packs here, and what they are called there.
    pub(super) others: BTreeMap<ObjectName, ObjectName>,
}

impl View {
    /// Lets a pack of the other be seen, and answers under which id.
    pub(super) fn show(&mut self, pack: Id) -> Result<Id, BackupError> {
        let shown = Id::of(&[b"other ", &pack.0[..]].concat());
        let (name, real) = (FileKind::Pack.name(shown)?, FileKind::Pack.name(pack)?);
        self.others.insert(name, real);
        Ok(shown)
    }
}

fn only_read(name: &ObjectName) -> StorageError {
    StorageError::Write {
        name: name.clone(),
        source: io::ErrorKind::Unsupported.into(),
    }
}

impl Storage for View {
    fn list(&self, folder: &ObjectName) -> Result<Vec<Object>, StorageError> {
        self.own.storage().list(folder)
    }

    fn read(&self, name: &ObjectName, part: Part, into: &mut Vec<u8>) -> Result<(), StorageError> {
        let others = self.others.get(name);
        let taken = self.taken.get(name);
        match (others.or(taken), &self.other) {
            (Some(name), Some(other)) => other.storage().read(name, part, into),
            _ => self.own.storage().read(name, part, into),
        }
    }

    fn create(&self, name: &ObjectName, _: &[u8]) -> Result<Created, StorageError> {
        Err(only_read(name))
    }

    fn write(&self, name: &ObjectName, _: &[u8]) -> Result<(), StorageError> {
        Err(only_read(name))
    }

    fn delete(&self, names: &[ObjectName]) -> Result<(), StorageError> {
        names.first().map_or(Ok(()), |name| Err(only_read(name)))
    }

    fn flush(&self) -> Result<(), StorageError> {
        Ok(())
    }
}
