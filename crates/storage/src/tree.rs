//! A folder that is never left: every path is followed one component at a time from the root's descriptor, and no
//! component may be a symbolic link. So a link that is planted while a tree is walked leads nowhere.
//! Must not know what is in the tree.

use std::{
    ffi::OsStr,
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, unlinkat};

/// How a folder is opened. Nothing is created, no link is followed.
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A tree by its root.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    path: PathBuf,
    hidden: Option<String>,
}

/// A parent folder and a name in it.
pub(crate) struct Place<'a> {
    folder: Opened<'a>,
    pub(crate) name: &'a OsStr,
}

enum Opened<'a> {
    Root(BorrowedFd<'a>),
    Below(OwnedFd),
}

impl Place<'_> {
    pub(crate) fn folder(&self) -> BorrowedFd<'_> {
        match &self.folder {
            Opened::Root(root) => *root,
            Opened::Below(folder) => folder.as_fd(),
        }
    }
}

impl Tree {
    /// Opens the tree at a path. The path itself may lead through links; it is the caller's word.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, path, flags, Mode::empty())?;
        Ok(Self {
            root,
            path: path.to_path_buf(),
            hidden: None,
        })
    }

    /// Opens the tree, and creates its root if it is not there.
    pub fn create(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Self::open(path)
    }

    /// Leaves out one name at the root: it is neither listed, nor copied, nor removed.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.hidden = Some(name.to_owned());
        self
    }

    /// The path it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub(crate) fn hides(&self, name: &OsStr) -> bool {
        self.hidden.as_deref().is_some_and(|hidden| name == hidden)
    }

    /// Follows a relative path to the folder that holds its last component.
    pub(crate) fn place<'a>(&'a self, path: &'a Path) -> io::Result<Place<'a>> {
        let bad = || {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "a path below the tree is needed",
            )
        };
        let mut names = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => names.push(name),
                _ => return Err(bad()),
            }
        }
        let (name, folders) = names.split_last().ok_or_else(bad)?;
        let mut folder = Opened::Root(self.root());
        for step in folders {
            let from = match &folder {
                Opened::Root(root) => *root,
                Opened::Below(below) => below.as_fd(),
            };
            folder = Opened::Below(openat(from, *step, FOLDER, Mode::empty())?);
        }
        Ok(Place { folder, name })
    }

    /// Opens a folder below the root; the empty path is the root itself.
    pub(crate) fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        if path.as_os_str().is_empty() {
            return Ok(openat(self.root(), ".", FOLDER, Mode::empty())?);
        }
        let place = self.place(path)?;
        Ok(openat(place.folder(), place.name, FOLDER, Mode::empty())?)
    }

    /// Opens a file for reading.
    pub(crate) fn file(&self, path: &Path) -> io::Result<fs::File> {
        let place = self.place(path)?;
        // Not blocking: a file that became a pipe since it was listed must not hold up the copy.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(openat(place.folder(), place.name, flags, Mode::empty())?.into())
    }

    /// Creates a folder; one that is there is fine.
    pub(crate) fn make_folder(&self, path: &Path) -> io::Result<()> {
        let place = self.place(path)?;
        match mkdirat(place.folder(), place.name, Mode::RWXU) {
            Err(error) if error != rustix::io::Errno::EXIST => Err(error.into()),
            _ => self.folder(path).map(|_| ()),
        }
    }

    /// Removes an entry of either sort; one that is gone is fine. A folder must be empty.
    pub(crate) fn remove(&self, path: &Path, flags: AtFlags) -> io::Result<()> {
        let place = self.place(path)?;
        match unlinkat(place.folder(), place.name, flags) {
            Err(error) if error != rustix::io::Errno::NOENT => Err(error.into()),
            _ => Ok(()),
        }
    }
}
