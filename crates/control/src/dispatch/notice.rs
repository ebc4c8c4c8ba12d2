//! What a run tells whoever watches it.
//! Must not know how it is shown.

use mainstay_engine::{RunPhase, StepState, StepView};
use mainstay_model::{Direction, Question, StepId, Timestamp};

/// A step as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepNow {
    /// The step.
    pub id: StepId,
    /// Its state.
    pub state: StepState,
    /// Forward, or back in a retreat.
    pub direction: Direction,
    /// Whether it is under way.
    pub active: bool,
    /// Whether nobody but a person moves it on.
    pub waits_for_person: bool,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it came to rest.
    pub ended: Option<Timestamp>,
    /// The last thing that was said about it; empty if nothing was.
    pub note: String,
}

impl From<StepView<'_>> for StepNow {
    fn from(view: StepView<'_>) -> Self {
        Self {
            id: view.id,
            state: view.state,
            direction: view.direction,
            active: view.active,
            waits_for_person: view.waits_for_person,
            started: view.started,
            ended: view.ended,
            note: view.note.to_owned(),
        }
    }
}

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A step changed.
    Step(StepNow),
    /// The run changed its phase.
    Phase(RunPhase),
    /// A person is asked.
    Asked {
        /// About this step.
        step: StepId,
        /// What.
        question: Question,
    },
    /// The point of no return is behind the run.
    Committed,
    /// What a person asked could not be done.
    Refused(String),
    /// Nothing moves any more, at least not without a person.
    Rests(RunPhase),
}
