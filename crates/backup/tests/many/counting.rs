//! A container that counts. It is kept in a folder: in memory it would be most of what is measured.

use std::sync::atomic::{AtomicU64, Ordering};

use mainstay_storage::{Created, Growing, Local, Object, ObjectName, Part, Storage, StorageError};

#[derive(Debug)]
pub(crate) struct Counting {
    inner: Local,
    calls: AtomicU64,
}

/// What was written so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) pack_bytes: u64,
    pub(crate) index_bytes: u64,
    pub(crate) calls: u64,
}

impl Counting {
    pub(crate) fn new(inner: Local) -> Self {
        Self {
            inner,
            calls: AtomicU64::new(0),
        }
    }

    pub(crate) fn counted(&self) -> Counted {
        let bytes = |folder: &str| {
            let listed = self.inner.list(&ObjectName::new(folder).unwrap()).unwrap();
            listed.iter().map(|object| object.size).sum()
        };
        Counted {
            pack_bytes: bytes("data"),
            index_bytes: bytes("index"),
            calls: self.calls.load(Ordering::SeqCst),
        }
    }

    fn call(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
    }
}

impl Storage for Counting {
    fn list(&self, folder: &ObjectName) -> Result<Vec<Object>, StorageError> {
        self.call();
        self.inner.list(folder)
    }

    fn read(&self, name: &ObjectName, part: Part, into: &mut Vec<u8>) -> Result<(), StorageError> {
        self.call();
        self.inner.read(name, part, into)
    }

    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StorageError> {
        self.call();
        self.inner.create(name, bytes)
    }

    fn write(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.call();
        self.inner.write(name, bytes)
    }

    fn begin(&self) -> Result<Option<Box<dyn Growing>>, StorageError> {
        self.call();
        self.inner.begin()
    }

    fn delete(&self, names: &[ObjectName]) -> Result<(), StorageError> {
        self.call();
        self.inner.delete(names)
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.call();
        self.inner.flush()
    }

    fn uploads(&self) -> usize {
        2
    }
}
