//! Why an agent did not answer.
//! Must not know what it was asked.

use std::path::PathBuf;

/// Why an agent did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there: the question was certainly not heard.
    #[error("no agent answers at {socket}: {why}")]
    NotReached {
        /// Where.
        socket: PathBuf,
        /// Why.
        why: String,
    },
    /// The question was sent, or may have been, and no answer came.
    #[error("the agent at {socket} did not answer: {why}")]
    NoAnswer {
        /// Where.
        socket: PathBuf,
        /// Why.
        why: String,
    },
    /// It answered with something else.
    #[error("the agent at {socket} answered {status}: {why}")]
    Refused {
        /// Where.
        socket: PathBuf,
        /// The HTTP status.
        status: u16,
        /// What it said.
        why: String,
    },
    /// No HTTP client could be made.
    #[error("failed to make a client: {0}")]
    Client(String),
}

impl ClientError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotReached { .. } => "agent-not-running",
            Self::NoAnswer { .. } => "agent-silent",
            Self::Refused { .. } => "agent-refused",
            Self::Client(_) => "client",
        }
    }
}
