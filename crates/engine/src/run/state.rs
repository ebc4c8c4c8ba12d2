//! What is known of a run and its steps. Changed by [`super::apply`] and its neighbours only.
//! Must not know where events come from.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_model::{
    Direction, Epoch, ExecutorEpoch, Necessity, OnFailure, Output, PersonId, Predicate, Runbook,
    Span, Step, StepId, Timestamp, Undo, Wanted,
};

use super::schedule::Schedule;
use crate::{
    Approval, Created, Effect, RunPhase, Seq,
    bugs::{Bug, Bugs},
    machine::{About, Fate, Permit, Place, Shape, Stage},
};

/// Stands for the handle of an action that was ordered and never answered: the agent knows it by its effect id.
pub(crate) const RECALL: &str = "recall";

/// While a planned move can still go back, its users are stopped: it does not wait longer than this for word of what
/// became of a step, however long the step itself may take.
const SILENCE: Span = Span::from_secs(20);

/// The direction of the run, before it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    AwaitingApproval,
    Running,
    Retreating,
    Over(RunPhase),
}

/// Whether a person holds the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Free,
    Paused,
}

/// Whether the point of no return is behind the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    Ahead,
    Behind,
}

/// A step on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepRun {
    pub(crate) place: Place,
    /// Intents recorded, forward and undo.
    pub(crate) attempts: u32,
    pub(crate) undo_attempts: u32,
    /// Who recorded the last intent.
    pub(crate) executor: ExecutorEpoch,
    /// Whether an action may have changed something.
    pub(crate) touched: bool,
    /// Tries by itself since a person or a new direction set it off.
    pub(crate) tries: u32,
    /// Looks since the last change of stage.
    pub(crate) looks: u32,
    pub(crate) deadline: Option<Timestamp>,
    /// Since when nobody can tell what became of its action.
    pub(crate) unheard: Option<Timestamp>,
    pub(crate) timer: Option<Timestamp>,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) handle: Option<(String, Timestamp)>,
    pub(crate) output: Output,
    /// A stable code for the last trouble; empty without one.
    pub(crate) code: String,
    /// The last thing said about it, for people.
    pub(crate) note: String,
}

impl StepRun {
    fn new() -> Self {
        Self {
            place: Place::START,
            attempts: 0,
            undo_attempts: 0,
            executor: ExecutorEpoch::default(),
            touched: false,
            tries: 0,
            looks: 0,
            deadline: None,
            unheard: None,
            timer: None,
            started: None,
            ended: None,
            handle: None,
            output: Output::default(),
            code: String::new(),
            note: String::new(),
        }
    }

    /// The number of the attempt that a look or an answer is about. A look before acting is about the coming one.
    pub(crate) fn attempt(&self) -> u32 {
        let recorded = match self.place.direction {
            Direction::Forward => self.attempts,
            Direction::Undo => self.undo_attempts,
        };
        recorded + u32::from(self.place.stage == Stage::Looking)
    }
}

/// An effect, and whether it waits until the entry that caused it is durable.
pub(crate) enum Out {
    Now(Effect),
    Durable(Effect),
}

/// What one event is handled with.
pub(crate) struct Turn<'a> {
    pub(crate) runbook: &'a Runbook,
    pub(crate) now: Timestamp,
    pub(crate) out: Vec<Out>,
}

/// What is known of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunState {
    pub(crate) created: Created,
    pub(crate) executor: ExecutorEpoch,
    pub(crate) mode: Mode,
    pub(crate) hold: Hold,
    /// Somebody newer was seen, at that epoch.
    pub(crate) superseded: Option<Epoch>,
    /// Who approved, and until when.
    pub(crate) approved: Option<(PersonId, Timestamp)>,
    pub(crate) commit: Commit,
    pub(crate) steps: Vec<StepRun>,
    pub(crate) schedule: Schedule,
    /// Steps that nobody but a person can move on.
    pub(crate) blocked: BTreeSet<StepId>,
    /// Promotes whose undoing a seal's undoing waits for, beyond the edges.
    pub(crate) guards: BTreeMap<StepId, Vec<StepId>>,
    /// Intents recorded in all.
    pub(crate) intents: u64,
    /// Steps that ended otherwise than wanted, and the run went on.
    pub(crate) exceptions: u32,
    /// Steps that are not over (forward) or not cleared (retreat).
    pub(crate) left: usize,
    /// A required step failed: the run turns round once this event is handled.
    pub(crate) turning: bool,
    pub(crate) once: BTreeSet<StepId>,
    /// The entry being handled.
    pub(crate) seq: Seq,
    pub(crate) bugs: Bugs,
}

