//! One stream as a source: what a program writes, as a file of a name. A stream that breaks off looks like one that
//! ended, so a snapshot is only written after whoever writes it says that it is whole.
//! Must not know programs.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    io::{self, Read},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{Entered, Kind, Listed, Meta, Source, Time};

type Verdict = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// A stream and the word of whoever writes it.
pub struct Stream<R> {
    name: OsString,
    content: Mutex<Option<R>>,
    verdict: Mutex<Option<Verdict>>,
    broken: Arc<AtomicBool>,
}

impl<R> fmt::Debug for Stream<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<R: Read + Send> Stream<R> {
    /// A stream that becomes the file of this name. `verdict` is asked after its end: of a program, whether it ended
    /// with exit code 0.
    pub fn new(
        name: impl Into<OsString>,
        content: R,
        verdict: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            content: Mutex::new(Some(content)),
            verdict: Mutex::new(Some(Box::new(verdict))),
            broken: Arc::default(),
        }
    }
}

/// A stream whose errors are remembered: a part of a stream is worth nothing.
#[derive(Debug)]
pub struct Watched<R> {
    inner: R,
    broken: Arc<AtomicBool>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.inner.read(into).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.broken.store(true, Ordering::SeqCst);
            }
        })
    }
}

impl<R: Read + Send> Source for Stream<R> {
    type Folder = ();
    type Content = Watched<R>;

    fn enter(&self) -> io::Result<Entered<()>> {
        Ok(Entered {
            path: Path::new("/").join(&self.name),
            folders: Vec::new(),
            folder: (),
        })
    }

    fn list(&self, (): &()) -> io::Result<Vec<Listed>> {
        Ok(vec![Listed {
            name: self.name.clone(),
            kind: Some(Kind::File),
        }])
    }

    fn folder(&self, (): &(), _: &OsStr) -> io::Result<((), Meta)> {
        Err(io::ErrorKind::NotADirectory.into())
    }

    /// A stream is never the same as before: its time is now.
    fn glance(&self, (): &(), _: &OsStr) -> io::Result<Meta> {
        Ok(Meta::plain(Kind::File, 0o600, Time::now()))
    }

    fn look(&self, (): &(), name: &OsStr) -> io::Result<Meta> {
        self.glance(&(), name)
    }

    fn open(&self, (): &(), name: &OsStr) -> io::Result<(Watched<R>, Meta)> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = content.take().ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut meta = self.glance(&(), name)?;
        // How long it is shows at its end.
        meta.size = u64::MAX;
        let broken = Arc::clone(&self.broken);
        Ok((Watched { inner, broken }, meta))
    }

    fn settle(&self) -> Result<(), String> {
        if self.broken.load(Ordering::SeqCst) {
            return Err("it could not be read to its end".to_owned());
        }
        let verdict = self
            .verdict
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        verdict.map_or(Err("it was backed up before".to_owned()), |verdict| {
            verdict()
        })
    }
}
