//! A folder as a container. Names are resolved below the folder's descriptor and no link is followed, so nothing
//! that lies in the folder can lead a call out of it.
//! Must not know what the objects are.
//!
//! A write goes to a file of its own under `tmp`, is synced, and renamed into place. Folders whose entries changed are
//! synced once, at `flush`, however many entries changed in them.

use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::{
    buffer::spare_capacity,
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, fstat, fsync, linkat,
        mkdirat, openat, openat2, renameat, renameat_with, statat, unlinkat,
    },
    io::{Errno, pread, write},
};

use super::{Created, Growing, Object, ObjectName, Part, Storage, StorageError};

/// Where files are written before they get their names. Nothing in it is an object.
const UNFINISHED: &str = "tmp";

/// A container in a folder.
#[derive(Debug)]
pub struct Local(Arc<Folder>);

#[derive(Debug)]
struct Folder {
    root: OwnedFd,
    next: AtomicU64,
    /// Folders whose entries changed since they were synced last; the empty name is the root.
    changed: Mutex<BTreeSet<String>>,
}

impl Local {
    /// Opens a container that exists.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, path, flags, Mode::empty()).map_err(|error| StorageError::Open {
            place: path.display().to_string(),
            source: error.into(),
        })?;
        Ok(Self(Arc::new(Folder {
            root,
            next: AtomicU64::new(0),
            changed: Mutex::default(),
        })))
    }

    /// Opens a container, and makes its folder where there is none. Only the owner may look into it.
    pub fn create(path: &Path) -> Result<Self, StorageError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path);
        made.map_err(|source| StorageError::Open {
            place: path.display().to_string(),
            source,
        })?;
        Self::open(path)
    }
}

impl Folder {
    fn below(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat2(
            &self.root,
            if path.is_empty() { "." } else { path },
            flags,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
        )
    }

    /// Opens a folder for changes in it, and makes it where there is none.
    fn folder(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        match self.below(path, flags) {
            Err(Errno::NOENT) if !path.is_empty() => {
                let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
                match mkdirat(self.folder(above)?, name, Mode::RWXU) {
                    Err(error) if error != Errno::EXIST => return Err(error),
                    _ => self.touch(above),
                }
                self.below(path, flags)
            }
            opened => opened,
        }
    }

    fn touch(&self, folder: &str) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        if !changed.contains(folder) {
            changed.insert(folder.to_owned());
        }
    }

    /// Makes a file that has no object's name yet.
    fn unfinished(self: &Arc<Self>) -> rustix::io::Result<Unfinished> {
        let folder = self.folder(UNFINISHED)?;
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let name = format!("mainstay-{}-{number}", std::process::id());
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = match openat(&folder, &name, flags, Mode::RUSR | Mode::WUSR) {
                // Left by a process of that number that was killed.
                Err(Errno::EXIST) => continue,
                opened => opened?,
            };
            return Ok(Unfinished {
                container: Arc::clone(self),
                folder,
                name,
                file,
                moved: false,
            });
        }
    }

    fn put(
        self: &Arc<Self>,
        name: &ObjectName,
        bytes: &[u8],
        new: New,
    ) -> rustix::io::Result<Created> {
        // Before the bytes are written: a folder that cannot be used is found out early.
        self.folder(name.split().0)?;
        let unfinished = self.unfinished()?;
        write_all(&unfinished.file, bytes)?;
        unfinished.settle(name, new)
    }

    fn walk(&self, folder: &str, into: &mut Vec<Object>) -> rustix::io::Result<()> {
        let opened = match self.below(folder, OFlags::RDONLY | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => return Ok(()),
            opened => opened?,
        };
        for entry in Dir::read_from(&opened)? {
            let entry = entry?;
            let name = entry.file_name();
            let Ok(text) = name.to_str() else { continue };
            // What no object can be called is none: a file of somebody else's, or the folder itself.
            let Ok(path) = ObjectName::new(format!("{folder}/{text}")) else {
                continue;
            };
            let seen = match statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) {
                // Removed since it was listed.
                Err(Errno::NOENT) => continue,
                seen => seen?,
            };
            match FileType::from_raw_mode(seen.st_mode) {
                FileType::Directory => self.walk(path.as_str(), into)?,
                FileType::RegularFile => into.push(Object {
                    name: path,
                    size: u64::try_from(seen.st_size).unwrap_or(0),
                }),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether another object of that name may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum New {
    /// It is replaced.
    OrNot,
    /// It stays, and nothing is written.
    Surely,
}

/// A file that has no object's name yet. It goes away if it never gets one.
#[derive(Debug)]
struct Unfinished {
    container: Arc<Folder>,
    folder: OwnedFd,
    name: String,
    file: OwnedFd,
    moved: bool,
}

impl Unfinished {
    /// Syncs it and gives it its name.
    fn settle(mut self, name: &ObjectName, new: New) -> rustix::io::Result<Created> {
        let (folder, last) = name.split();
        let to = self.container.folder(folder)?;
        fsync(&self.file)?;
        let moved = match new {
            New::OrNot => renameat(&self.folder, &self.name, &to, last),
            New::Surely => {
                let flags = RenameFlags::NOREPLACE;
                match renameat_with(&self.folder, &self.name, &to, last, flags) {
                    // Some network file systems cannot; a second name fails the same way if the first is taken.
                    Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                        linkat(&self.folder, &self.name, &to, last, AtFlags::empty())
                            .and_then(|()| unlinkat(&self.folder, &self.name, AtFlags::empty()))
                    }
                    moved => moved,
                }
            }
        };
        match moved {
            Err(Errno::EXIST) if new == New::Surely => return Ok(Created::ThereAlready),
            moved => moved?,
        }
        self.moved = true;
        self.container.touch(folder);
        Ok(Created::Now)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.moved {
            let _ = unlinkat(&self.folder, &self.name, AtFlags::empty());
        }
    }
}

impl Growing for Unfinished {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        write_all(&self.file, bytes).map_err(|error| StorageError::Open {
            place: format!("{UNFINISHED}/{}", self.name),
            source: error.into(),
        })
    }

    fn finish(self: Box<Self>, name: &ObjectName) -> Result<(), StorageError> {
        let done = self.settle(name, New::OrNot);
        done.map(|_| ()).map_err(|error| not_written(name, error))
    }
}

