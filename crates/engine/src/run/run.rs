//! A run as its host sees it: events in, framed entries and effects out, and how to get it back from its journal.
//! Must not decide what an event means; [`super::apply`] does, for new events and for replayed ones alike.

use std::{collections::VecDeque, sync::Arc};

use mainstay_model::{
    ExecutorEpoch, OutputRef, Pinned, Predicate, Question, Runbook, Step, StepId, Timestamp, Wanted,
};
use mainstay_proof::Head;

use super::{
    state::{Commit, Out, RunState, Turn},
    view::StepView,
};
use crate::{
    BadRun, Created, Damage, Effect, Event, Illegal, RunPhase, Seq,
    bugs::{Bug, Bugs},
    journal::{Entry, frame, unframe},
};

/// One execution of a runbook.
///
/// The host's loop: [`Run::handle`] an event, append [`Run::take_entries`] to the journal, sync it, say so with
/// [`Run::durable`], and carry out [`Run::take_effects`]. Looks and polls carry the time when they are to be made; at
/// [`Run::next_wake`] the host sends [`Event::Ticked`].
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    runbook: Arc<Runbook>,
    state: RunState,
    head: Head,
    durable: Seq,
    entries: Vec<Entry>,
    effects: Vec<Effect>,
    held: VecDeque<(Seq, Effect)>,
}

impl Run {
    /// A new run. Its first entry and its first effects are there to be taken.
    pub fn create(
        runbook: impl Into<Pinned>,
        created: Created,
        now: Timestamp,
    ) -> Result<Self, BadRun> {
        Self::create_with(runbook, created, now, Bugs::NONE)
    }

    /// The same, with planted bugs.
    pub fn create_with(
        runbook: impl Into<Pinned>,
        created: Created,
        now: Timestamp,
        bugs: Bugs,
    ) -> Result<Self, BadRun> {
        let Pinned { runbook, hash } = runbook.into();
        check(&runbook)?;
        if hash != created.runbook || hash.0.is_empty() {
            return Err(BadRun::OtherRunbook);
        }
        let mut run = Self::empty(runbook, &created, bugs);
        let entry =
            frame(&mut run.head, now, &Event::Created(created)).map_err(BadRun::NotStorable)?;
        run.entries.push(entry);
        run.begin(now);
        Ok(run)
    }

    /// A run as its journal tells it. The same transition function, no effects: send [`Event::Resumed`] to carry on.
    /// The chain, the sequence and the runbook's hash are checked; keep [`Run::head`] elsewhere and compare it, and a
    /// journal that was cut at its end is found too.
    pub fn replay<'a>(
        runbook: impl Into<Pinned>,
        entries: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, Damage> {
        Self::replay_with(runbook, entries, Bugs::NONE)
    }

