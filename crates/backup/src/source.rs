//! What can be backed up: something with folders and entries in them that can be read. Files are one kind of it;
//! containers of objects and the output of a program are others.
//! Must not know repositories.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Read},
    path::PathBuf,
};

use crate::{Kind, Meta, Selection};

/// An entry of a folder, as listing it shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name in the folder.
    pub name: OsString,
    /// What it is, where the listing tells.
    pub kind: Option<Kind>,
}

/// Where a source begins.
pub struct Entered<F> {
    /// Its path in the snapshot, absolute.
    pub path: PathBuf,
    /// What is known of each folder on that path, outermost first and the source's own last; none for `/` itself.
    pub folders: Vec<(OsString, Meta)>,
    /// The folder that is backed up.
    pub folder: F,
}

/// What it means that a read gave fewer bytes than there was room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShortRead {
    /// Nothing: the next one may give more.
    TellsNothing,
    /// The file ends there. So it is with files on a disk, and a call for each file is saved.
    IsTheEnd,
}

/// Something that can be backed up. All methods may be called from many threads at once.
pub trait Source: Sync {
    /// A folder, as far as it needs to be held on to.
    type Folder: Send + Sync;
    /// A file that is read from its start.
    type Content: Read + Send;

    /// Goes to where the source begins. An error means that nothing can be backed up.
    fn enter(&self) -> io::Result<Entered<Self::Folder>>;

    /// Every entry of a folder, in any order, or an error: never a list that is short.
    fn list(&self, folder: &Self::Folder) -> io::Result<Vec<Listed>>;

    /// Goes into a folder, and tells what is known of it.
    fn folder(&self, parent: &Self::Folder, name: &OsStr) -> io::Result<(Self::Folder, Meta)>;

    /// What tells whether an entry changed: kind, times, size and inode. Nothing else has to be filled in.
    fn glance(&self, folder: &Self::Folder, name: &OsStr) -> io::Result<Meta>;

    /// All that is known of an entry that is neither file nor folder.
    fn look(&self, folder: &Self::Folder, name: &OsStr) -> io::Result<Meta>;

    /// Opens a file, and tells all that is known of it.
    fn open(&self, folder: &Self::Folder, name: &OsStr) -> io::Result<(Self::Content, Meta)>;

    /// What a short read of a file means.
    fn short_read(&self) -> ShortRead {
        ShortRead::TellsNothing
    }

    /// Which patterns leave entries out, for the snapshot to say.
    fn selection(&self) -> Selection {
        Selection::default()
    }

    /// Called after everything was read and before a snapshot says so. A program that was read from says here
    /// whether it ended well; on an error no snapshot is written.
    fn settle(&self) -> Result<(), String> {
        Ok(())
    }
}

/// How a backup or a restore goes on. All methods may be called from many threads at once.
pub trait Progress: Sync {
    /// So many entries were found, with so many bytes as far as is known.
    fn found(&self, _entries: u64, _bytes: u64) {}

    /// So many entries are done, and so many bytes of them.
    fn done(&self, _entries: u64, _bytes: u64) {}

    /// So many bytes were written to the repository.
    fn stored(&self, _bytes: u64) {}

    /// Something could not be read or restored. It is in the result as well.
    fn trouble(&self, _path: &std::path::Path, _why: &str) {}

    /// Asked again and again; the work stops as soon as it answers no.
    fn go_on(&self) -> bool {
        true
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {}
