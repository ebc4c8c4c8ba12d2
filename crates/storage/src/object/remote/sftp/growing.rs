//! An object that grows on a server before it has its name.
//! Must not know how files are written.

use std::{io, sync::Arc};

use super::{
    super::{
        super::{Growing, ObjectName, StorageError},
        fault::{Fault, changed, not_written},
    },
    container::Server,
    files,
    folder::{New, Unfinished},
};

/// A growing object. It goes away if it never gets its name.
pub(super) struct Growth {
    server: Server,
    /// Nothing after an append that failed: nobody knows how much of it arrived.
    begun: Option<(Unfinished, u64)>,
}

impl Growth {
    pub(super) fn new(server: Server, begun: Unfinished) -> Self {
        Self {
            server,
            begun: Some((begun, 0)),
        }
    }
}

fn lost() -> io::Error {
    io::Error::other("an earlier part of it was not written")
}

fn unfinished(source: io::Error) -> StorageError {
    StorageError::Open {
        place: "an object that has no name yet".to_owned(),
        source,
    }
}

impl Growing for Growth {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let (begun, at) = self.begun.take().ok_or_else(|| unfinished(lost()))?;
        let bytes = Arc::new(bytes.to_vec());
        let end = at + bytes.len() as u64;
        // On its own connection, not a newer one: its file is open there.
        let written = self.server.call(move |inner, _| async move {
            let work = files::write(&begun.file, at, &bytes);
            inner
                .in_time(bytes.len() as u64, work)
                .await
                .map(|()| begun)
        });
        let begun = written.map_err(|fault| unfinished(fault.source))?;
        self.begun = Some((begun, end));
        Ok(())
    }

    fn finish(mut self: Box<Self>, name: &ObjectName) -> Result<(), StorageError> {
        let Some((begun, _)) = self.begun.take() else {
            return Err(not_written(name.clone(), lost()));
        };
        let named = name.clone();
        let done: Result<(), Fault> = self.server.call(move |inner, _| async move {
            let work = inner.settle(begun, &named, New::OrNot);
            inner.in_time(0, work).await
        });
        done.map_err(|fault| changed(name, fault, not_written))
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        if let Some((begun, _)) = self.begun.take() {
            let _: Result<(), Fault> = self.server.call(move |inner, _| async move {
                let gone = async {
                    let _ = begun.session.sftp.fs().remove_file(&begun.path).await;
                    Ok(())
                };
                inner.in_time(0, gone).await
            });
        }
    }
}
