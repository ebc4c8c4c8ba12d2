//! Small files that survive a crash whole: written beside, synced, renamed, the folder synced. And a lock between processes.
//! Must not know what is in them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

/// Replaces a file's content: after this returns it is on disk; a crash leaves the old or the new content.
pub(crate) fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = parent(path);
    fs::create_dir_all(folder)?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(content)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Makes renames and removals in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder of a path; the current one for a bare name.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A lock on a path, held until dropped, and released by the kernel if this process dies.
#[derive(Debug)]
pub(crate) struct Locked {
    _file: File,
}

impl Locked {
    /// Waits for the lock until `patience` is over. Nothing is ever read from or written to the file.
    pub(crate) fn wait(path: &Path, patience: Duration) -> io::Result<Self> {
        let until = Instant::now() + patience;
        loop {
            if let Some(locked) = Self::attempt(path)? {
                return Ok(locked);
            }
            if Instant::now() >= until {
                let what = format!("{} is locked by another process", path.display());
                return Err(io::Error::new(io::ErrorKind::WouldBlock, what));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Takes the lock if nobody has it.
    pub(crate) fn attempt(path: &Path) -> io::Result<Option<Self>> {
        let path: PathBuf = path.to_path_buf();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(error) if error == Errno::WOULDBLOCK => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_freed_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/lock");
        let first = Locked::attempt(&path).unwrap().unwrap();
        assert!(Locked::attempt(&path).unwrap().is_none());
        drop(first);
        assert!(Locked::attempt(&path).unwrap().is_some());
    }

    #[test]
    fn content_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/record.json");
        write_durably(&path, b"one").unwrap();
        write_durably(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
    }
}
