//! What an event means: it is checked against the state, becomes signals to steps, and then whoever may go, goes.
//! Must not write anything before everything about the event was found to be right.

use mainstay_model::{Direction, Epoch, Output, Predicate, StepId, Tri};

use super::{
    enter::News,
    state::{Commit, Mode, RunState, Turn, goals},
};
use crate::{
    ActOutcome, Event, Evidence, Illegal, Look, ObservedGoals, RunPhase,
    machine::{Permit, Said, Signal, Stage},
};

/// Names one question to a step: direction and attempt must be those that are asked about now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) step: StepId,
    pub(crate) direction: Direction,
    pub(crate) attempt: u32,
}

impl RunState {
    /// Handles one event. A refused one leaves the state as it was.
    pub(crate) fn apply(&mut self, event: &Event, turn: &mut Turn<'_>) -> Result<(), Illegal> {
        if matches!(self.mode, Mode::Over(_)) {
            return Err(Illegal::RunOver);
        }
        match event {
            Event::Observed {
                step,
                direction,
                attempt,
                look,
                seen,
            } => {
                let asked = Asked {
                    step: *step,
                    direction: *direction,
                    attempt: *attempt,
                };
                self.observed(asked, *look, seen, turn)?;
            }
            Event::Acted {
                step,
                direction,
                attempt,
                outcome,
            } => {
                let asked = Asked {
                    step: *step,
                    direction: *direction,
                    attempt: *attempt,
                };
                self.acted(asked, outcome, turn)?;
            }
            Event::Ticked => self.ticked(turn)?,
            by_people => self.people(by_people, turn)?,
        }
        self.go_on(turn);
        Ok(())
    }

    /// The run begins, unless it waits for an approval.
    pub(crate) fn begin(&mut self, turn: &mut Turn<'_>) {
        self.go_on(turn);
    }

    /// Turns round if a failure asks for it, starts whoever may start, and sees whether the run is over.
    fn go_on(&mut self, turn: &mut Turn<'_>) {
        if self.turning {
            self.turning = false;
            if self.mode == Mode::Running && self.commit == Commit::Ahead {
                self.begin_retreat(turn);
            }
        }
        if self.may_start() {
            self.start(turn);
        } else {
            self.withdraw(turn);
        }
        if self.mode == Mode::Running && self.left == 0 {
            self.finish(match self.exceptions {
                0 => RunPhase::Succeeded,
                _ => RunPhase::SucceededWithExceptions,
            });
        }
    }

    /// Gives free slots to steps whose turn has come.
    pub(crate) fn start(&mut self, turn: &mut Turn<'_>) {
        let slots = self.created.limits.concurrency.max(1) as usize;
        while self.may_start() && self.schedule.active().len() < slots {
            if self.mode == Mode::Retreating {
                let Some(id) = self.schedule.pop_last() else {
                    return;
                };
                self.take_back(id, turn);
            } else {
                let Some(id) = self.schedule.pop_first() else {
                    return;
                };
                self.nudge(id, Signal::Begin, turn);
            }
        }
    }

    /// Whether the step is asked about just this.
    fn check(&self, asked: Asked) -> Result<(), Illegal> {
        let run = self
            .steps
            .get(asked.step.index())
            .ok_or(Illegal::NoSuchStep(asked.step))?;
        if run.place.direction != asked.direction || run.attempt() != asked.attempt {
            return Err(Illegal::NotAwaited(asked.step));
        }
        Ok(())
    }

