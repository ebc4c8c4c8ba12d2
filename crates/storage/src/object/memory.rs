//! A container in memory: for tests, and for what is not to be kept.
//! Must not know what the objects are.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Created, Object, ObjectName, Part, Storage, StorageError};

/// Objects by name. A clone is a container of its own with the same objects.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<ObjectName, Vec<u8>>>);

impl Memory {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<ObjectName, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.objects().clone()))
    }
}

impl Storage for Memory {
    fn list(&self, folder: &ObjectName) -> Result<Vec<Object>, StorageError> {
        let objects = self.objects();
        let below = objects.iter().filter(|(name, _)| name.is_below(folder));
        let listed = below.map(|(name, bytes)| Object {
            name: name.clone(),
            size: bytes.len() as u64,
        });
        Ok(listed.collect())
    }

    fn read(&self, name: &ObjectName, part: Part, into: &mut Vec<u8>) -> Result<(), StorageError> {
        let objects = self.objects();
        let Some(bytes) = objects.get(name) else {
            return Err(StorageError::Absent { name: name.clone() });
        };
        let has = bytes.len() as u64;
        let (from, len) = match part {
            Part::Whole => (0, has),
            Part::Range { from, len } => (from, len),
        };
        let wanted = from.saturating_add(len);
        let range = usize::try_from(from).ok().zip(usize::try_from(wanted).ok());
        let found = range.and_then(|(from, to)| bytes.get(from..to));
        let found = found.ok_or_else(|| StorageError::Short {
            name: name.clone(),
            has,
            wanted,
        })?;
        into.clear();
        into.extend_from_slice(found);
        Ok(())
    }

    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StorageError> {
        let mut objects = self.objects();
        if objects.contains_key(name) {
            return Ok(Created::ThereAlready);
        }
        objects.insert(name.clone(), bytes.to_vec());
        Ok(Created::Now)
    }

    fn write(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.objects().insert(name.clone(), bytes.to_vec());
        Ok(())
    }

    fn delete(&self, names: &[ObjectName]) -> Result<(), StorageError> {
        let mut objects = self.objects();
        for name in names {
            objects.remove(name);
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StorageError> {
        Ok(())
    }
}