fn not_written(name: &ObjectName, error: Errno) -> StorageError {
    StorageError::Write {
        name: name.clone(),
        source: error.into(),
    }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match write(file, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads up to `len` bytes from a place on; fewer only where the file ends.
fn read_at(file: &OwnedFd, from: u64, len: u64, into: &mut Vec<u8>) -> rustix::io::Result<()> {
    into.clear();
    let len = usize::try_from(len).map_err(|_| Errno::OVERFLOW)?;
    into.try_reserve_exact(len).map_err(|_| Errno::NOMEM)?;
    while into.len() < len {
        let at = from + into.len() as u64;
        match pread(file, spare_capacity(into), at) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    into.truncate(len);
    Ok(())
}

impl Storage for Local {
    fn list(&self, folder: &ObjectName) -> Result<Vec<Object>, StorageError> {
        let mut objects = Vec::new();
        let walked = self.0.walk(folder.as_str(), &mut objects);
        walked.map_err(|error| StorageError::List {
            folder: folder.clone(),
            source: error.into(),
        })?;
        objects.sort_unstable();
        Ok(objects)
    }

    fn read(&self, name: &ObjectName, part: Part, into: &mut Vec<u8>) -> Result<(), StorageError> {
        let failed = |error: Errno| match error {
            Errno::NOENT => StorageError::Absent { name: name.clone() },
            error => StorageError::Read {
                name: name.clone(),
                source: io::Error::from(error),
            },
        };
        // Not blocking: a pipe in an object's place must not hold up anybody.
        let file = self
            .0
            .below(name.as_str(), OFlags::RDONLY | OFlags::NONBLOCK);
        let file = file.map_err(failed)?;
        let has = fstat(file.as_fd()).map_err(failed)?.st_size;
        let has = u64::try_from(has).unwrap_or(0);
        let (from, len) = match part {
            Part::Whole => (0, has),
            Part::Range { from, len } => (from, len),
        };
        let short = |has| StorageError::Short {
            name: name.clone(),
            has,
            wanted: from.saturating_add(len),
        };
        if from.checked_add(len).is_none_or(|end| end > has) {
            return Err(short(has));
        }
        read_at(&file, from, len, into).map_err(failed)?;
        if into.len() as u64 == len {
            Ok(())
        } else {
            Err(short(from + into.len() as u64))
        }
    }

    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StorageError> {
        let done = self.0.put(name, bytes, New::Surely);
        done.map_err(|error| not_written(name, error))
    }

    fn write(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        let done = self.0.put(name, bytes, New::OrNot);
        done.map(|_| ()).map_err(|error| not_written(name, error))
    }

    fn begin(&self) -> Result<Option<Box<dyn Growing>>, StorageError> {
        let begun = self.0.unfinished().map_err(|error| StorageError::Open {
            place: UNFINISHED.to_owned(),
            source: error.into(),
        })?;
        Ok(Some(Box::new(begun)))
    }

    fn delete(&self, names: &[ObjectName]) -> Result<(), StorageError> {
        for name in names {
            let (folder, last) = name.split();
            let removed = self
                .0
                .below(folder, OFlags::RDONLY | OFlags::DIRECTORY)
                .and_then(|folder| unlinkat(folder, last, AtFlags::empty()));
            match removed {
                Ok(()) => self.0.touch(folder),
                Err(Errno::NOENT) => {}
                Err(error) => {
                    return Err(StorageError::Delete {
                        name: name.clone(),
                        source: error.into(),
                    });
                }
            }
        }
        Ok(())
    }

    /// A disk does not go faster for more, and each holds a whole object in memory.
    fn uploads(&self) -> usize {
        2
    }

    fn flush(&self) -> Result<(), StorageError> {
        let mut changed = self
            .0
            .changed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while let Some(folder) = changed.first() {
            let synced = self
                .0
                .below(folder, OFlags::RDONLY | OFlags::DIRECTORY)
                .and_then(fsync);
            synced.map_err(|error| StorageError::Open {
                place: folder.clone(),
                source: error.into(),
            })?;
            changed.pop_first();
        }
        Ok(())
    }
}
