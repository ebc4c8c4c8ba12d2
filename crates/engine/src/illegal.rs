//! Why an event was refused. A refused event changes nothing and leaves no journal entry.
//! Must not know who sent it.

use mainstay_model::{Epoch, ExecutorEpoch, PersonId, Phase, StepId, Timestamp};

/// An event that cannot happen now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each case means")]
pub enum Illegal {
    #[error("the run exists already")]
    AlreadyCreated,
    #[error("the run is over")]
    RunOver,
    #[error("the runbook has no step {}", .0.0)]
    NoSuchStep(StepId),
    /// A late or repeated answer. A host drops it: whatever it says was settled otherwise, or will be.
    #[error("nobody waits for this answer about step {}", .0.0)]
    NotAwaited(StepId),
    #[error("the answer about step {} has another number of goals than were asked", .0.0)]
    OtherGoals(StepId),
    #[error("executor {} is not newer than {}", found.0, current.0)]
    OldExecutor {
        current: ExecutorEpoch,
        found: ExecutorEpoch,
    },
    #[error("the run does not wait for an approval")]
    NoApprovalAwaited,
    #[error("{0} asked for this run and cannot approve it")]
    OwnApproval(PersonId),
    #[error("the approval is for another runbook")]
    OtherRunbook,
    #[error("the approval ran out at {0}")]
    ApprovalExpired(Timestamp),
    #[error("the run is paused already")]
    AlreadyPaused,
    #[error("the run is not paused")]
    NotPaused,
    #[error("step {} neither failed nor waits for a person", .0.0)]
    NothingToDecide(StepId),
    #[error("a required {phase} cannot be skipped")]
    NotSkippable { phase: Phase },
    #[error("a reason is needed")]
    NoReason,
    #[error("the run has passed its commit and only goes forward")]
    Committed,
    #[error("the run retreats already")]
    AlreadyRetreating,
    #[error("the run has changed something and is not stuck: retreat, or wait")]
    NotCancellable,
    #[error("somebody newer owns a store, at epoch {0}: this run only ends")]
    Superseded(Epoch),
    #[error("nothing is due")]
    NothingDue,
    #[error("the event cannot be stored: {0}")]
    NotStorable(String),
}

impl Illegal {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::AlreadyCreated => "run-exists",
            Self::RunOver => "run-over",
            Self::NoSuchStep(_) => "no-such-step",
            Self::NotAwaited(_) => "answer-not-awaited",
            Self::OtherGoals(_) => "answer-for-other-goals",
            Self::OldExecutor { .. } => "old-executor",
            Self::NoApprovalAwaited => "no-approval-awaited",
            Self::OwnApproval(_) => "own-approval",
            Self::OtherRunbook => "approval-for-other-runbook",
            Self::ApprovalExpired(_) => "approval-expired",
            Self::AlreadyPaused => "already-paused",
            Self::NotPaused => "not-paused",
            Self::NothingToDecide(_) => "nothing-to-decide",
            Self::NotSkippable { .. } => "step-not-skippable",
            Self::NoReason => "reason-missing",
            Self::Committed => "already-committed",
            Self::AlreadyRetreating => "already-retreating",
            Self::NotCancellable => "not-cancellable",
            Self::Superseded(_) => "run-superseded",
            Self::NothingDue => "nothing-due",
            Self::NotStorable(_) => "event-not-storable",
        }
    }
}

/// A runbook that no run can be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each case means")]
pub enum BadRun {
    #[error("the step at place {place} calls itself step {}", id.0)]
    Misplaced { place: usize, id: StepId },
    #[error("step {} refers to step {}, which does not come before it", step.0, other.0)]
    Later { step: StepId, other: StepId },
    #[error("the run is pinned to another runbook")]
    OtherRunbook,
    #[error("the runbook cannot be stored: {0}")]
    NotStorable(String),
}

impl BadRun {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Misplaced { .. } | Self::Later { .. } => "runbook-malformed",
            Self::OtherRunbook => "runbook-changed",
            Self::NotStorable(_) => "event-not-storable",
        }
    }
}
