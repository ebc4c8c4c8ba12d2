//! A step's life: states, signals and the one transition function, forward and undo alike.
//! Must not know other steps, journals, clocks or effects: [`Task`] names what the run then does.
//!
//! ```text
//!             Begin            goal holds already
//!   Idle ───────────▶ Looking ───────────────────▶ Held
//!                     │  ▲                (intent) │
//!                     │  └── may pass: again ──┐   │
//!                     ▼                        │   │
//!            ┌──── Acting ──── not done ───────┼──▶ Failed ◀── goal not reached in time
//!            │      │   │                      │
//!    no time,│      │   └ long ▶ Polling ◀─────┼──▶ Recalling (a new executor polls the old handle; an order
//!    no word │ done │             │ done       │               whose end nobody can see is asked after)
//!            │      ▼             ▼            │
//!            │    Confirming ◀────┘            │
//!            │      │ goal holds               │
//!            │      ▼                          │
//!            │    Done ◀── holds ──┐           │
//!            └──────────────────▶ Settling ── does not hold: again
//!                                  │ cannot tell, in time
//!                                  ▼
//!                               Unresolved (a person decides; a retreat undoes it)
//! ```
//!
//! Checks stay in `Looking` until they hold; questions wait in `Asking`. Undoing walks the same states in the other
//! direction, starting with the action: see [`Place`] for the names that users see.

use mainstay_model::{Direction, Tri};

use crate::{Bugs, Look, StepState, bugs::Bug};

/// Where a step is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Waits for other steps, or for its turn.
    Idle,
    /// A look before acting is under way.
    Looking,
    /// The intent is recorded, the action has no outcome yet.
    Acting,
    /// A long operation goes on and is polled.
    Polling,
    /// The same, after a restart, or after an order that was never answered: what became of it is unknown until the
    /// poll answers.
    Recalling,
    /// The action said done; looks whether the goal holds.
    Confirming,
    /// Nobody knows the outcome; looks whether the goal holds.
    Settling,
    /// A question waits for a person.
    Asking,
    /// The outcome cannot be told; a person decides.
    Unresolved,
    /// The outcome is unknown and nobody looks any more: the retreat undoes it.
    Unsettled,
    /// The goal held before anything was done.
    Held,
    /// Over, as wanted.
    Done,
    /// Over, not as wanted.
    Failed,
    /// A person went on without it.
    Skipped,
}

/// A stage on the way forward or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) direction: Direction,
    pub(crate) stage: Stage,
}

/// What happened to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Its turn has come.
    Begin,
    /// A look was answered.
    Saw {
        look: Look,
        requires: Tri,
        goals: Tri,
    },
    /// The action or a poll of it was answered.
    Acted(Said),
    /// A person answered.
    Answered(Word),
    /// The time is over.
    Late,
    /// A new executor took over.
    Resumed,
    /// The run starts nothing new (pause, expired approval, stop).
    Withdrawn,
    /// The run begins to retreat.
    Retreat,
    /// The step's turn in the retreat has come.
    Undo,
    /// A person wants another try.
    Retry,
    /// A person goes on without it.
    Skip,
}

/// What a driver said, without the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Done,
    Running,
    NotDone { may_pass: bool },
    Stale,
    Unknown,
}

/// What a person said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Yes,
    No,
}

/// What a step does, without the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Join,
    Check,
    Ask,
    Act,
}

/// Whether the run lets the step act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permit {
    /// Yes.
    Go,
    /// Not now: it goes back to the queue.
    Wait,
    /// No: the acceptance is missing, ran out, or does not cover what is there (I9).
    NoAcceptance,
}

/// What becomes of a step whose outcome cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A person decides.
    Ask,
    /// It counts as failed, an exception: the step is advisory.
    Fail,
    /// The run retreats and undoes it, whatever it was.
    Undo,
}

/// Everything that a transition may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each named; not a state machine in disguise"
)]
pub(crate) struct About {
    pub(crate) shape: Shape,
    /// Whether it has goals in this direction.
    pub(crate) goals: bool,
    /// A second action must not happen.
    pub(crate) once: bool,
    /// It may be repeated by itself.
    pub(crate) again: bool,
    /// Its time is over.
    pub(crate) late: bool,
    /// A long operation is known, which may still go on.
    pub(crate) handle: bool,
    /// An intent was recorded before.
    pub(crate) attempted: bool,
    /// The run retreats and this is still the way forward.
    pub(crate) leaving: bool,
    /// Undoing has been declared impossible.
    pub(crate) irreversible: bool,
    /// What becomes of it when its outcome cannot be told.
    pub(crate) fate: Fate,
    pub(crate) permit: Permit,
    pub(crate) bugs: Bugs,
}

