//! What people and new executors do to a run: approve, pause, retry, skip, answer, retreat, cancel, take over.
//! Must not know how they were authenticated.

use mainstay_model::{
    Direction, ExecutorEpoch, Necessity, PersonId, Phase, RunbookHash, Step, StepId,
};

use super::{
    enter::News,
    state::{Commit, Hold, Mode, RunState, Turn},
};
use crate::{
    Answer, Event, Illegal, RunPhase,
    bugs::Bug,
    machine::{Permit, Signal, Stage, Word},
};
use mainstay_model::{OnFailure, Timestamp};

impl RunState {
    pub(crate) fn people(&mut self, event: &Event, turn: &mut Turn<'_>) -> Result<(), Illegal> {
        match event {
            Event::Approved { by, runbook, until } => self.approve(by, runbook, *until, turn.now),
            Event::Resumed { executor, .. } => self.resume(*executor, turn),
            Event::Answered { step, answer, .. } => self.answer(*step, answer, turn),
            Event::Paused { .. } => self.pause(),
            Event::Unpaused { .. } => match self.hold {
                Hold::Paused => {
                    self.hold = Hold::Free;
                    Ok(())
                }
                Hold::Free => Err(Illegal::NotPaused),
            },
            Event::Retried { step, .. } => self.retry(*step, turn),
            Event::Skipped { step, reason, .. } => self.skip(*step, reason, turn),
            Event::Retreated { reason, .. } => self.retreat(reason, turn),
            Event::Cancelled { reason, .. } => self.cancel(reason, turn),
            Event::Created(_) => Err(Illegal::AlreadyCreated),
            Event::Observed { .. } | Event::Acted { .. } | Event::Ticked => {
                Err(Illegal::NothingDue)
            }
        }
    }

    /// A second person approves this very runbook, for a while (I26).
    fn approve(
        &mut self,
        by: &PersonId,
        runbook: &RunbookHash,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), Illegal> {
        if self.mode != Mode::AwaitingApproval {
            return Err(Illegal::NoApprovalAwaited);
        }
        if *by == self.created.by && !self.bugs.has(Bug::OwnApprovalCounts) {
            return Err(Illegal::OwnApproval(by.clone()));
        }
        if *runbook != self.created.runbook && !self.bugs.has(Bug::ApprovalForAnyRunbook) {
            return Err(Illegal::OtherRunbook);
        }
        if until <= now && !self.bugs.has(Bug::ApprovalNeverExpires) {
            return Err(Illegal::ApprovalExpired(until));
        }
        self.approved = Some((by.clone(), until));
        self.mode = Mode::Running;
        Ok(())
    }

    /// A new executor carries on. What was begun and has no outcome is unknown from here on (I15, I20).
    fn resume(&mut self, executor: ExecutorEpoch, turn: &mut Turn<'_>) -> Result<(), Illegal> {
        if executor <= self.executor && !self.bugs.has(Bug::OldExecutorResumes) {
            return Err(Illegal::OldExecutor {
                current: self.executor,
                found: executor,
            });
        }
        if !self.bugs.has(Bug::ExecutorKept) {
            self.executor = executor;
        }
        let waiting = self.schedule.active().union(&self.blocked).copied();
        for id in waiting.collect::<Vec<_>>() {
            self.nudge(id, Signal::Resumed, turn);
        }
        Ok(())
    }

    fn answer(&mut self, id: StepId, answer: &Answer, turn: &mut Turn<'_>) -> Result<(), Illegal> {
        self.known(id)?;
        let (word, note) = match answer {
            Answer::Yes => (Word::Yes, String::new()),
            Answer::No { why } => (Word::No, why.clone()),
        };
        let news = News {
            note: Some(note),
            ..News::default()
        };
        self.signal(id, Signal::Answered(word), Permit::Go, news, turn)
            .map_err(|_| Illegal::NotAwaited(id))
    }

    fn pause(&mut self) -> Result<(), Illegal> {
        match (self.mode, self.hold) {
            (Mode::AwaitingApproval, _) | (_, Hold::Paused) => Err(Illegal::AlreadyPaused),
            (_, Hold::Free) => {
                self.hold = Hold::Paused;
                Ok(())
            }
        }
    }

