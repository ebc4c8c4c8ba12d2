//! Where a repository's files are. Source: restic's design document, "Repository Layout".
//! Must not know what is in them.

use mainstay_storage::{ObjectName, StorageError};

use crate::Id;

/// The sorts of files that are named after their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// Opens the repository with one password.
    Key,
    /// Says who works on the repository.
    Lock,
    /// One restore point.
    Snapshot,
    /// Says which pack holds which blob.
    Index,
    /// Holds blobs.
    Pack,
}

impl FileKind {
    /// The folder of these files.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Key => "keys",
            Self::Lock => "locks",
            Self::Snapshot => "snapshots",
            Self::Index => "index",
            Self::Pack => "data",
        }
    }

    /// The name of one of them.
    pub fn name(self, id: Id) -> Result<ObjectName, StorageError> {
        let folder = self.folder();
        ObjectName::new(match self {
            Self::Pack => format!("{folder}/{}/{id}", hex::encode(&id.0[..1])),
            _ => format!("{folder}/{id}"),
        })
    }
}

/// The name of the file that makes a container a repository.
pub(crate) fn config() -> Result<ObjectName, StorageError> {
    ObjectName::new("config")
}
