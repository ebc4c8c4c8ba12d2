//! Somebody else's objects, to be read: everything in a container, whatever it is called, with what tells whether it
//! changed. [`Storage`](super::Storage) is for objects of our own, whose names we choose.
//! Must not know what is done with them.

use std::{
    fmt, fs, io,
    os::unix::fs::FileExt as _,
    path::{Component, Path, PathBuf},
    time::SystemTime,
};

/// One object, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its whole name: any text. One that ends with a slash stands for a folder.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was written last, where the listing tells.
    pub modified: Option<SystemTime>,
    /// What changes with every write (an entity tag), where the listing tells.
    pub version: Option<String>,
}

/// A container whose objects can be read. All methods may be called from many threads at once; they block.
pub trait Contents: fmt::Debug + Send + Sync {
    /// Every object, sorted by name, or an error: never a list that is short. Idempotent.
    fn all(&self) -> io::Result<Vec<Found>>;

    /// Exactly these bytes of an object as it was listed. An object that is gone, shorter or, where the service can
    /// tell, another one by now is an error. Idempotent.
    fn read(&self, found: &Found, from: u64, len: u64) -> io::Result<Vec<u8>>;
}

/// A folder, whose files are the objects. Links and special files are errors: they are no objects.
#[derive(Debug)]
pub(super) struct FolderContents(PathBuf);

impl FolderContents {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        fs::read_dir(&path)?;
        Ok(Self(path))
    }
}

fn walk(folder: &Path, name: &str, into: &mut Vec<Found>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let odd = |why: &str| {
            let what = format!("{}: {why}", entry.path().display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        };
        let last = entry.file_name();
        let last = last.to_str().ok_or_else(|| odd("its name is no text"))?;
        let found = fs::symlink_metadata(entry.path())?;
        if found.is_dir() {
            walk(&entry.path(), &format!("{name}{last}/"), into)?;
        } else if found.is_file() {
            into.push(Found {
                name: format!("{name}{last}"),
                size: found.len(),
                modified: found.modified().ok(),
                version: None,
            });
        } else {
            return Err(odd("it is neither a file nor a folder"));
        }
    }
    Ok(())
}

impl Contents for FolderContents {
    fn all(&self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        walk(&self.0, "", &mut found)?;
        found.sort_unstable();
        Ok(found)
    }

    fn read(&self, found: &Found, from: u64, len: u64) -> io::Result<Vec<u8>> {
        let path = Path::new(&found.name);
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if !path.components().all(plain) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        fs::File::open(self.0.join(path))?.read_exact_at(&mut bytes, from)?;
        Ok(bytes)
    }
}
