//! What can keep xtask from doing its work. A check that finds something is not an error: it reports.

use std::path::PathBuf;

/// Why a task could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to start {program}: {source}")]
    Start {
        program: String,
        source: std::io::Error,
    },
    #[error("`cargo metadata` failed: {0}")]
    Metadata(String),
    #[error("failed to read {}: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("failed to write {}: {source}", path.display())]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
    #[error("no check is called `{name}`; there are: {known}")]
    NoSuchCheck { name: String, known: String },
}
