//! The folder that is restored to. Every path is resolved by the kernel below the folder's descriptor, and through no
//! link, so whatever a repository holds and whoever plants links meanwhile, nothing outside is touched.
//! Must not know repositories.

use std::{
    ffi::OsStr,
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
        chownat, fchmod, fchown, fsetxattr, ftruncate, futimens, linkat, mkdirat, mknodat, openat,
        openat2, statat, symlinkat, unlinkat, utimensat,
    },
    io::Errno,
};

use super::plan::Facts;
use crate::{Kind, Owners, Time};

/// Nothing may lead away.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// The folder that is restored to.
pub(super) struct Target {
    root: OwnedFd,
    owners: Owners,
    /// The permissions that a new file never gets at once.
    masked: u32,
    me: (u32, u32),
}

impl Target {
    /// Opens the folder, and makes it if it is not there. The path itself is the caller's word.
    pub(super) fn open(path: &Path, owners: Owners) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let me = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let may_give = me.0 == 0;
        Ok(Self {
            root: openat(CWD, path, flags, Mode::empty())?,
            owners: if may_give { owners } else { Owners::Mine },
            masked: masked(),
            me,
        })
    }

    fn open_at(&self, path: &Path, flags: OFlags, mode: u32) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat2(&self.root, path, flags, Mode::from_raw_mode(mode), BENEATH)
    }

    /// A folder to do something in.
    fn folder(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, 0)
    }

    /// The folder that holds an entry, and the entry's name.
    fn place<'a>(&self, path: &'a Path) -> rustix::io::Result<(OwnedFd, &'a OsStr)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        Ok((self.folder(path.parent().unwrap_or(Path::new("")))?, name))
    }

    /// What is at a path, if anything.
    pub(super) fn look(&self, path: &Path) -> io::Result<Option<Stat>> {
        let (folder, name) = self.place(path)?;
        match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            seen => Ok(Some(seen?)),
        }
    }

    /// Makes a folder that only this user can use until it is done.
    pub(super) fn make_folder(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.place(path)?;
        Ok(mkdirat(&folder, name, Mode::RWXU)?)
    }

    /// Makes a new file. The permissions that it will have are given at once where that is all it needs.
    pub(super) fn make_file(&self, path: &Path, facts: &Facts) -> io::Result<OwnedFd> {
        let mode = if self.at_once(facts) {
            facts.mode
        } else {
            0o600
        };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(self.open_at(path, flags, mode)?)
    }

    /// Opens a file that is there.
    pub(super) fn open_file(&self, path: &Path) -> io::Result<OwnedFd> {
        Ok(self.open_at(path, OFlags::RDWR | OFlags::NONBLOCK, 0)?)
    }

    /// Whether a file gets all its permissions when it is made.
    fn at_once(&self, facts: &Facts) -> bool {
        facts.mode & !0o777 == 0 && facts.mode & self.masked == 0 && !self.gives(facts)
    }

    fn gives(&self, facts: &Facts) -> bool {
        self.owners == Owners::AsInSnapshot && facts.owner != self.me
    }

    /// Makes what is neither file nor folder.
    pub(super) fn make_other(
        &self,
        path: &Path,
        kind: Kind,
        target: &[u8],
        device: u64,
    ) -> io::Result<()> {
        let (folder, name) = self.place(path)?;
        let sort = match kind {
            Kind::Link => return Ok(symlinkat(OsStr::from_bytes(target), &folder, name)?),
            Kind::Block => rustix::fs::FileType::BlockDevice,
            Kind::Char => rustix::fs::FileType::CharacterDevice,
            Kind::Pipe => rustix::fs::FileType::Fifo,
            Kind::Socket => rustix::fs::FileType::Socket,
            Kind::File | Kind::Folder => return Err(io::ErrorKind::InvalidInput.into()),
        };
        Ok(mknodat(
            &folder,
            name,
            sort,
            Mode::RUSR | Mode::WUSR,
            device,
        )?)
    }

    /// Gives a file another name.
    pub(super) fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let ((old, old_name), (new, new_name)) = (self.place(from)?, self.place(to)?);
        Ok(linkat(&old, old_name, &new, new_name, AtFlags::empty())?)
    }

    /// Removes what is not a folder.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.place(path)?;
        Ok(unlinkat(&folder, name, AtFlags::empty())?)
    }

    /// Gives an open file its owner, permissions, attributes and times. `new` files have some of it already.
    pub(super) fn settle_file(&self, file: &OwnedFd, facts: &Facts, new: bool) -> io::Result<()> {
        if !(new && self.at_once(facts)) {
            self.own(file, facts)?;
            fchmod(file, Mode::from_raw_mode(facts.mode))?;
        }
        set_attributes(file, facts)?;
        Ok(futimens(file, &times(facts.modified))?)
    }

    fn own(&self, file: &OwnedFd, facts: &Facts) -> io::Result<()> {
        if self.owners == Owners::AsInSnapshot {
            let (user, group) = facts.owner;
            fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
        }
        Ok(())
    }

    /// Gives a folder its owner, permissions, attributes and times; an empty path is the folder restored to.
    pub(super) fn settle_folder(&self, path: &Path, facts: &Facts) -> io::Result<()> {
        let folder = self.folder(path)?;
        self.settle_file(&folder, facts, false)
    }

    /// Gives what is neither file nor folder its owner, permissions and times.
    pub(super) fn settle_other(&self, path: &Path, kind: Kind, facts: &Facts) -> io::Result<()> {
        let (folder, name) = self.place(path)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        if self.owners == Owners::AsInSnapshot {
            let (user, group) = facts.owner;
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
            chownat(&folder, name, Some(user), Some(group), flags)?;
        }
        if kind != Kind::Link {
            let entry = self.open_at(path, OFlags::PATH, 0)?;
            // Its name below /proc leads to exactly this entry.
            let own = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&entry));
            rustix::fs::chmod(own, Mode::from_raw_mode(facts.mode))?;
        }
        Ok(utimensat(&folder, name, &times(facts.modified), flags)?)
    }
}

