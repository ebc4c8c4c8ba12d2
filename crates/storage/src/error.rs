//! What can go wrong with a file tree. Each names the path below the tree's root.
//! Must not know what the tree is for.

use std::{io, path::PathBuf};

/// Why a tree could not be listed, read or written.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A folder or an entry could not be listed. The listing is worthless: what is missing from it may be there.
    #[error("list {}: {source}", path.display())]
    List {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something could not be written or removed.
    #[error("write {}: {source}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file changed each time it was read.
    #[error("read {}: it changed every time it was read", path.display())]
    Changing {
        /// Which.
        path: PathBuf,
    },
    /// What was read back differs from what was written (I11).
    #[error("verify {}: what was read back differs from what was written", path.display())]
    Differs {
        /// Which.
        path: PathBuf,
    },
    /// A socket, a pipe or a device: it has no content that could be copied.
    #[error("list {}: it is neither a file, nor a folder, nor a link", path.display())]
    Unsupported {
        /// Which.
        path: PathBuf,
    },
    /// Whoever asked for the copy does not allow it any more.
    #[error("{why}")]
    Stopped {
        /// Why, in the words of whoever stopped it.
        why: String,
    },
}

impl TreeError {
    /// Whether the entry was simply gone: somebody removed it between two looks.
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::List { source, .. } | Self::Read { source, .. } => {
                source.kind() == io::ErrorKind::NotFound
                    || source.kind() == io::ErrorKind::NotADirectory
            }
            _ => false,
        }
    }
}
