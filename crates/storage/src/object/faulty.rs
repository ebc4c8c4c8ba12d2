//! A container that fails when it is told to: the N-th call of a sort goes wrong in one of three ways.
//! Must not know what the calls are for.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{Created, Object, ObjectName, Part, Storage, StorageError};

/// How the chosen call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was done.
    Before,
    /// It was done, and the answer was lost.
    After,
    /// The first half of the bytes was written under the final name, and the answer was lost: a container that does
    /// not keep its word. Of a deletion, the first half of the names is gone.
    Torn,
    /// From this call on, every call fails before it does anything: the process or its network is gone.
    Gone,
}

/// Which calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultyOp {
    /// All of them.
    Any,
    /// Listings.
    List,
    /// Reads.
    Read,
    /// Creates and writes.
    Write,
    /// Deletions.
    Delete,
    /// Flushes.
    Flush,
}

/// A container that fails at one call.
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    op: FaultyOp,
    at: u64,
    failure: Failure,
    calls: AtomicU64,
}

impl<S> Faulty<S> {
    /// Lets the call number `at` (from 0) of this sort fail.
    #[must_use]
    pub fn new(inner: S, op: FaultyOp, at: u64, failure: Failure) -> Self {
        Self {
            inner,
            op,
            at,
            failure,
            calls: AtomicU64::new(0),
        }
    }

    /// How many calls of the sort there were.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// What it wraps.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// What it wraps, for good.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn due(&self, op: FaultyOp) -> Option<Failure> {
        if self.op != FaultyOp::Any && self.op != op {
            return None;
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        match self.failure {
            Failure::Gone => (call >= self.at).then_some(Failure::Gone),
            failure => (call == self.at).then_some(failure),
        }
    }
}

fn injected() -> io::Error {
    io::Error::other("injected fault")
}

fn write_failed(name: &ObjectName) -> StorageError {
    StorageError::Write {
        name: name.clone(),
        source: injected(),
    }
}

fn unknown(name: &ObjectName) -> StorageError {
    StorageError::Unknown {
        name: name.clone(),
        source: injected(),
    }
}

impl<S: Storage> Storage for Faulty<S> {
    fn list(&self, folder: &ObjectName) -> Result<Vec<Object>, StorageError> {
        if self.due(FaultyOp::List).is_some() {
            return Err(StorageError::List {
                folder: folder.clone(),
                source: injected(),
            });
        }
        self.inner.list(folder)
    }

    fn read(&self, name: &ObjectName, part: Part, into: &mut Vec<u8>) -> Result<(), StorageError> {
        if self.due(FaultyOp::Read).is_some() {
            return Err(StorageError::Read {
                name: name.clone(),
                source: injected(),
            });
        }
        self.inner.read(name, part, into)
    }

    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StorageError> {
        match self.due(FaultyOp::Write) {
            None => self.inner.create(name, bytes),
            Some(Failure::Before | Failure::Gone) => Err(write_failed(name)),
            Some(Failure::After) => {
                let _ = self.inner.create(name, bytes)?;
                Err(unknown(name))
            }
            Some(Failure::Torn) => {
                let _ = self.inner.create(name, &bytes[..bytes.len() / 2])?;
                Err(unknown(name))
            }
        }
    }

    fn write(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        match self.due(FaultyOp::Write) {
            None => self.inner.write(name, bytes),
            Some(Failure::Before | Failure::Gone) => Err(write_failed(name)),
            Some(Failure::After) => {
                self.inner.write(name, bytes)?;
                Err(unknown(name))
            }
            Some(Failure::Torn) => {
                self.inner.write(name, &bytes[..bytes.len() / 2])?;
                Err(unknown(name))
            }
        }
    }

    fn delete(&self, names: &[ObjectName]) -> Result<(), StorageError> {
        let Some(name) = names.first() else {
            return Ok(());
        };
        let (done, failure) = match self.due(FaultyOp::Delete) {
            None => return self.inner.delete(names),
            Some(Failure::Before | Failure::Gone) => {
                return Err(StorageError::Delete {
                    name: name.clone(),
                    source: injected(),
                });
            }
            Some(Failure::After) => (names.len(), unknown(name)),
            Some(Failure::Torn) => (names.len() / 2, unknown(name)),
        };
        self.inner.delete(&names[..done])?;
        Err(failure)
    }

    fn flush(&self) -> Result<(), StorageError> {
        if self.due(FaultyOp::Flush).is_some() {
            return Err(StorageError::Open {
                place: "the container".to_owned(),
                source: injected(),
            });
        }
        self.inner.flush()
    }

    fn uploads(&self) -> usize {
        self.inner.uploads()
    }
}
