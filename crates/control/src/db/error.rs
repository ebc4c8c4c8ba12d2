//! Why a database could not be used.
//! Must not know what is stored in it.

use std::path::PathBuf;

/// Why a database could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The folder or the file cannot be used.
    #[error("failed to open {path}: {source}")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `SQLite` refused.
    #[error("failed to use {path}: {source}")]
    Sql {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The bytes on the disk are not what was written (I18).
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A newer Mainstay wrote it.
    #[error("{path} has schema version {found}, this program knows versions up to {known}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It belongs to something else.
    #[error("{path} is a database of another program")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A commit failed, so nothing of its group happened.
    #[error("failed to commit to {path}: {what}")]
    Commit {
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// The writer thread is gone.
    #[error("the writer of {path} has stopped")]
    Stopped {
        /// The file.
        path: PathBuf,
    },
}

impl DbError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } | Self::Sql { .. } | Self::Commit { .. } | Self::Stopped { .. } => {
                "state-unusable"
            }
            Self::Damaged { .. } => "state-damaged",
            Self::Newer { .. } => "state-newer",
            Self::Foreign { .. } => "state-foreign",
        }
    }

    pub(crate) fn sql(path: &std::path::Path, source: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                Self::Damaged {
                    path,
                    what: source.to_string(),
                }
            }
            _ => Self::Sql { path, source },
        }
    }
}
