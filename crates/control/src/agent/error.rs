//! Why an agent could not start.
//! Must not know what it would have done.

use std::path::PathBuf;

use mainstay_model::SiteId;

use crate::db::DbError;

/// Why an agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The plan file has no such site.
    #[error("there is no site {0} in the plan file")]
    UnknownSite(SiteId),
    /// Another process is this site's agent.
    #[error("the agent of {site} already runs (it holds {path})")]
    AlreadyRunning {
        /// The site.
        site: SiteId,
        /// The lock that it holds.
        path: PathBuf,
    },
    /// Unix sockets have short names.
    #[error("{path} is too long for a Unix socket: {length} bytes, at most 107")]
    SocketTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// It cannot listen there.
    #[error("failed to listen at {at}: {source}")]
    Listen {
        /// A path or an address.
        at: String,
        /// Why.
        source: std::io::Error,
    },
    /// Its folder cannot be used.
    #[error("failed to use {path}: {source}")]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its journal cannot be used.
    #[error(transparent)]
    Journal(#[from] DbError),
}

impl AgentError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownSite(_) => "unknown-site",
            Self::AlreadyRunning { .. } => "agent-running",
            Self::SocketTooLong { .. } => "socket-too-long",
            Self::Listen { .. } => "agent-listen",
            Self::Folder { .. } => "agent-folder",
            Self::Journal(error) => error.code(),
        }
    }
}