impl RunState {
    pub(crate) fn new(created: &Created, runbook: &Runbook, bugs: Bugs) -> Self {
        Self {
            created: created.clone(),
            executor: created.executor,
            mode: match created.approval {
                Approval::Needed => Mode::AwaitingApproval,
                Approval::NotNeeded => Mode::Running,
            },
            hold: Hold::Free,
            superseded: None,
            approved: None,
            commit: Commit::Ahead,
            steps: runbook.steps.iter().map(|_| StepRun::new()).collect(),
            schedule: Schedule::new(runbook),
            blocked: BTreeSet::new(),
            guards: BTreeMap::new(),
            intents: 0,
            exceptions: 0,
            left: runbook.steps.len(),
            turning: false,
            once: created.once.iter().copied().collect(),
            seq: Seq(1),
            bugs,
        }
    }

    pub(crate) fn phase(&self) -> RunPhase {
        match self.mode {
            Mode::Over(phase) => phase,
            Mode::AwaitingApproval => RunPhase::AwaitingApproval,
            Mode::Running | Mode::Retreating if self.hold == Hold::Paused => RunPhase::Paused,
            Mode::Running | Mode::Retreating if self.is_stuck() => RunPhase::Stuck,
            Mode::Running => RunPhase::Running,
            Mode::Retreating => RunPhase::Retreating,
        }
    }

    fn is_stuck(&self) -> bool {
        let waits = self.superseded.is_some() || !self.blocked.is_empty();
        self.schedule.active().is_empty() && waits
    }

    /// The phase, if nothing moves any more without a person.
    pub(crate) fn resting(&self) -> Option<RunPhase> {
        let phase = self.phase();
        let rests = match phase {
            RunPhase::Running | RunPhase::Retreating | RunPhase::Planned => false,
            RunPhase::Paused | RunPhase::AwaitingApproval => self.schedule.active().is_empty(),
            RunPhase::Stuck
            | RunPhase::Succeeded
            | RunPhase::SucceededWithExceptions
            | RunPhase::Retreated
            | RunPhase::Cancelled => true,
        };
        rests.then_some(phase)
    }

    /// Whether a failure turns the run round.
    pub(crate) fn retreats(&self, runbook: &Runbook) -> bool {
        self.mode == Mode::Running
            && self.commit == Commit::Ahead
            && runbook.on_failure == OnFailure::Retreat
    }

    /// Everything that the next transition of a step may depend on.
    pub(crate) fn about(&self, step: &Step, turn: &Turn<'_>, permit: Permit) -> About {
        let run = &self.steps[step.id.index()];
        let forward = run.place.direction == Direction::Forward;
        let fate = match step.necessity {
            _ if !forward => Fate::Ask,
            Necessity::Advisory => Fate::Fail,
            Necessity::Required if self.retreats(turn.runbook) => Fate::Undo,
            Necessity::Required => Fate::Ask,
        };
        let silent = run.unheard.is_some_and(|at| turn.now.since(at) >= SILENCE)
            && fate == Fate::Undo
            && !self.bugs.has(Bug::LooksForever);
        let over = run.deadline.is_some_and(|at| turn.now >= at);
        About {
            shape: shape(step),
            goals: !goals(step, run.place.direction).is_empty(),
            once: self.once.contains(&step.id),
            again: run.tries < self.created.limits.retries,
            late: over || silent,
            handle: (run.handle.as_ref()).is_some_and(|(handle, _)| handle != RECALL),
            attempted: run.attempts > 0,
            leaving: forward && self.mode == Mode::Retreating,
            irreversible: matches!(step.undo, Undo::Irreversible),
            fate,
            permit,
            bugs: self.bugs,
        }
    }

    /// Forgets what steps found: only a planted bug does that.
    pub(crate) fn forget_outputs(&mut self) {
        for run in &mut self.steps {
            run.output = Output::default();
        }
    }

    /// The output of an earlier step.
    pub(crate) fn output(&self, id: StepId) -> &Output {
        &self.steps[id.index()].output
    }

    /// Whether a goal refers to a position that no step has found.
    pub(crate) fn misses_position(&self, is: &Predicate) -> bool {
        matches!(is, Predicate::CaughtUp(Wanted::Output(from)) if self.output(from.step).position.is_none())
    }
}

/// A step's goals in a direction.
pub(crate) fn goals(step: &Step, direction: Direction) -> &[mainstay_model::Goal] {
    match (direction, &step.undo) {
        (Direction::Forward, _) => &step.goals,
        (Direction::Undo, Undo::Act { goals, .. }) => goals,
        (Direction::Undo, Undo::Nothing | Undo::Irreversible) => &[],
    }
}

/// What a step does, without the details. A join that states something is a check.
pub(crate) fn shape(step: &Step) -> Shape {
    use mainstay_model::Body;
    match step.body {
        Body::Join if step.requires.is_empty() && step.goals.is_empty() => Shape::Join,
        Body::Join | Body::Check => Shape::Check,
        Body::Ask(_) => Shape::Ask,
        Body::Act(_) => Shape::Act,
    }
}
