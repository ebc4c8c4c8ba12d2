//! A folder of files as a source, on the system's own calls: nothing is opened twice, no link is followed.
//! Must not know repositories.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStringExt as _,
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fgetxattr, flistxattr, fstat, getxattr,
        listxattr, openat, readlinkat, statat,
    },
    io::Errno,
};

use crate::{Attribute, Entered, Kind, Listed, Meta, ShortRead, Source, Time, users::Users};

/// A folder of files.
#[derive(Debug)]
pub struct Files {
    path: PathBuf,
    users: Users,
    /// Reading does not change the time of last access, where this user may ask for that.
    quietly: OFlags,
}

impl Files {
    /// The folder at an absolute path.
    pub fn new(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let inner = |part| matches!(part, Component::RootDir | Component::Normal(_));
        if !path.components().all(inner) {
            let why = "an absolute path without `..` is needed";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let root = rustix::process::geteuid().is_root();
        Ok(Self {
            path: path.components().collect(),
            users: Users::read(),
            quietly: if root {
                OFlags::NOATIME
            } else {
                OFlags::empty()
            },
        })
    }

    fn meta(&self, kind: Kind, seen: &Stat) -> Meta {
        let time =
            |secs: i64, nanos: u64| Time::from_parts(secs, i64::try_from(nanos).unwrap_or(0));
        let is_device = matches!(kind, Kind::Block | Kind::Char);
        let links = seen.st_nlink;
        Meta {
            kind,
            mode: seen.st_mode & 0o7777,
            modified: time(seen.st_mtime, seen.st_mtime_nsec),
            changed: time(seen.st_ctime, seen.st_ctime_nsec),
            uid: seen.st_uid,
            gid: seen.st_gid,
            user: self.users.user(seen.st_uid).to_owned(),
            group: self.users.group(seen.st_gid).to_owned(),
            inode: seen.st_ino,
            device_id: if links > 1 && kind != Kind::Folder {
                seen.st_dev
            } else {
                0
            },
            links,
            size: match kind {
                Kind::File => u64::try_from(seen.st_size).unwrap_or(0),
                _ => 0,
            },
            target: Vec::new(),
            device: if is_device { seen.st_rdev } else { 0 },
            attributes: Vec::new(),
        }
    }

    fn enter_at(&self, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<(OwnedFd, Meta)> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(parent, name, flags, Mode::empty())?;
        let mut meta = self.meta(Kind::Folder, &fstat(&folder)?);
        meta.attributes = attributes(Of::Open(folder.as_fd()))?;
        Ok((folder, meta))
    }
}

/// What a mode says an entry is.
fn kind(mode: u32) -> io::Result<Kind> {
    known(FileType::from_raw_mode(mode))
        .ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "an entry of unknown sort"))
}

fn known(sort: FileType) -> Option<Kind> {
    Some(match sort {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Link,
        FileType::BlockDevice => Kind::Block,
        FileType::CharacterDevice => Kind::Char,
        FileType::Fifo => Kind::Pipe,
        FileType::Socket => Kind::Socket,
        FileType::Unknown => return None,
    })
}

/// Whose attributes are read.
#[derive(Clone, Copy)]
enum Of<'a> {
    Open(BorrowedFd<'a>),
    /// By its descriptor's name below `/proc`, for what must not be opened.
    Path(&'a Path),
}

fn attributes(of: Of<'_>) -> io::Result<Vec<Attribute>> {
    let names = grown(|into| match of {
        Of::Open(file) => flistxattr(file, into),
        Of::Path(path) => listxattr(path, into),
    });
    let names = match names {
        // The file system has none.
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        names => names?,
    };
    let mut attributes = Vec::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let value = grown(|into| match of {
            Of::Open(file) => fgetxattr(file, name, into),
            Of::Path(path) => getxattr(path, name, into),
        });
        match value {
            // Removed since it was listed.
            Err(Errno::NODATA) => {}
            value => attributes.push(Attribute {
                name: name.to_vec(),
                value: value?,
            }),
        }
    }
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(attributes)
}