    /// The same, with planted bugs.
    pub fn replay_with<'a>(
        runbook: impl Into<Pinned>,
        entries: impl IntoIterator<Item = &'a [u8]>,
        bugs: Bugs,
    ) -> Result<Self, Damage> {
        let Pinned { runbook, hash } = runbook.into();
        let mut entries = entries.into_iter();
        let mut head = Head::default();
        let (now, first) = unframe(&mut head, entries.next().ok_or(Damage::Empty)?, bugs)?;
        let Event::Created(created) = first else {
            return Err(Damage::Event {
                entry: 1,
                why: "a journal begins with the creation of its run".to_owned(),
            });
        };
        let found = hash.0;
        let pinned = found == created.runbook.0 && !found.is_empty()
            || bugs.has(Bug::RunbookUnpinned)
            || bugs.has(Bug::RunbookPinnedByLength) && found.len() == created.runbook.0.len();
        if !pinned || check(&runbook).is_err() {
            return Err(Damage::Runbook {
                journal: created.runbook.0,
                found,
            });
        }
        let mut run = Self::empty(runbook, &created, bugs);
        run.begin(now);
        for bytes in entries {
            let (now, event) = unframe(&mut head, bytes, bugs)?;
            if event == Event::Ticked && bugs.has(Bug::ReplaySkipsTicks) {
                continue;
            }
            run.apply(Seq(head.seq), &event, now)
                .map_err(|why| Damage::Refused {
                    entry: head.seq,
                    why,
                })?;
            run.effects.clear();
            run.held.clear();
        }
        run.effects.clear();
        run.held.clear();
        if bugs.has(Bug::ReplayForgetsOutputs) {
            run.state.forget_outputs();
        }
        run.head = head;
        run.durable = Seq(head.seq);
        Ok(run)
    }

    fn empty(runbook: Arc<Runbook>, created: &Created, bugs: Bugs) -> Self {
        Self {
            state: RunState::new(created, &runbook, bugs),
            runbook,
            head: Head::default(),
            durable: Seq(0),
            entries: Vec::new(),
            effects: Vec::new(),
            held: VecDeque::new(),
        }
    }

    fn begin(&mut self, now: Timestamp) {
        let runbook = Arc::clone(&self.runbook);
        let mut turn = Turn {
            runbook: &runbook,
            now,
            out: Vec::new(),
        };
        self.state.begin(&mut turn);
        self.emit(Seq(1), turn.out);
    }

    /// Handles an event. A refused one changes nothing and leaves no entry.
    pub fn handle(&mut self, event: &Event, now: Timestamp) -> Result<(), Illegal> {
        // Framed first, because what cannot be stored must not happen; the frame is dropped if the event is refused.
        let mut head = self.head;
        let entry = frame(&mut head, now, event).map_err(Illegal::NotStorable)?;
        self.apply(entry.seq, event, now)?;
        self.head = head;
        self.entries.push(entry);
        Ok(())
    }

    fn apply(&mut self, seq: Seq, event: &Event, now: Timestamp) -> Result<(), Illegal> {
        let runbook = Arc::clone(&self.runbook);
        let mut turn = Turn {
            runbook: &runbook,
            now,
            out: Vec::new(),
        };
        self.state.apply(event, &mut turn)?;
        if matches!(event, Event::Resumed { .. }) {
            // The new executor asks anew; what the old one had not been told yet is not sent any more.
            self.effects.clear();
            self.held.clear();
        }
        self.emit(seq, turn.out);
        Ok(())
    }

    fn emit(&mut self, seq: Seq, out: Vec<Out>) {
        for effect in out {
            match effect {
                Out::Now(effect) => self.effects.push(effect),
                Out::Durable(effect) => self.held.push_back((seq, effect)),
            }
        }
        if let Some(phase) = self.state.resting() {
            self.held.push_back((seq, Effect::Ended(phase)));
        }
    }

    /// The entries since the last call, to be appended in this order.
    pub fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// The host says that everything up to this entry survives a crash.
    pub fn durable(&mut self, upto: Seq) {
        self.durable = self.durable.max(upto);
    }

    /// The effects that may be carried out now: looks, polls and questions at once, an act only once its intent is
    /// durable (I16), an end once the entry that ends is.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        let mut effects = std::mem::take(&mut self.effects);
        let slack = u64::from(self.state.bugs.has(Bug::DurableOffByOne));
        let durable = Seq(self.durable.0 + slack);
        while self.held.front().is_some_and(|(seq, _)| *seq <= durable) {
            effects.extend(self.held.pop_front().map(|(_, effect)| effect));
        }
        effects
    }

    /// When [`Event::Ticked`] is due, if nothing happens before.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.state.schedule.next_timer()
    }

    /// The run's phase.
    #[must_use]
    pub fn phase(&self) -> RunPhase {
        self.state.phase()
    }

    /// The phase, if nothing moves any more without a person: over, stuck, awaiting approval, or paused with nothing
    /// under way.
    #[must_use]
    pub fn resting(&self) -> Option<RunPhase> {
        self.state.resting()
    }

    /// A step as it stands.
    #[must_use]
    pub fn step(&self, id: StepId) -> Option<StepView<'_>> {
        self.state.view(id)
    }

    /// How many intents were recorded for a step: forward, and to undo it.
    #[must_use]
    pub fn attempts(&self, id: StepId) -> (u32, u32) {
        let step = self.state.steps.get(id.index());
        step.map_or((0, 0), |step| (step.attempts, step.undo_attempts))
    }

    /// All steps, in the runbook's order.
    pub fn steps(&self) -> impl Iterator<Item = StepView<'_>> {
        self.runbook
            .steps
            .iter()
            .filter_map(|step| self.state.view(step.id))
    }

    /// What people are asked.
    pub fn questions(&self) -> impl Iterator<Item = (StepId, Question)> + '_ {
        self.state.questions(&self.runbook)
    }

    /// The runbook.
    #[must_use]
    pub fn runbook(&self) -> &Arc<Runbook> {
        &self.runbook
    }

    /// How the run was created.
    #[must_use]
    pub fn created(&self) -> &Created {
        &self.state.created
    }

    /// Who executes it.
    #[must_use]
    pub fn executor(&self) -> ExecutorEpoch {
        self.state.executor
    }

    /// The last entry, durable or not.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Whether the point of no return is behind the run.
    #[must_use]
    pub fn is_committed(&self) -> bool {
        self.state.commit == Commit::Behind
    }

    /// Whether any intent to change the world was recorded.
    #[must_use]
    pub fn has_intents(&self) -> bool {
        self.state.intents > 0
    }
}

/// Steps are where their ids say, and refer only to earlier ones.
fn check(runbook: &Runbook) -> Result<(), BadRun> {
    for (place, step) in runbook.steps.iter().enumerate() {
        if step.id.index() != place {
            return Err(BadRun::Misplaced { place, id: step.id });
        }
        if let Some(other) = references(step).find(|other| *other >= step.id) {
            return Err(BadRun::Later {
                step: step.id,
                other,
            });
        }
    }
    Ok(())
}

fn references(step: &Step) -> impl Iterator<Item = StepId> + '_ {
    let wanted = step.requires.iter().chain(&step.goals);
    let positions = wanted.filter_map(|goal| match goal.is {
        Predicate::CaughtUp(Wanted::Output(OutputRef { step })) => Some(step),
        _ => None,
    });
    let inputs = step.inputs.iter().map(|input| input.step);
    step.after.iter().copied().chain(inputs).chain(positions)
}
