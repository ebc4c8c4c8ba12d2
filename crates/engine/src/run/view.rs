//! What others may know of a run: its phase, its steps, its questions.
//! Must not change anything.

use mainstay_model::{Direction, Output, Question, StepId, Timestamp};

use super::state::RunState;
use crate::StepState;

/// A step as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepView<'a> {
    /// The step.
    pub id: StepId,
    /// Its state.
    pub state: StepState,
    /// Forward or, in a retreat, back.
    pub direction: Direction,
    /// Intents to act that were recorded on the way forward.
    pub attempts: u32,
    /// Intents to undo that were recorded.
    pub undo_attempts: u32,
    /// When it was first looked at or begun.
    pub started: Option<Timestamp>,
    /// When it came to rest, if it did.
    pub ended: Option<Timestamp>,
    /// Whether it is under way: looked at, acting, polled.
    pub active: bool,
    /// Whether nobody but a person moves it on.
    pub waits_for_person: bool,
    /// How many other steps it still waits for.
    pub waits: u32,
    /// What it found and made.
    pub output: &'a Output,
    /// The last thing that was said about it: progress, a reason, a failure. Empty if there is nothing to say.
    pub note: &'a str,
    /// The stable code of its trouble, if it has any.
    pub code: Option<&'a str>,
}

impl RunState {
    pub(crate) fn view(&self, id: StepId) -> Option<StepView<'_>> {
        let run = self.steps.get(id.index())?;
        Some(StepView {
            id,
            state: run.place.state(&run.code, &run.note),
            direction: run.place.direction,
            attempts: run.attempts,
            undo_attempts: run.undo_attempts,
            started: run.started,
            ended: run.ended,
            active: run.place.is_active(),
            waits_for_person: self.waits_for_person(id),
            waits: self.schedule.waits(id),
            output: &run.output,
            note: &run.note,
            code: Some(run.code.as_str()).filter(|code| !code.is_empty()),
        })
    }

    pub(crate) fn questions<'a>(
        &'a self,
        runbook: &'a mainstay_model::Runbook,
    ) -> impl Iterator<Item = (StepId, Question)> + 'a {
        use crate::machine::Stage;
        let open = self.blocked.iter().filter(|id| {
            let stage = self.steps[id.index()].place.stage;
            matches!(stage, Stage::Asking | Stage::Unresolved)
        });
        open.map(|id| (*id, self.question(&runbook.steps[id.index()])))
    }
}
