//! The one interface over containers of objects: a folder, an object store, a server's files.
//! Must not know what a repository is.
//!
//! The calls block. Their callers are threads that hash, compress and encrypt; a backup keeps as many uploads under
//! way as it has upload threads, and no asynchronous runtime stands in its hot path. A backend that speaks
//! asynchronously brings its own runtime and waits.

use std::{fmt, sync::Arc};

use super::{ObjectName, StorageError};

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Its whole name.
    pub name: ObjectName,
    /// Its length in bytes.
    pub size: u64,
}

/// Which part of an object is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// Exactly this many bytes from here; fewer is an error.
    Range {
        /// The first byte.
        from: u64,
        /// How many bytes.
        len: u64,
    },
}

/// What a conditional create found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Created {
    /// The object is there now, and was not before.
    Now,
    /// Another one was there already and is unchanged.
    ThereAlready,
}

/// An object that is written piece by piece and gets its name at the end. Until then it is no object; dropped, it
/// never was one.
pub trait Growing: Send {
    /// Adds bytes at its end.
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError>;

    /// Gives it its name, in place of any other of that name, as [`Storage::write`] does.
    fn finish(self: Box<Self>, name: &ObjectName) -> Result<(), StorageError>;
}

/// A container of objects. All methods may be called from many threads at once.
pub trait Storage: fmt::Debug + Send + Sync {
    /// Every object below a folder, sorted by name, or an error: never a list that is short. A folder that does not
    /// exist is empty. Idempotent.
    fn list(&self, folder: &ObjectName) -> Result<Vec<Object>, StorageError>;

    /// Reads a part of an object in place of what `into` holds. Idempotent.
    fn read(&self, name: &ObjectName, part: Part, into: &mut Vec<u8>) -> Result<(), StorageError>;

    /// Writes a whole object if there is none of that name. Readers see all of it or nothing. After
    /// [`StorageError::Unknown`] the object may be there: look.
    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StorageError>;

    /// Writes a whole object in place of any other of that name. Readers see all of the old or all of the new.
    /// Idempotent for equal bytes.
    fn write(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError>;

    /// Begins an object that need not be held in memory until its name is known; nothing where the container only
    /// takes whole objects.
    fn begin(&self) -> Result<Option<Box<dyn Growing>>, StorageError> {
        Ok(None)
    }

    /// Removes objects, in an order that the container chooses; one that is gone is fine. After an error any of them
    /// may be gone or there. Idempotent.
    fn delete(&self, names: &[ObjectName]) -> Result<(), StorageError>;

    /// Returns when everything written and removed so far survives a loss of power. Idempotent.
    fn flush(&self) -> Result<(), StorageError>;

    /// How many writes at once make use of it.
    fn uploads(&self) -> usize {
        8
    }
}

/// What is shared is the same container.
impl<S: Storage + ?Sized> Storage for Arc<S> {
    fn list(&self, folder: &ObjectName) -> Result<Vec<Object>, StorageError> {
        (**self).list(folder)
    }

    fn read(&self, name: &ObjectName, part: Part, into: &mut Vec<u8>) -> Result<(), StorageError> {
        (**self).read(name, part, into)
    }

    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StorageError> {
        (**self).create(name, bytes)
    }

    fn write(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        (**self).write(name, bytes)
    }

    fn begin(&self) -> Result<Option<Box<dyn Growing>>, StorageError> {
        (**self).begin()
    }

    fn delete(&self, names: &[ObjectName]) -> Result<(), StorageError> {
        (**self).delete(names)
    }

    fn flush(&self) -> Result<(), StorageError> {
        (**self).flush()
    }

    fn uploads(&self) -> usize {
        (**self).uploads()
    }
}