/// Calls with more and more room until the answer fits.
fn grown(call: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut room = vec![0; 256];
    loop {
        match call(&mut room) {
            Ok(length) => {
                room.truncate(length);
                return Ok(room);
            }
            Err(Errno::RANGE) if room.len() < 1 << 20 => room.resize(room.len() * 8, 0),
            Err(error) => return Err(error),
        }
    }
}

impl Source for Files {
    type Folder = OwnedFd;
    type Content = File;

    fn enter(&self) -> io::Result<Entered<OwnedFd>> {
        // The path itself may lead through links: it is the caller's word.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let (mut folders, mut path) = (Vec::new(), PathBuf::from("/"));
        let mut folder = openat(CWD, "/", flags, Mode::empty())?;
        for part in self.path.components().skip(1) {
            path.push(part);
            folder = openat(CWD, &path, flags, Mode::empty())?;
            let mut meta = self.meta(Kind::Folder, &fstat(&folder)?);
            meta.attributes = attributes(Of::Open(folder.as_fd()))?;
            folders.push((part.as_os_str().to_owned(), meta));
        }
        Ok(Entered {
            path: self.path.clone(),
            folders,
            folder,
        })
    }

    fn list(&self, folder: &OwnedFd) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                listed.push(Listed {
                    name: OsString::from_vec(name.to_vec()),
                    kind: known(entry.file_type()),
                });
            }
        }
        Ok(listed)
    }

    fn folder(&self, parent: &OwnedFd, name: &OsStr) -> io::Result<(OwnedFd, Meta)> {
        self.enter_at(parent.as_fd(), name)
    }

    fn glance(&self, folder: &OwnedFd, name: &OsStr) -> io::Result<Meta> {
        let seen = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let time =
            |secs: i64, nanos: u64| Time::from_parts(secs, i64::try_from(nanos).unwrap_or(0));
        let kind = kind(seen.st_mode)?;
        let mut meta = Meta::plain(
            kind,
            seen.st_mode & 0o7777,
            time(seen.st_mtime, seen.st_mtime_nsec),
        );
        meta.changed = time(seen.st_ctime, seen.st_ctime_nsec);
        meta.inode = seen.st_ino;
        if kind == Kind::File {
            meta.size = u64::try_from(seen.st_size).unwrap_or(0);
        }
        Ok(meta)
    }

    fn look(&self, folder: &OwnedFd, name: &OsStr) -> io::Result<Meta> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = openat(folder, name, flags, Mode::empty())?;
        let seen = fstat(&entry)?;
        let mut meta = self.meta(kind(seen.st_mode)?, &seen);
        if meta.kind == Kind::Link {
            meta.target = readlinkat(&entry, "", Vec::new())?.into_bytes();
        }
        if meta.kind != Kind::Link {
            // A descriptor that is only a place has no attributes; its name below /proc leads to them.
            let path = PathBuf::from(format!("/proc/self/fd/{}", entry.as_raw_fd()));
            meta.attributes = attributes(Of::Path(&path))?;
        }
        Ok(meta)
    }

    fn short_read(&self) -> ShortRead {
        ShortRead::IsTheEnd
    }

    fn open(&self, folder: &OwnedFd, name: &OsStr) -> io::Result<(File, Meta)> {
        // Not blocking: what became a pipe since it was listed must not hold up the backup.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match openat(folder, name, flags | self.quietly, Mode::empty()) {
            Err(Errno::PERM) => openat(folder, name, flags, Mode::empty()),
            opened => opened,
        }?;
        let seen = fstat(&file)?;
        let mut meta = self.meta(kind(seen.st_mode)?, &seen);
        if meta.kind != Kind::File {
            let why = "it is no file any more";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        meta.attributes = attributes(Of::Open(file.as_fd()))?;
        Ok((File::from(file), meta))
    }
}
