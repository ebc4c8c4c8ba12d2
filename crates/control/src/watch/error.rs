//! Why a system could not be watched.
//! Must not know what would have been seen.

use crate::state::StateError;

/// Why a system could not be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The plan file has no `detect`.
    #[error("the plan file has no `detect` section: nobody observes this system")]
    NoDetect,
    /// The state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

impl WatchError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoDetect => "no-detect",
            Self::State(error) => error.code(),
        }
    }
}
