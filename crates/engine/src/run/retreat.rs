//! The way back: every step whose intent was recorded is undone, in the reverse order of the edges.
//! Must not know why the run turned round.

use std::collections::BTreeMap;

use mainstay_model::{Direction, Phase, Runbook, Step, StepId, Subject, Undo};

use super::state::{Mode, RunState, Turn};
use crate::{
    RunPhase,
    bugs::Bug,
    machine::{Signal, Stage},
};

impl RunState {
    /// Turns the run round: lets go of what is only looked at, leaves what was begun to end by itself, and starts undoing.
    pub(crate) fn begin_retreat(&mut self, turn: &mut Turn<'_>) {
        self.mode = Mode::Retreating;
        self.turning = false;
        self.left = turn.runbook.steps.len();
        self.guards = guards(turn.runbook);
        let guarded: Vec<StepId> = self.guards.values().flatten().copied().collect();
        self.schedule.reverse(turn.runbook, guarded.into_iter());
        if self.bugs.has(Bug::RetreatInAnyOrder) {
            self.schedule.queue_all(turn.runbook);
        }
        let waiting = std::mem::take(&mut self.blocked);
        let under_way = self.schedule.active().clone();
        for id in under_way.union(&waiting) {
            self.nudge(*id, Signal::Retreat, turn);
        }
        self.blocked.clear();
    }

    /// The next step back: undoes it if it may have changed something, else clears it.
    pub(crate) fn take_back(&mut self, id: StepId, turn: &mut Turn<'_>) {
        let step = &turn.runbook.steps[id.index()];
        if self.bugs.has(Bug::RetreatInAnyOrder)
            && self.steps[id.index()].place.direction == Direction::Undo
        {
            return;
        }
        if self.schedule.active().contains(&id) {
            // It is still on its way forward; its turn comes when that has ended.
            return;
        }
        if self.needs_undo(step) {
            self.nudge(id, Signal::Undo, turn);
        } else {
            self.cleared(step);
        }
    }

    fn needs_undo(&self, step: &Step) -> bool {
        let run = &self.steps[step.id.index()];
        match step.undo {
            Undo::Nothing => false,
            Undo::Act { .. } if self.bugs.has(Bug::RetreatForgetsUnknown) => {
                run.place.stage == Stage::Done
            }
            Undo::Act { .. } => run.attempts > 0,
            Undo::Irreversible => run.touched,
        }
    }

    /// Nothing of this step is left: those that it came after may be undone.
    pub(crate) fn cleared(&mut self, step: &Step) {
        self.left -= 1;
        for before in &step.after {
            self.schedule.free(*before);
        }
        for guarded in self.guards.remove(&step.id).unwrap_or_default() {
            self.schedule.free(guarded);
        }
        if self.left == 0 {
            self.finish(RunPhase::Retreated);
        }
    }

    /// The run is over.
    pub(crate) fn finish(&mut self, phase: RunPhase) {
        self.mode = Mode::Over(phase);
        self.schedule.stop();
        self.blocked.clear();
        for run in &mut self.steps {
            (run.deadline, run.timer) = (None, None);
        }
    }
}

/// For each promote, the seals of the same store that came before it: such a seal is undone only once the promote is
/// provably undone, whether or not the runbook has that edge.
fn guards(runbook: &Runbook) -> BTreeMap<StepId, Vec<StepId>> {
    let mut seals: BTreeMap<&Subject, Vec<StepId>> = BTreeMap::new();
    let mut guards = BTreeMap::new();
    for step in &runbook.steps {
        match step.phase {
            Phase::Seal => seals.entry(&step.subject).or_default().push(step.id),
            Phase::Promote => {
                guards.insert(
                    step.id,
                    seals.get(&step.subject).cloned().unwrap_or_default(),
                );
            }
            _ => {}
        }
    }
    guards
}
