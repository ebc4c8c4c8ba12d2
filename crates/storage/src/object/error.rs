//! What can go wrong with a container of objects, and whether trying again can help.
//! Must not know what the objects are for.

use std::io;

use super::ObjectName;

/// What may be done after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same call may work later: nothing about it is wrong.
    Later,
    /// Nobody knows whether it was done: look before doing it again.
    Look,
    /// The same call will fail again.
    Never,
}

/// Why a container could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The name is not one that a container takes.
    #[error(
        "name an object {name:?}: a name has letters, digits, '.', '_', '-' and single slashes"
    )]
    Name {
        /// The text that was given.
        name: String,
    },
    /// It is no address of a container.
    #[error("open the container {url}: {why}")]
    Address {
        /// The address, without what must not be shown.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// An option of a container is wrong, missing or unknown.
    #[error("open the container: the option {name} {why}")]
    Option {
        /// Which.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The container itself cannot be used.
    #[error("open the container {place}: {source}")]
    Open {
        /// Where it should be.
        place: String,
        /// Why not.
        source: io::Error,
    },
    /// A folder could not be listed to its end. A short list is never handed out.
    #[error("list {folder}: {source}")]
    List {
        /// Which folder.
        folder: ObjectName,
        /// Why.
        source: io::Error,
    },
    /// There is no such object.
    #[error("read {name}: there is no such object")]
    Absent {
        /// Which.
        name: ObjectName,
    },
    /// An object ends before the part that was asked for.
    #[error("read {name}: it ends after {has} bytes, {wanted} are needed")]
    Short {
        /// Which.
        name: ObjectName,
        /// How many bytes are there.
        has: u64,
        /// How many the call needs.
        wanted: u64,
    },
    /// An object could not be read.
    #[error("read {name}: {source}")]
    Read {
        /// Which.
        name: ObjectName,
        /// Why.
        source: io::Error,
    },
    /// An object was not written; what was there before is unchanged.
    #[error("write {name}: {source}")]
    Write {
        /// Which.
        name: ObjectName,
        /// Why.
        source: io::Error,
    },
    /// An object was not removed.
    #[error("delete {name}: {source}")]
    Delete {
        /// Which.
        name: ObjectName,
        /// Why.
        source: io::Error,
    },
    /// A change may or may not have happened: the answer was lost.
    #[error("change {name}: whether it happened is unknown: {source}")]
    Unknown {
        /// Which.
        name: ObjectName,
        /// Why.
        source: io::Error,
    },
}

impl StorageError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name { .. } => "object-name",
            Self::Address { .. } => "container-address",
            Self::Option { .. } => "container-option",
            Self::Open { .. } => "container-unusable",
            Self::List { .. } => "listing-failed",
            Self::Absent { .. } => "object-absent",
            Self::Short { .. } => "object-short",
            Self::Read { .. } => "object-unreadable",
            Self::Write { .. } => "object-not-written",
            Self::Delete { .. } => "object-not-deleted",
            Self::Unknown { .. } => "object-outcome-unknown",
        }
    }

    /// What may be done about it.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Name { .. }
            | Self::Address { .. }
            | Self::Option { .. }
            | Self::Absent { .. }
            | Self::Short { .. } => Retry::Never,
            Self::Unknown { .. } => Retry::Look,
            Self::Open { source, .. }
            | Self::List { source, .. }
            | Self::Read { source, .. }
            | Self::Write { source, .. }
            | Self::Delete { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied
                | io::ErrorKind::NotFound
                | io::ErrorKind::StorageFull
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::Unsupported => Retry::Never,
                _ => Retry::Later,
            },
        }
    }
}