/// When a look is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// At once.
    None,
    /// After a short while that grows with the number of looks.
    Look,
    /// After the pause between two tries; counts as a try.
    Try,
}

/// What the run does after a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Nothing.
    None,
    /// Look.
    Look(Look, Pause),
    /// Record the intent and act.
    Act,
    /// Act on an intent that was recorded before: only a planted bug does that.
    Repeat,
    /// Poll the handle when its provider said.
    Poll,
    /// Poll the handle after a short while that grows.
    PollAgain,
    /// Ask a person.
    Ask,
    /// Send it back to the queue.
    Queue,
}

/// Why a step failed, where the driver did not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    RequirementNotMet,
    CannotTell,
    CheckFailed,
    GoalNotReached,
    /// What the driver said.
    Driver,
    Stale,
    AnsweredNo,
    OutcomeUnknown,
    NoAcceptance,
    Irreversible,
}

/// Where a step goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) place: Place,
    pub(crate) task: Task,
    /// Why, if the new stage is `Failed`, `Unresolved` or, before a retreat, `Unsettled`.
    pub(crate) why: Option<Why>,
}

/// A signal that means nothing at this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unexpected;

/// The transition function.
pub(crate) fn transition(at: Place, signal: Signal, about: &About) -> Result<Next, Unexpected> {
    match signal {
        Signal::Begin => begin(at, about),
        Signal::Saw {
            look,
            requires,
            goals,
        } => match (look, at.stage) {
            (Look::Before, Stage::Looking) => Ok(seen_before(at, requires, goals, about)),
            (Look::After, Stage::Confirming) => Ok(seen_after(at, goals, about)),
            (Look::Settle, Stage::Settling) => Ok(seen_settling(at, goals, about)),
            _ => Err(Unexpected),
        },
        Signal::Acted(said) => acted(at, said, about),
        Signal::Answered(word) => answered(at, word),
        Signal::Late => late(at, about),
        Signal::Resumed => resumed(at, about),
        Signal::Withdrawn => match at {
            Place {
                direction: Direction::Forward,
                stage: Stage::Looking,
            } => Ok(at.to(Stage::Idle, Task::Queue)),
            _ => Err(Unexpected),
        },
        Signal::Retreat => retreat(at),
        Signal::Undo => undo(at, about),
        Signal::Retry => match at.stage {
            Stage::Failed | Stage::Unresolved => Ok(match at.direction {
                Direction::Forward => at.to(Stage::Idle, Task::Queue),
                Direction::Undo => at.look(Look::Before, Pause::None),
            }),
            _ => Err(Unexpected),
        },
        Signal::Skip => match at.stage {
            Stage::Failed | Stage::Unresolved | Stage::Asking => {
                Ok(at.to(Stage::Skipped, Task::None))
            }
            _ => Err(Unexpected),
        },
    }
}

fn begin(at: Place, about: &About) -> Result<Next, Unexpected> {
    match (at.direction, at.stage, about.shape) {
        (Direction::Forward, Stage::Idle, Shape::Join) => Ok(at.to(Stage::Done, Task::None)),
        (Direction::Forward, Stage::Idle, Shape::Ask) if !about.goals => {
            Ok(at.to(Stage::Asking, Task::Ask))
        }
        (Direction::Forward, Stage::Idle, _) => Ok(at.look(Look::Before, Pause::None)),
        _ => Err(Unexpected),
    }
}

fn seen_before(at: Place, requires: Tri, goals: Tri, about: &About) -> Next {
    if about.shape == Shape::Check && at.direction == Direction::Forward {
        return match Tri::all([requires, goals]) {
            Tri::Holds => at.to(Stage::Done, Task::None),
            Tri::DoesNot if about.late => at.fail(Why::CheckFailed),
            Tri::CannotTell if about.late => at.fail(Why::CannotTell),
            _ => at.look(Look::Before, Pause::Look),
        };
    }
    if goals == Tri::Holds {
        return match at.direction {
            Direction::Forward if !about.attempted => at.to(Stage::Held, Task::None),
            Direction::Forward | Direction::Undo => at.to(Stage::Done, Task::None),
        };
    }
    match requires {
        Tri::DoesNot if about.again => at.look(Look::Before, Pause::Try),
        Tri::DoesNot => at.fail(Why::RequirementNotMet),
        Tri::CannotTell if about.late => at.fail(Why::CannotTell),
        Tri::CannotTell => at.look(Look::Before, Pause::Look),
        Tri::Holds if about.shape == Shape::Ask => at.to(Stage::Asking, Task::Ask),
        Tri::Holds => match about.permit {
            Permit::Go => at.to(Stage::Acting, Task::Act),
            Permit::Wait => at.to(Stage::Idle, Task::Queue),
            Permit::NoAcceptance => at.fail(Why::NoAcceptance),
        },
    }
}

