//! A folder on a server as a container.
//! Must not know what the objects are, nor how they get their names.
//!
//! Nothing is begun without a name, although it could be: of an object that comes whole, a lost write can be tried again.

use std::{fmt, future::Future, sync::Arc};

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    super::{
        super::{Created, Object, ObjectName, Part, Storage, StorageError},
        address,
        fault::{Fault, Outcome, Sort, changed, not_deleted, not_written},
        options::Options,
        runtime::{NO_LIMIT, wait},
    },
    folder::{Folder, New},
    link::{Session, fault},
};

/// Files that are removed at once.
const AT_ONCE: usize = 16;

/// A container on a server. Clones share it.
#[derive(Clone)]
pub(in super::super) struct Server(Arc<Folder>);

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.0.root).finish()
    }
}

impl Server {
    /// Connects, and looks whether the folder is there and the server can do what is needed.
    pub(in super::super) fn open(
        server: &address::Server,
        place: &str,
        options: &Options,
    ) -> Result<Self, StorageError> {
        let opened = Self(Arc::new(Folder::new(server, options)?));
        let missing = options.missing;
        let looked = opened.call(move |inner, session| async move {
            inner.in_time(0, inner.look(&session.sftp, missing)).await
        });
        looked.map_err(|fault| StorageError::Open {
            place: place.to_owned(),
            source: fault.source,
        })?;
        Ok(opened)
    }

    /// Runs a call on the connection. One that broke, or does not answer, is given up: the next call makes a new one.
    fn call<T, F>(
        &self,
        work: impl FnOnce(Arc<Folder>, Arc<Session>) -> F + Send + 'static,
    ) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        let done = wait(NO_LIMIT, async move {
            let session = inner.link.session().await?;
            let done = work(Arc::clone(&inner), Arc::clone(&session)).await;
            if done
                .as_ref()
                .is_err_and(|fault| fault.outcome == Outcome::Unknown)
            {
                inner.link.forget(&session).await;
            }
            done
        });
        done.unwrap_or_else(|lost| Err(Fault::lost(&lost)))
    }
}

impl Server {
    fn put(&self, name: &ObjectName, bytes: &[u8], new: New) -> Result<(), Fault> {
        let (name, bytes) = (name.clone(), Arc::new(bytes.to_vec()));
        self.call(move |inner, session| async move {
            let work = inner.put(session, &name, &bytes, new);
            inner.in_time(bytes.len() as u64, work).await
        })
    }
}

impl Storage for Server {
    fn list(&self, folder: &ObjectName) -> Result<Vec<Object>, StorageError> {
        let below = folder.clone();
        let listed =
            self.call(move |inner, session| async move { inner.walk(&session.sftp, &below).await });
        listed.map_err(|fault| StorageError::List {
            folder: folder.clone(),
            source: fault.source,
        })
    }

    fn read(&self, name: &ObjectName, part: Part, into: &mut Vec<u8>) -> Result<(), StorageError> {
        let path = self.0.path(name);
        let read = self
            .call(move |inner, session| async move { inner.read(&session.sftp, path, part).await });
        let name = name.clone();
        match (read, part) {
            (Ok(Ok(bytes)), _) => {
                *into = bytes;
                Ok(())
            }
            (Ok(Err(has)), Part::Range { from, len }) => Err(StorageError::Short {
                name,
                has,
                wanted: from.saturating_add(len),
            }),
            (Ok(Err(has)), Part::Whole) => Err(StorageError::Short {
                name,
                has,
                wanted: has,
            }),
            (Err(fault), _) if fault.sort == Sort::NoObject => Err(StorageError::Absent { name }),
            (Err(fault), _) => Err(StorageError::Read {
                name,
                source: fault.source,
            }),
        }
    }

    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StorageError> {
        match self.put(name, bytes, New::Surely) {
            Ok(()) => Ok(Created::Now),
            Err(fault) if fault.sort == Sort::Taken => Ok(Created::ThereAlready),
            Err(fault) => Err(changed(name, fault, not_written)),
        }
    }

    fn write(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        let done = self.put(name, bytes, New::OrNot);
        done.map_err(|fault| changed(name, fault, not_written))
    }

    fn delete(&self, names: &[ObjectName]) -> Result<(), StorageError> {
        let Some(first) = names.first() else {
            return Ok(());
        };
        self.0.removed();
        let paths: Vec<String> = names.iter().map(|name| self.0.path(name)).collect();
        let done = self.call(move |inner, session| async move {
            let removals = paths.into_iter().map(|path| {
                let (inner, session) = (&inner, &session);
                async move {
                    let removed =
                        async { session.sftp.fs().remove_file(path).await.map_err(fault) };
                    match inner.in_time(0, removed).await {
                        Err(fault) if fault.sort == Sort::NoObject => Ok(()),
                        done => done,
                    }
                }
            });
            stream::iter(removals)
                .buffer_unordered(AT_ONCE)
                .try_collect::<()>()
                .await
        });
        done.map_err(|fault| changed(first, fault, not_deleted))
    }

    fn flush(&self) -> Result<(), StorageError> {
        let done =
            self.call(|inner, session| async move { inner.in_time(0, inner.sync(session)).await });
        done.map_err(|fault| StorageError::Open {
            place: self.0.root.clone(),
            source: fault.source,
        })
    }
}
