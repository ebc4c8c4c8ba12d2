//! Carrying out one transition of one step: its record, its place in the queue, its timer, its effect, and what
//! follows for the steps around it.
//! Must not decide where a step goes; [`crate::machine::transition`] does.

use mainstay_model::{Direction, Necessity, Output, Phase, Span, Step, StepId, Timestamp, Tri};

use super::{
    effects::{look_pause, try_pause},
    state::{Commit, Mode, RECALL, RunState, StepRun, Turn},
};
use crate::machine::{
    Next, Pause, Permit, Place, Said, Signal, Stage, Task, Unexpected, Why, transition,
};
use crate::{Look, bugs::Bug};

/// A look that hangs is given up so long after the step's own time; the answer to the last one comes first.
const LOOK_GRACE: Span = Span::from_secs(1);

/// What is new with a signal.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) output: Option<Output>,
    pub(crate) handle: Option<(String, Timestamp)>,
    pub(crate) code: Option<String>,
    pub(crate) note: Option<String>,
}

impl RunState {
    /// Sends a signal to a step and carries out what follows. Refused signals change nothing.
    pub(crate) fn signal(
        &mut self,
        id: StepId,
        signal: Signal,
        permit: Permit,
        news: News,
        turn: &mut Turn<'_>,
    ) -> Result<(), Unexpected> {
        let runbook = turn.runbook;
        let step = &runbook.steps[id.index()];
        let about = self.about(step, turn, permit);
        let next = transition(self.steps[id.index()].place, signal, &about)?;
        self.enter(step, signal, next, news, turn);
        Ok(())
    }

    /// Sends a signal that carries no news and may mean nothing to the step.
    pub(crate) fn nudge(&mut self, id: StepId, signal: Signal, turn: &mut Turn<'_>) {
        // A step to which the signal means nothing stays as it is.
        let _ = self.signal(id, signal, Permit::Go, News::default(), turn);
    }

    fn enter(&mut self, step: &Step, signal: Signal, next: Next, news: News, turn: &mut Turn<'_>) {
        let id = step.id;
        let run = &mut self.steps[id.index()];
        let was = run.place;
        record(run, next, news, turn.now);
        run.unheard = is_silence(signal).then(|| run.unheard.unwrap_or(turn.now));
        if matches!(signal, Signal::Retry) || was.direction != next.place.direction {
            run.tries = 0;
        }
        if next.task == Task::Act {
            self.record_intent(id, turn.now);
        }
        let at = self.look_at(id, next.task, turn.now);
        self.set_deadline(step, signal, was, next, at);
        self.schedule.set_active(id, next.place.is_active());
        match next.task {
            Task::None => {}
            Task::Look(look, _) => self.emit_look(step, look, at, turn),
            Task::Act | Task::Repeat => self.emit_act(step, turn),
            Task::Poll | Task::PollAgain => {
                let handle = &mut self.steps[id.index()].handle;
                handle.get_or_insert_with(|| (RECALL.to_owned(), turn.now));
                self.emit_poll(step, turn);
            }
            Task::Ask => self.emit_ask(step, turn),
            Task::Queue => self.schedule.queue(id),
        }
        self.follow_up(step, was, next, turn);
    }

    fn record_intent(&mut self, id: StepId, now: Timestamp) {
        let (executor, bugs) = (self.executor, self.bugs);
        let run = &mut self.steps[id.index()];
        match run.place.direction {
            Direction::Forward if run.attempts > 0 && bugs.has(Bug::AttemptNotCounted) => {}
            Direction::Forward => run.attempts += 1,
            Direction::Undo => run.undo_attempts += 1,
        }
        run.executor = executor;
        run.handle = None;
        run.touched = true;
        run.started.get_or_insert(now);
        self.intents += 1;
    }

    /// When the look of this task is taken, and its count.
    fn look_at(&mut self, id: StepId, task: Task, now: Timestamp) -> Timestamp {
        let run = &mut self.steps[id.index()];
        match task {
            Task::Look(_, Pause::Look) => {
                let at = now + look_pause(run.looks);
                run.looks += 1;
                // The last look is taken when the time is over, not after it.
                run.deadline
                    .map_or(at, |deadline| at.min(deadline.max(now)))
            }
            Task::Look(_, Pause::Try) => {
                run.tries += 1;
                now + try_pause(run.tries)
            }
            Task::PollAgain => {
                let at = now + look_pause(run.looks);
                run.looks += 1;
                if let Some((_, when)) = &mut run.handle {
                    *when = at;
                }
                at
            }
            _ => now,
        }
    }

    fn set_deadline(&mut self, step: &Step, signal: Signal, was: Place, next: Next, at: Timestamp) {
        let bugs = self.bugs;
        let run = &mut self.steps[step.id.index()];
        let anew = was.stage != next.place.stage && next.place.stage != Stage::Polling;
        let again = match next.task {
            Task::Look(_, Pause::Try) | Task::Act => true,
            Task::Look(..) => bugs.has(Bug::LooksForever),
            _ => false,
        };
        if !next.place.is_active() {
            run.deadline = None;
        } else if anew || again || signal == Signal::Resumed || run.deadline.is_none() {
            run.deadline = Some(at + step.timeout);
        }
        let looks = matches!(next.task, Task::Look(..));
        let timer = run
            .deadline
            .filter(|_| !bugs.has(Bug::NoTimeouts))
            .map(|at| if looks { at + LOOK_GRACE } else { at });
        self.schedule.set_timer(step.id, run.timer, timer);
        run.timer = timer;
    }

