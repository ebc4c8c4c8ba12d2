//! Looking into snapshots: the entries of a folder, one file's content. For those who need some files soon rather than
//! all of them fast. May be used from many threads at once.
//! Must not know where the content goes.

use std::{
    io::Write,
    os::unix::ffi::OsStrExt,
    path::{Component, Path},
};

use crate::{BackupError, BlobKind, Id, Index, Lock, Node, Repository, Sharing, Snapshot, tree};

/// A repository that is being read. Its index is read once: what is added later is not seen.
pub struct Reader {
    repository: Repository,
    index: Index,
    lock: Lock,
}

impl Reader {
    /// Opens the repository for reading; while it is open, nothing is pruned.
    pub fn open(repository: &Repository) -> Result<Self, BackupError> {
        Ok(Self {
            lock: Lock::take(repository, Sharing::Shared)?,
            index: repository.index()?,
            repository: repository.clone(),
        })
    }

    /// The entries of a folder, by an absolute path.
    pub fn folder(&self, snapshot: &Snapshot, path: &Path) -> Result<Vec<Node>, BackupError> {
        let mut nodes = self.tree(snapshot.tree)?;
        for part in path.components() {
            let name = match part {
                Component::RootDir => continue,
                Component::Normal(name) => name.as_bytes(),
                _ => return Err(absent(path)),
            };
            let found = nodes.iter().find(|node| node.name == name);
            let subtree = found.and_then(|node| node.subtree);
            nodes = self.tree(subtree.ok_or_else(|| absent(path))?)?;
        }
        Ok(nodes)
    }

    /// One entry, by an absolute path.
    pub fn find(&self, snapshot: &Snapshot, path: &Path) -> Result<Node, BackupError> {
        let above = self.folder(snapshot, path.parent().unwrap_or(Path::new("/")))?;
        let name = path.file_name().map(OsStrExt::as_bytes);
        let found = above.into_iter().find(|node| Some(&node.name[..]) == name);
        found.ok_or_else(|| absent(path))
    }

    /// Writes a file's content, each piece proven by its hash first. Answers how many bytes it has.
    pub fn copy(&self, file: &Node, into: &mut dyn Write) -> Result<u64, BackupError> {
        let mut size = 0;
        for id in &file.content {
            self.lock.check()?;
            let bytes = self.repository.blob(&self.index, BlobKind::Data, *id)?;
            into.write_all(&bytes)
                .map_err(|source| BackupError::Target {
                    path: String::from_utf8_lossy(&file.name).into_owned().into(),
                    source,
                })?;
            size += bytes.len() as u64;
        }
        Ok(size)
    }

    fn tree(&self, id: Id) -> Result<Vec<Node>, BackupError> {
        let kind = BlobKind::Tree;
        let json = self.repository.blob(&self.index, kind, id)?;
        tree::nodes(&json).map_err(|how| BackupError::BadBlob { kind, id, how })
    }
}

fn absent(path: &Path) -> BackupError {
    BackupError::NoPath {
        path: path.to_path_buf(),
    }
}
