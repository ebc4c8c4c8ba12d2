//! What can happen to a run, and what a run can ask for.
//! Must not know what the transition makes of an event.

use mainstay_model::{
    Action, Direction, EffectId, Epoch, ExecutorEpoch, Fence, Goal, Input, Output, PersonId,
    Question, RunId, RunbookHash, StepId, Timestamp, Tri,
};
use serde::{Deserialize, Serialize};

/// The number of a journal entry, from 1.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

/// The first event of every run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// The run.
    pub run: RunId,
    /// The run that this one continues with a new runbook.
    pub parent: Option<RunId>,
    /// Pins the runbook, which is stored beside the journal (I19).
    pub runbook: RunbookHash,
    /// Who asked.
    pub by: PersonId,
    /// Who executes.
    pub executor: ExecutorEpoch,
    /// Whether somebody else must approve first (I26).
    pub approval: Approval,
    /// How much happens at once and how often something is tried by itself.
    pub limits: Limits,
    /// Steps whose action must not happen twice ([`mainstay_model::Idempotence::Once`], by their kinds' promise):
    /// if such an outcome is unknown, a person decides about another attempt.
    pub once: Vec<StepId>,
}

/// Bounds of a run. They are part of the journal, so that a replay has the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// At most so many steps are under way at once; at least one.
    pub concurrency: u32,
    /// So often a step is repeated by itself after a failure that may pass.
    pub retries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 64,
            retries: 3,
        }
    }
}

/// Whether a run waits for a second person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approval {
    /// Starts at once.
    NotNeeded,
    /// Waits for somebody who is not the requester.
    Needed,
}

/// What a look found about one goal, for the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The answer, by [`mainstay_model::Kinds::holds`].
    pub answer: Tri,
    /// Why, in words; empty when it holds.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// Why the engine wants to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Look {
    /// Before acting: are the requirements met, and does the goal hold already?
    Before,
    /// After an action that said done.
    After,
    /// After an outcome that nobody knows.
    Settle,
}

/// The answers to one look, in the order in which the goals were asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedGoals {
    /// About the step's requirements (only before acting).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Evidence>,
    /// About the step's goals.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub goals: Vec<Evidence>,
    /// Position and values seen, for later steps.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub output: Output,
}

fn is_nothing(output: &Output) -> bool {
    output.position.is_none() && output.values.is_empty()
}

/// How an action ended, as its driver or its agent said. The same cases as the driver contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActOutcome {
    /// It is over.
    Done(Output),
    /// It goes on; poll that handle at that time.
    Running {
        /// What to poll.
        handle: String,
        /// When.
        again_at: Timestamp,
        /// For people.
        note: Option<String>,
    },
    /// Certainly nothing was changed.
    NotDone {
        /// A stable code.
        code: String,
        /// What happened.
        what: String,
        /// Whether trying again may help.
        retry: bool,
    },
    /// Somebody with a newer epoch was here.
    StaleEpoch(Epoch),
    /// Only observing can tell.
    Unknown(String),
}

/// A person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Go on.
    Yes,
    /// Do not.
    No {
        /// Why.
        why: String,
    },
}

/// Everything that can happen to a run. Each is one journal entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "the fields repeat: step, attempt, direction, and who"
)]
pub enum Event {
    /// The run exists.
    Created(Created),
    /// A second person approved this runbook.
    Approved {
        by: PersonId,
        runbook: RunbookHash,
        until: Timestamp,
    },
    /// A new executor carries on. What was started and has no outcome is unknown from here on.
    Resumed {
        executor: ExecutorEpoch,
        by: PersonId,
    },
    /// A look was answered.
    Observed {
        step: StepId,
        direction: Direction,
        attempt: u32,
        look: Look,
        seen: ObservedGoals,
    },
    /// An action, or a poll of it, was answered.
    Acted {
        step: StepId,
        direction: Direction,
        attempt: u32,
        outcome: ActOutcome,
    },
    /// A question was answered: a step's own, or whether an action whose outcome nobody can see has happened.
    Answered {
        step: StepId,
        by: PersonId,
        answer: Answer,
    },
    /// No new steps; what runs is let finish.
    Paused { by: PersonId },
    /// Go on after a pause.
    Unpaused { by: PersonId },
    /// Try a failed or unknown step again.
    Retried { step: StepId, by: PersonId },
    /// Go on without a step.
    Skipped {
        step: StepId,
        by: PersonId,
        reason: String,
    },
    /// Undo everything (before commit).
    Retreated { by: PersonId, reason: String },
    /// Stop for good, undoing nothing (a run that has changed nothing, or whose retreat is stuck).
    Cancelled { by: PersonId, reason: String },
    /// Time passed: timeouts and polls are due.
    Ticked,
}

/// What the engine asks its host to do. An `Act` is handed out only when its intent is durable (I16).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are those of the events that answer"
)]
pub enum Effect {
    /// Look at these goals, not before `at`, and answer with [`Event::Observed`], one piece of evidence for each goal.
    Observe {
        step: StepId,
        direction: Direction,
        attempt: u32,
        look: Look,
        requires: Vec<Goal>,
        goals: Vec<Goal>,
        at: Timestamp,
    },
    /// Act and answer with [`Event::Acted`].
    Act {
        id: EffectId,
        action: Action,
        fence: Option<Fence>,
        inputs: Vec<Input>,
    },
    /// Poll that handle at that time and answer with [`Event::Acted`].
    Poll {
        id: EffectId,
        action: Action,
        fence: Option<Fence>,
        handle: String,
        at: Timestamp,
    },
    /// Ask a person; answer with [`Event::Answered`].
    Ask { step: StepId, question: Question },
    /// The run is over, or nothing moves until a person does something. Handed out once the entry that says so is durable.
    Ended(RunPhase),
}

/// A step's life; see the design.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "docs/state-machines.md says what each state means"
)]
pub enum StepState {
    Pending,
    Already,
    Started,
    Succeeded,
    Failed { code: String, what: String },
    Unknown,
    AwaitingPerson,
    Skipped { reason: String },
    UndoStarted,
    Undone,
    UndoFailed { code: String, what: String },
    UndoUnknown,
}

/// A run's life; see the design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "docs/state-machines.md says what each state means"
)]
pub enum RunPhase {
    Planned,
    AwaitingApproval,
    Running,
    Paused,
    Retreating,
    Stuck,
    Succeeded,
    SucceededWithExceptions,
    Retreated,
    Cancelled,
}

impl RunPhase {
    /// Whether the run is over for good: nobody resumes it.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::SucceededWithExceptions | Self::Retreated | Self::Cancelled
        )
    }
}