fn seen_after(at: Place, goals: Tri, about: &About) -> Next {
    match goals {
        Tri::Holds => at.to(Stage::Done, Task::None),
        Tri::DoesNot if about.late => at.fail(Why::GoalNotReached),
        Tri::CannotTell if about.late => at.look(Look::Settle, Pause::Look),
        Tri::DoesNot | Tri::CannotTell => at.look(Look::After, Pause::Look),
    }
}

fn seen_settling(at: Place, goals: Tri, about: &About) -> Next {
    match goals {
        Tri::Holds => at.to(Stage::Done, Task::None),
        Tri::DoesNot if !about.handle && about.once => at.unresolved(about),
        Tri::DoesNot if !about.handle && about.again => at.look(Look::Before, Pause::Try),
        Tri::DoesNot if !about.handle => at.fail(Why::GoalNotReached),
        // What may still go on, or cannot be seen, is looked at again; acting again would be a guess (I15).
        _ if about.bugs.has(Bug::UnseenIsDone) => at.to(Stage::Done, Task::None),
        Tri::DoesNot | Tri::CannotTell if about.late => at.unresolved(about),
        Tri::DoesNot | Tri::CannotTell => at.look(Look::Settle, Pause::Look),
    }
}

fn acted(at: Place, said: Said, about: &About) -> Result<Next, Unexpected> {
    let awaited = matches!(
        at.stage,
        Stage::Acting | Stage::Polling | Stage::Recalling | Stage::Settling
    );
    if !awaited {
        return Err(Unexpected);
    }
    Ok(match said {
        Said::Done if about.leaving || !about.goals => at.to(Stage::Done, Task::None),
        Said::Done if at.direction == Direction::Undo && about.bugs.has(Bug::UndoUnseen) => {
            at.to(Stage::Done, Task::None)
        }
        Said::Done => at.look(Look::After, Pause::None),
        Said::Running => at.to(Stage::Polling, Task::Poll),
        Said::NotDone { may_pass: true } if about.again && !about.leaving => {
            at.look(Look::Before, Pause::Try)
        }
        Said::NotDone { .. } => at.fail(Why::Driver),
        Said::Stale => at.fail(Why::Stale),
        // It is being settled already, and this says nothing new.
        Said::Unknown if at.stage == Stage::Settling => return Err(Unexpected),
        Said::Unknown if about.bugs.has(Bug::RetryBlindly) && about.again => {
            at.to(Stage::Acting, Task::Act)
        }
        // A poll that fails says nothing about a long operation. It is repeated while there is time.
        Said::Unknown
            if matches!(at.stage, Stage::Polling | Stage::Recalling)
                && (about.goals || about.handle)
                && !about.late =>
        {
            at.to(at.stage, Task::PollAgain)
        }
        Said::Unknown if at.stage == Stage::Acting => unheard(at, about),
        Said::Unknown => settle(at, about),
    })
}

/// No answer came. What has no goals nobody can see, but the agent's own journal may know.
fn unheard(at: Place, about: &About) -> Next {
    if about.goals || about.leaving {
        settle(at, about)
    } else {
        at.to(Stage::Recalling, Task::Poll)
    }
}

/// The outcome is unknown: from here on it is only looked at, or handed to a person (I15).
fn settle(at: Place, about: &About) -> Next {
    if about.leaving {
        at.to(Stage::Unsettled, Task::None)
    } else if about.goals {
        at.look(Look::Settle, Pause::None)
    } else {
        at.unresolved(about)
    }
}

fn answered(at: Place, word: Word) -> Result<Next, Unexpected> {
    match (at.stage, word) {
        (Stage::Asking | Stage::Unresolved, Word::Yes) => Ok(at.to(Stage::Done, Task::None)),
        (Stage::Asking | Stage::Unresolved, Word::No) => Ok(at.fail(Why::AnsweredNo)),
        _ => Err(Unexpected),
    }
}

fn late(at: Place, about: &About) -> Result<Next, Unexpected> {
    match at.stage {
        Stage::Looking if at.direction == Direction::Undo => Ok(at.unresolved(about)),
        Stage::Looking => Ok(at.fail(Why::CannotTell)),
        Stage::Acting | Stage::Polling | Stage::Recalling => Ok(settle(at, about)),
        Stage::Confirming => Ok(at.look(Look::Settle, Pause::None)),
        Stage::Settling => Ok(at.unresolved(about)),
        _ => Err(Unexpected),
    }
}