/// Sets a file's length; what was not written reads as zeros and takes no room.
pub(super) fn set_length(file: &OwnedFd, length: u64) -> io::Result<()> {
    Ok(ftruncate(file, length)?)
}

/// How much is looked at at a time for zeros.
const BLOCK: usize = 64 << 10;

/// Writes at a place, all of it.
pub(super) fn write_at(file: &OwnedFd, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file.as_fd(), bytes, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => (bytes, at) = (&bytes[count..], at + count as u64),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes into a new file and leaves out what is zero there anyway.
pub(crate) fn write_sparse(file: &OwnedFd, bytes: &[u8], at: u64) -> io::Result<()> {
    let mut from = 0;
    let mut next = 0;
    while next < bytes.len() {
        let end = bytes.len().min(next + BLOCK);
        if is_zero(&bytes[next..end]) {
            write_at(file, &bytes[from..next], at + from as u64)?;
            from = end;
        }
        next = end;
    }
    write_at(file, &bytes[from..], at + from as u64)
}

fn is_zero(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<16>();
    blocks.iter().all(|block| *block == [0; 16]) && rest.iter().all(|byte| *byte == 0)
}

fn set_attributes(file: &OwnedFd, facts: &Facts) -> io::Result<()> {
    for one in facts.attributes.iter().flat_map(|all| all.iter()) {
        fsetxattr(file, &one.name[..], &one.value, XattrFlags::empty())?;
    }
    Ok(())
}

fn times(modified: Time) -> Timestamps {
    let time = Timespec {
        tv_sec: modified.secs,
        tv_nsec: modified.nanos.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// The permissions that the system takes from every new file of this process.
fn masked() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let mask = line.and_then(|text| u32::from_str_radix(text.trim(), 8).ok());
    // Unknown: no permission is believed to be given at once.
    mask.unwrap_or(0o777)
}

/// A path that is shown for an entry below the target.
pub(super) fn shown(path: &Path) -> PathBuf {
    Path::new("/").join(path)
}
