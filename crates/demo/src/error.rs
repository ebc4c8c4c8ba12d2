//! Why a part of the demo world could not start or carry on. Each error has a stable code; this
//! module knows nothing of terminals or exit codes.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A failure of one part of the demo world.
///
/// Messages are lower-case fragments that fit after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// The listening address could not be taken.
    #[error("listen on {addr}: {source}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The server stopped by itself.
    #[error("serve requests: {0}")]
    Serve(io::Error),
    /// A file or folder could not be used.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// The attempted action, as a verb ("read", "write").
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file was readable but does not hold what it should.
    #[error("understand {}: {why}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The database refused or could not be reached.
    #[error("use the database: {0}")]
    Database(String),
    /// Programs that the chosen database needs are not on this machine.
    #[error("find what the demo needs: {0}")]
    Missing(String),
    /// An option's value makes no sense.
    #[error("use option {option}: {why}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The HTTP client could not be set up.
    #[error("set up the HTTP client: {0}")]
    HttpClient(String),
    /// A process could not be started.
    #[error("start {name}: {source}")]
    Start {
        /// What was to run.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A part of the world did not come up, or did not go down.
    #[error("bring {name} up: {why}; its words are in {}", logs.display())]
    NotUp {
        /// Which part.
        name: String,
        /// What was seen.
        why: String,
        /// The folder of logs.
        logs: PathBuf,
    },
    /// One of Mainstay's verbs ended otherwise than the demo needs.
    #[error("carry out `{line}`: {why}; logs are in {}", logs.display())]
    Verb {
        /// The command.
        line: String,
        /// How it ended.
        why: String,
        /// The folder of logs.
        logs: PathBuf,
    },
    /// The world did not come to be as an act needs it.
    #[error("wait {what}: not within {seconds} s; seen last: {why}; logs are in {}", logs.display())]
    Waited {
        /// For what.
        what: String,
        /// How long.
        seconds: u64,
        /// What was seen instead.
        why: String,
        /// The folder of logs.
        logs: PathBuf,
    },
    /// The world broke a promise.
    #[error("keep a promise: {0}")]
    Promise(String),
    /// Signals could not be listened for.
    #[error("listen for signals: {0}")]
    Signals(io::Error),
}

impl PartError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "demo-listen",
            Self::Serve(_) => "demo-serve",
            Self::File { .. } => "demo-file",
            Self::Content { .. } => "demo-content",
            Self::Database(_) => "demo-database",
            Self::Missing(_) => "demo-missing",
            Self::Option { .. } => "demo-option",
            Self::HttpClient(_) => "demo-http-client",
            Self::Start { .. } => "demo-start",
            Self::NotUp { .. } => "demo-not-up",
            Self::Verb { .. } => "demo-verb",
            Self::Waited { .. } => "demo-waited",
            Self::Promise(_) => "demo-promise",
            Self::Signals(_) => "demo-signals",
        }
    }

    /// An error constructor for `map_err` on file operations.
    pub(crate) fn file(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            doing,
            path,
            source,
        }
    }
}
