//! Lists a tree: every entry, in order, or an error. What is not in a listing is not in the tree.
//! Must not know what is in the files.

use std::{
    ffi::OsString,
    io,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, Dir, FileType, Stat, readlinkat, statat};

use crate::{Tree, TreeError};

/// What identifies a file's content without reading it. The time of change of the inode cannot be set by anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Length in bytes.
    pub size: u64,
    /// Time of modification, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// Time of change of the inode, in nanoseconds since 1970.
    pub changed_ns: i64,
    /// The inode.
    pub inode: u64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Folder,
    /// A regular file.
    File(Stamp),
    /// A symbolic link and where it leads. It is never followed.
    Link(PathBuf),
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path below the root.
    pub path: PathBuf,
    /// What it is.
    pub node: Node,
    /// Permission bits; of a link, always 0o777.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
}

/// All entries, a folder before what is in it, names in byte order.
pub type Listing = Vec<Entry>;

/// How often a tree that changes while it is listed is listed again.
const ATTEMPTS: u32 = 5;

/// Begins the name of a file that is being written. It is not part of any tree yet.
pub(crate) const TEMPORARY: &str = ".mainstay-copy-";

/// Lists the whole tree, without what a copy is just writing. An entry that vanishes meanwhile starts the listing over.
pub fn scan(tree: &Tree) -> Result<Listing, TreeError> {
    let mut listing = scan_all(tree)?;
    listing.retain(|entry| !is_temporary(entry));
    Ok(listing)
}

/// Whether a copy is writing the entry, or was when it was cut short.
pub(crate) fn is_temporary(entry: &Entry) -> bool {
    let name = entry.path.file_name().unwrap_or_default();
    entry.node != Node::Folder && name.to_string_lossy().starts_with(TEMPORARY)
}

/// Lists the whole tree and what copies left in it.
pub(crate) fn scan_all(tree: &Tree) -> Result<Listing, TreeError> {
    let mut attempt = 1;
    loop {
        let mut listing = Listing::new();
        match list(tree, Path::new(""), &mut listing) {
            Err(error) if error.is_gone() && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
            Ok(()) => return Ok(listing),
        }
    }
}

fn list(tree: &Tree, folder: &Path, listing: &mut Listing) -> Result<(), TreeError> {
    let failed = |path: &Path, source: io::Error| TreeError::List {
        path: path.to_path_buf(),
        source,
    };
    let opened = tree.folder(folder).map_err(|error| failed(folder, error))?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&opened).map_err(|error| failed(folder, error.into()))? {
        let entry = entry.map_err(|error| failed(folder, error.into()))?;
        let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
        let itself = name == "." || name == "..";
        if !(itself || folder.as_os_str().is_empty() && tree.hides(&name)) {
            names.push(name);
        }
    }
    names.sort();
    for name in names {
        let path = folder.join(&name);
        let seen = statat(&opened, &name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| failed(&path, error.into()))?;
        let node = match FileType::from_raw_mode(seen.st_mode) {
            FileType::Directory => Node::Folder,
            FileType::RegularFile => Node::File(stamp(&seen)),
            FileType::Symlink => {
                let target = readlinkat(&opened, &name, Vec::new())
                    .map_err(|error| failed(&path, error.into()))?;
                Node::Link(PathBuf::from(OsString::from_vec(target.into_bytes())))
            }
            _ => return Err(TreeError::Unsupported { path }),
        };
        let is_folder = node == Node::Folder;
        listing.push(Entry {
            path: path.clone(),
            node,
            mode: seen.st_mode & 0o7777,
            owner: (seen.st_uid, seen.st_gid),
        });
        if is_folder {
            list(tree, &path, listing)?;
        }
    }
    Ok(())
}

/// The stamp of what was looked at.
#[expect(
    clippy::cast_possible_wrap,
    reason = "nanoseconds within a second fit any integer"
)]
pub(crate) fn stamp(seen: &Stat) -> Stamp {
    let ns = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    Stamp {
        size: u64::try_from(seen.st_size).unwrap_or(0),
        modified_ns: ns(seen.st_mtime, seen.st_mtime_nsec as i64),
        changed_ns: ns(seen.st_ctime, seen.st_ctime_nsec as i64),
        inode: seen.st_ino,
    }
}