    fn observed(
        &mut self,
        asked: Asked,
        look: Look,
        seen: &ObservedGoals,
        turn: &mut Turn<'_>,
    ) -> Result<(), Illegal> {
        self.check(asked)?;
        let step = &turn.runbook.steps[asked.step.index()];
        let wanted = goals(step, asked.direction);
        let demanded = match (look, asked.direction) {
            (Look::Before, Direction::Forward) => &step.requires[..],
            _ => &[],
        };
        if wanted.len() != seen.goals.len() || demanded.len() != seen.requires.len() {
            return Err(Illegal::OtherGoals(asked.step));
        }
        let requires = self.answers(demanded.iter().map(|goal| &goal.is), &seen.requires);
        let checks = asked.direction == Direction::Forward && !is_act(step);
        let goals = match wanted {
            // An action without goals is over when it says so; a check without goals states only its requirements.
            [] if checks => Tri::Holds,
            [] => Tri::CannotTell,
            _ => self.answers(wanted.iter().map(|goal| &goal.is), &seen.goals),
        };
        let permit = match (look, asked.direction) {
            (Look::Before, Direction::Forward) => self.permit(step, &seen.output, turn),
            _ => Permit::Go,
        };
        let signal = Signal::Saw {
            look,
            requires,
            goals,
        };
        let news = News {
            output: Some(seen.output.clone()),
            note: Some(trouble(seen)),
            ..News::default()
        };
        self.signal(asked.step, signal, permit, news, turn)
            .map_err(|_| Illegal::NotAwaited(asked.step))?;
        let run = &self.steps[asked.step.index()];
        if permit == Permit::Wait && run.place.stage == Stage::Idle {
            self.mode = Mode::AwaitingApproval;
        }
        Ok(())
    }

    fn answers<'a>(
        &self,
        goals: impl Iterator<Item = &'a Predicate>,
        evidence: &[Evidence],
    ) -> Tri {
        Tri::all(goals.zip(evidence).map(|(is, seen)| {
            if self.misses_position(is) {
                Tri::CannotTell
            } else {
                seen.answer
            }
        }))
    }

    fn acted(
        &mut self,
        asked: Asked,
        outcome: &ActOutcome,
        turn: &mut Turn<'_>,
    ) -> Result<(), Illegal> {
        self.check(asked)?;
        let (said, news) = read(outcome);
        self.signal(asked.step, Signal::Acted(said), Permit::Go, news, turn)
            .map_err(|_| Illegal::NotAwaited(asked.step))?;
        if let ActOutcome::StaleEpoch(epoch) = outcome {
            self.supersede(*epoch);
        }
        Ok(())
    }

    /// Somebody newer is at work: nothing new is started, and nothing is undone.
    fn supersede(&mut self, epoch: Epoch) {
        self.superseded = Some(epoch);
        self.turning = false;
    }

    fn ticked(&mut self, turn: &mut Turn<'_>) -> Result<(), Illegal> {
        let due = self.schedule.due(turn.now);
        if due.is_empty() {
            return Err(Illegal::NothingDue);
        }
        for id in due {
            self.nudge(id, Signal::Late, turn);
        }
        Ok(())
    }

    /// Whether anything new may be started.
    fn may_start(&self) -> bool {
        let on = matches!(self.mode, Mode::Running | Mode::Retreating);
        on && self.hold == super::state::Hold::Free && self.superseded.is_none() && !self.turning
    }

    /// Sends whoever only looks before acting back to the queue.
    pub(crate) fn withdraw(&mut self, turn: &mut Turn<'_>) {
        for id in self.schedule.active().clone() {
            self.nudge(id, Signal::Withdrawn, turn);
        }
    }
}

fn is_act(step: &mainstay_model::Step) -> bool {
    !matches!(
        super::state::shape(step),
        crate::machine::Shape::Check | crate::machine::Shape::Join
    )
}

/// The first thing that does not hold, in words.
fn trouble(seen: &ObservedGoals) -> String {
    let all = seen.requires.iter().chain(&seen.goals);
    let mut not = all.filter(|evidence| evidence.answer != Tri::Holds);
    not.next()
        .map(|evidence| evidence.why.clone())
        .unwrap_or_default()
}

fn read(outcome: &ActOutcome) -> (Said, News) {
    let mut news = News {
        note: Some(String::new()),
        ..News::default()
    };
    let said = match outcome {
        ActOutcome::Done(output) => {
            news.output = Some(Output::clone(output));
            Said::Done
        }
        ActOutcome::Running {
            handle,
            again_at,
            note,
        } => {
            news.handle = Some((handle.clone(), *again_at));
            news.note = Some(note.clone().unwrap_or_default());
            Said::Running
        }
        ActOutcome::NotDone { code, what, retry } => {
            news.code = Some(code.clone());
            news.note = Some(what.clone());
            Said::NotDone { may_pass: *retry }
        }
        ActOutcome::StaleEpoch(epoch) => {
            news.note = Some(format!("the store is at epoch {epoch}"));
            Said::Stale
        }
        ActOutcome::Unknown(what) => {
            news.note = Some(what.clone());
            Said::Unknown
        }
    };
    (said, news)
}