    /// What a change of stage means for the run and for other steps.
    fn follow_up(&mut self, step: &Step, was: Place, next: Next, turn: &Turn<'_>) {
        let id = step.id;
        match next.place {
            Place {
                direction: Direction::Forward,
                stage,
            } => match stage {
                Stage::Held | Stage::Done | Stage::Skipped => self.over(step),
                Stage::Failed if step.necessity == Necessity::Advisory => self.over(step),
                Stage::Failed | Stage::Unsettled if self.mode == Mode::Running => {
                    self.blocked.insert(id);
                    self.turning |= self.retreats(turn.runbook) && next.why != Some(Why::Stale);
                }
                Stage::Unresolved | Stage::Asking => {
                    self.blocked.insert(id);
                }
                _ => {
                    self.blocked.remove(&id);
                }
            },
            Place {
                direction: Direction::Undo,
                stage,
            } => match stage {
                Stage::Held | Stage::Done | Stage::Skipped => {
                    self.blocked.remove(&id);
                    self.cleared(step);
                }
                Stage::Failed | Stage::Unresolved => {
                    self.blocked.insert(id);
                }
                _ => {
                    self.blocked.remove(&id);
                }
            },
        }
        let settled = was.is_active() && !next.place.is_active();
        let forward = next.place.direction == Direction::Forward;
        if self.mode == Mode::Retreating && settled && forward && self.schedule.is_free(id) {
            self.schedule.queue(id);
        }
    }

    /// A step is over on the way forward.
    fn over(&mut self, step: &Step) {
        self.blocked.remove(&step.id);
        if self.mode == Mode::Retreating {
            return;
        }
        let stage = self.steps[step.id.index()].place.stage;
        if matches!(stage, Stage::Skipped | Stage::Failed) {
            self.exceptions += 1;
        }
        if step.phase == Phase::Commit && stage != Stage::Failed {
            self.commit = Commit::Behind;
        }
        self.left -= 1;
        self.schedule.free_dependents(step.id);
    }
}

/// Whether a signal says of an action that was ordered only that nobody can tell what became of it.
fn is_silence(signal: Signal) -> bool {
    match signal {
        Signal::Saw { look, goals, .. } => look != Look::Before && goals == Tri::CannotTell,
        Signal::Acted(said) => said == Said::Unknown,
        Signal::Late => true,
        _ => false,
    }
}

/// Writes down what is new.
fn record(run: &mut StepRun, next: Next, news: News, now: Timestamp) {
    if run.place.stage != next.place.stage || run.place.direction != next.place.direction {
        run.looks = 0;
    }
    if run.place.stage == Stage::Idle {
        run.started = Some(now);
    }
    run.place = next.place;
    let forward = next.place.direction == Direction::Forward;
    if let Some(output) = news.output.filter(|_| forward) {
        run.output.position = output.position.or(run.output.position.take());
        run.output.values.extend(output.values);
    }
    if news.handle.is_some() {
        run.handle = news.handle;
    }
    if let Some(note) = news.note {
        run.note = note;
    }
    run.code = match next.why.map(Why::code) {
        None => String::new(),
        Some(None) => news.code.unwrap_or_default(),
        Some(Some(code)) => code.to_owned(),
    };
    if run.note.is_empty() {
        next.why.map_or("", Why::words).clone_into(&mut run.note);
    }
    run.ended = (!next.place.is_active() && next.place.stage != Stage::Idle).then_some(now);
}

impl Place {
    /// Whether the step is under way: it takes one of the run's slots and has a time limit.
    pub(crate) fn is_active(self) -> bool {
        matches!(
            self.stage,
            Stage::Looking
                | Stage::Acting
                | Stage::Polling
                | Stage::Recalling
                | Stage::Confirming
                | Stage::Settling
        )
    }
}

impl Why {
    /// A stable code; none where the driver has its own.
    #[expect(
        unreachable_pub,
        reason = "the house check finds codes, which users see, in public functions"
    )]
    pub fn code(self) -> Option<&'static str> {
        match self {
            Self::Driver => None,
            Self::RequirementNotMet => Some("requirement-not-met"),
            Self::CannotTell => Some("cannot-tell"),
            Self::CheckFailed => Some("check-failed"),
            Self::GoalNotReached => Some("goal-not-reached"),
            Self::Stale => Some("stale-epoch"),
            Self::AnsweredNo => Some("answered-no"),
            Self::OutcomeUnknown => Some("outcome-unknown"),
            Self::NoAcceptance => Some("acceptance-void"),
            Self::Irreversible => Some("irreversible"),
        }
    }

    /// For people, where nobody said more.
    fn words(self) -> &'static str {
        match self {
            Self::RequirementNotMet => "a requirement does not hold",
            Self::CannotTell => "it could not be seen in time",
            Self::CheckFailed => "the check did not pass in time",
            Self::GoalNotReached => "the goal was not reached in time",
            Self::Driver => "the driver gave no reason",
            Self::Stale => "somebody newer owns the store",
            Self::AnsweredNo => "a person said no",
            Self::OutcomeUnknown => "nobody can see whether it happened",
            Self::NoAcceptance => "nobody accepted this loss",
            Self::Irreversible => "it cannot be undone",
        }
    }
}