    fn retry(&mut self, id: StepId, turn: &mut Turn<'_>) -> Result<(), Illegal> {
        self.decidable(id)?;
        let step = &turn.runbook.steps[id.index()];
        let run = &self.steps[id.index()];
        let back = run.place.direction == Direction::Undo;
        if back && matches!(step.undo, mainstay_model::Undo::Irreversible) {
            return Err(Illegal::NothingToDecide(id));
        }
        self.signal(id, Signal::Retry, Permit::Go, News::default(), turn)
            .map_err(|_| Illegal::NothingToDecide(id))
    }

    fn skip(&mut self, id: StepId, reason: &str, turn: &mut Turn<'_>) -> Result<(), Illegal> {
        self.decidable(id)?;
        let step = &turn.runbook.steps[id.index()];
        let direction = self.steps[id.index()].place.direction;
        if !may_be_skipped(step, direction) {
            return Err(Illegal::NotSkippable { phase: step.phase });
        }
        if reason.trim().is_empty() {
            return Err(Illegal::NoReason);
        }
        let news = News {
            note: Some(reason.to_owned()),
            ..News::default()
        };
        self.signal(id, Signal::Skip, Permit::Go, news, turn)
            .map_err(|_| Illegal::NothingToDecide(id))
    }

    fn retreat(&mut self, reason: &str, turn: &mut Turn<'_>) -> Result<(), Illegal> {
        if let Some(epoch) = self.superseded {
            return Err(Illegal::Superseded(epoch));
        }
        if self.mode == Mode::Retreating {
            return Err(Illegal::AlreadyRetreating);
        }
        if self.commit == Commit::Behind {
            return Err(Illegal::Committed);
        }
        if reason.trim().is_empty() {
            return Err(Illegal::NoReason);
        }
        self.hold = Hold::Free;
        self.begin_retreat(turn);
        Ok(())
    }

    fn cancel(&mut self, reason: &str, turn: &mut Turn<'_>) -> Result<(), Illegal> {
        let forward_only = self.commit == Commit::Behind
            || self.mode == Mode::Retreating
            || self.superseded.is_some()
            || turn.runbook.on_failure == OnFailure::Hold;
        let stuck = self.phase() == RunPhase::Stuck && forward_only;
        if self.intents > 0 && !stuck {
            return Err(Illegal::NotCancellable);
        }
        if reason.trim().is_empty() {
            return Err(Illegal::NoReason);
        }
        self.withdraw(turn);
        self.finish(RunPhase::Cancelled);
        Ok(())
    }

    /// A step that waits for a person.
    fn decidable(&self, id: StepId) -> Result<(), Illegal> {
        self.known(id)?;
        if let Some(epoch) = self.superseded {
            return Err(Illegal::Superseded(epoch));
        }
        if self.blocked.contains(&id) {
            Ok(())
        } else {
            Err(Illegal::NothingToDecide(id))
        }
    }

    fn known(&self, id: StepId) -> Result<(), Illegal> {
        match self.steps.get(id.index()) {
            Some(_) => Ok(()),
            None => Err(Illegal::NoSuchStep(id)),
        }
    }

    /// Whether a person could decide about this step now.
    pub(crate) fn waits_for_person(&self, id: StepId) -> bool {
        let stage = self.steps[id.index()].place.stage;
        self.blocked.contains(&id) || matches!(stage, Stage::Asking | Stage::Unresolved)
    }
}

/// Whether a person may go on without a step, or, on the way back, leave it not undone.
#[must_use]
pub fn may_be_skipped(step: &Step, direction: Direction) -> bool {
    let needed = direction == Direction::Undo || step.necessity == Necessity::Required;
    !needed || skippable(step.phase)
}

/// What may be skipped when it is required, and what may be left not undone: nothing that ownership, one scheduler,
/// equality of a group, or what only the old site has depends on (I1, I4, I10, I23).
fn skippable(phase: Phase) -> bool {
    match phase {
        Phase::Gate
        | Phase::Hold
        | Phase::Seal
        | Phase::Fence
        | Phase::RecoverSource
        | Phase::CatchUp
        | Phase::Promote
        | Phase::Commit
        | Phase::Salvage
        | Phase::Rebuild => false,
        Phase::Provision
        | Phase::Drain
        | Phase::Quiesce
        | Phase::Reconcile
        | Phase::Rebind
        | Phase::Activate
        | Phase::Verify
        | Phase::Shift
        | Phase::Release
        | Phase::Sweep
        | Phase::Protect => true,
    }
}