fn resumed(at: Place, about: &About) -> Result<Next, Unexpected> {
    match at.stage {
        Stage::Looking => Ok(at.look(Look::Before, Pause::None)),
        Stage::Acting if about.bugs.has(Bug::ActAgainOnResume) => {
            Ok(at.to(Stage::Acting, Task::Repeat))
        }
        Stage::Acting => Ok(unheard(at, about)),
        Stage::Polling | Stage::Recalling => Ok(at.to(Stage::Recalling, Task::Poll)),
        Stage::Confirming => Ok(at.look(Look::After, Pause::None)),
        Stage::Settling => Ok(at.look(Look::Settle, Pause::None)),
        Stage::Asking | Stage::Unresolved => Ok(at.to(at.stage, Task::Ask)),
        _ => Err(Unexpected),
    }
}

/// What is only looked at is let go; what was begun is left to end by itself, and then undone.
fn retreat(at: Place) -> Result<Next, Unexpected> {
    match (at.direction, at.stage) {
        (Direction::Undo, _) => Err(Unexpected),
        (_, Stage::Looking | Stage::Asking) => Ok(at.to(Stage::Idle, Task::None)),
        (_, Stage::Confirming) => Ok(at.to(Stage::Done, Task::None)),
        (_, Stage::Settling | Stage::Unresolved) => Ok(at.to(Stage::Unsettled, Task::None)),
        _ => Err(Unexpected),
    }
}

fn undo(at: Place, about: &About) -> Result<Next, Unexpected> {
    let back = Place {
        direction: Direction::Undo,
        stage: Stage::Acting,
    };
    match (at.direction, at.stage) {
        (Direction::Undo, _)
        | (
            _,
            Stage::Looking
            | Stage::Acting
            | Stage::Polling
            | Stage::Recalling
            | Stage::Confirming
            | Stage::Settling
            | Stage::Asking,
        ) => Err(Unexpected),
        _ if about.irreversible => Ok(back.fail(Why::Irreversible)),
        _ => Ok(back.to(Stage::Acting, Task::Act)),
    }
}

impl Place {
    pub(crate) const START: Self = Self {
        direction: Direction::Forward,
        stage: Stage::Idle,
    };

    fn to(self, stage: Stage, task: Task) -> Next {
        Next {
            place: Self { stage, ..self },
            task,
            why: None,
        }
    }

    fn look(self, look: Look, pause: Pause) -> Next {
        let stage = match look {
            Look::Before => Stage::Looking,
            Look::After => Stage::Confirming,
            Look::Settle => Stage::Settling,
        };
        self.to(stage, Task::Look(look, pause))
    }

    fn fail(self, why: Why) -> Next {
        Next {
            why: Some(why),
            ..self.to(Stage::Failed, Task::None)
        }
    }

    fn unresolved(self, about: &About) -> Next {
        let next = match about.fate {
            Fate::Ask => self.to(Stage::Unresolved, Task::Ask),
            Fate::Fail => self.to(Stage::Failed, Task::None),
            Fate::Undo => self.to(Stage::Unsettled, Task::None),
        };
        Next {
            why: Some(Why::OutcomeUnknown),
            ..next
        }
    }

    /// The name that users see.
    pub(crate) fn state(self, code: &str, what: &str) -> StepState {
        let (code, what) = (code.to_owned(), what.to_owned());
        match (self.direction, self.stage) {
            (_, Stage::Skipped) => StepState::Skipped { reason: what },
            (Direction::Forward, stage) => match stage {
                Stage::Idle | Stage::Looking => StepState::Pending,
                Stage::Acting | Stage::Polling | Stage::Confirming => StepState::Started,
                Stage::Recalling | Stage::Settling | Stage::Unsettled => StepState::Unknown,
                Stage::Asking | Stage::Unresolved => StepState::AwaitingPerson,
                Stage::Held => StepState::Already,
                Stage::Done => StepState::Succeeded,
                Stage::Failed | Stage::Skipped => StepState::Failed { code, what },
            },
            (Direction::Undo, stage) => match stage {
                Stage::Done | Stage::Held => StepState::Undone,
                Stage::Failed | Stage::Skipped => StepState::UndoFailed { code, what },
                Stage::Recalling | Stage::Settling | Stage::Unresolved | Stage::Unsettled => {
                    StepState::UndoUnknown
                }
                Stage::Idle
                | Stage::Looking
                | Stage::Acting
                | Stage::Polling
                | Stage::Confirming
                | Stage::Asking => StepState::UndoStarted,
            },
        }
    }
}
