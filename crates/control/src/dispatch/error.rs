//! Why a run could not be executed.
//! Must not know what it would have done.

use mainstay_engine::{BadRun, Illegal};
use mainstay_model::{RunId, SiteId};

use crate::{db::DbError, lock::LockError, state::StateError};

/// Why a run could not be executed.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// A site that the run needs has no agent.
    #[error(
        "the agent of {site} does not answer ({why}): start it with `mainstay agent --site {site}`"
    )]
    NoAgent {
        /// The site.
        site: SiteId,
        /// Why.
        why: String,
    },
    /// An agent works from another plan file.
    #[error(
        "the agent of {site} was started with another version of the plan file: restart it with `mainstay agent --site {site}`"
    )]
    OtherPlan {
        /// The site.
        site: SiteId,
    },
    /// Another mover is at work.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// An earlier run is not over. Two runs that know of different epochs must never both go on (I2).
    #[error("run {0} is not over: carry on with it, or cancel it, first")]
    Unfinished(RunId),
    /// The state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The runbook cannot be executed.
    #[error("the runbook cannot be executed: {0}")]
    Runbook(#[from] BadRun),
    /// The run does not allow that now.
    #[error("run {run} does not allow that: {why}")]
    Illegal {
        /// The run.
        run: RunId,
        /// Why.
        why: Illegal,
    },
    /// The journal could not be written: nothing more was started. Resume the run.
    #[error("the journal of run {run} could not be written: {source}")]
    Journal {
        /// The run.
        run: RunId,
        /// Why.
        source: DbError,
    },
    /// The dispatcher is gone.
    #[error("the dispatcher of run {0} stopped unexpectedly")]
    Stopped(RunId),
}

impl DispatchError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoAgent { .. } => "agent-not-running",
            Self::OtherPlan { .. } => "agent-other-plan",
            Self::Lock(error) => error.code(),
            Self::Unfinished(_) => "run-unfinished",
            Self::State(error) => error.code(),
            Self::Runbook(_) => "runbook-unusable",
            Self::Illegal { why, .. } => why.code(),
            Self::Journal { source, .. } => source.code(),
            Self::Stopped(_) => "dispatcher-stopped",
        }
    }
}
