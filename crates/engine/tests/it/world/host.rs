//! Drives a run: a journal that only keeps what was synced, crashes, and a watch on the invariants.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_engine::{
    ActOutcome, Bugs, Created, Effect, Event, Evidence, ObservedGoals, Run, RunPhase, Seq,
    StepState,
};
use mainstay_model::{
    Direction, EffectId, ExecutorEpoch, Fence, Runbook, StepId, Timestamp, Tri, Undo,
};

use super::{World, created, name};

/// Drives one run.
pub struct Host {
    pub run: Run,
    pub world: World,
    pub now: Timestamp,
    /// What was written, and how much of it was synced.
    pub journal: Vec<Vec<u8>>,
    pub durable: usize,
    /// A sync comes only after so many writes, or when nothing else is left to do.
    pub lag: usize,
    /// Effects that wait for their time.
    waiting: Vec<(Timestamp, Effect)>,
    pub ended: Vec<RunPhase>,
    /// The executor dies once the journal has so many entries.
    pub dies_at: Option<usize>,
    pub executor: ExecutorEpoch,
    pub turns: u32,
    pub bugs: Bugs,
    /// Steps whose last action has an unknown outcome and that nobody has looked at since.
    unseen: BTreeSet<(StepId, Direction)>,
    /// The token of each act.
    pub tokens: Vec<(EffectId, Option<Fence>)>,
    /// The entry that recorded each intent.
    intents: BTreeMap<(StepId, Direction, u32), usize>,
    /// The entry that holds the end of each action.
    answers: BTreeMap<(StepId, Direction, u32), usize>,
    /// The invariants that were seen broken.
    pub broken: BTreeSet<&'static str>,
}

impl Host {
    pub fn new(runbook: &Runbook, world: World) -> Self {
        Self::with(runbook, created(runbook), world, Bugs::NONE)
    }

    pub fn with(runbook: &Runbook, created: Created, world: World, bugs: Bugs) -> Self {
        let now = Timestamp(1_000_000);
        let executor = created.executor;
        let run = Run::create_with(runbook.clone(), created, now, bugs).unwrap();
        let mut host = Self {
            run,
            world,
            now,
            journal: Vec::new(),
            durable: 0,
            lag: 0,
            waiting: Vec::new(),
            ended: Vec::new(),
            dies_at: None,
            executor,
            turns: 0,
            bugs,
            unseen: BTreeSet::new(),
            intents: BTreeMap::new(),
            answers: BTreeMap::new(),
            tokens: Vec::new(),
            broken: BTreeSet::new(),
        };
        host.write();
        host
    }

    pub fn is_dead(&self) -> bool {
        self.dies_at.is_some_and(|at| self.journal.len() >= at)
    }

    fn write(&mut self) {
        for entry in self.run.take_entries() {
            self.journal.push(entry.bytes);
            if self.is_dead() {
                return;
            }
        }
        for step in self.run.steps() {
            for (way, attempts) in [
                (Direction::Forward, step.attempts),
                (Direction::Undo, step.undo_attempts),
            ] {
                let at = self.journal.len();
                self.intents.entry((step.id, way, attempts)).or_insert(at);
            }
        }
        if self.journal.len() > self.durable + self.lag {
            self.sync();
        }
        self.take();
    }

    fn sync(&mut self) {
        self.durable = self.journal.len();
        self.run.durable(Seq(self.durable as u64));
    }

    fn take(&mut self) {
        for effect in self.run.take_effects() {
            let at = match &effect {
                Effect::Observe { at, .. } | Effect::Poll { at, .. } => *at,
                Effect::Ended(phase) => {
                    self.ended.push(*phase);
                    continue;
                }
                Effect::Ask { .. } => continue,
                Effect::Act { id, fence, .. } => {
                    self.check_act(id);
                    self.tokens.push((id.clone(), fence.clone()));
                    self.now
                }
            };
            self.waiting.push((at, effect));
        }
    }

    /// An act was handed out: its intent must be durable (I16), by this executor (I20), not after an outcome that
    /// nobody looked at (I15), and an undo only after those of the steps that came after it (I22).
    fn check_act(&mut self, id: &EffectId) {
        let book = self.run.runbook().clone();
        let intent = self.intents.get(&(id.step, id.direction, id.attempt));
        if intent.is_none_or(|entry| *entry > self.durable) {
            self.broken.insert("I16");
        }
        if id.executor != self.executor {
            self.broken.insert("I20");
        }
        if self.unseen.contains(&(id.step, id.direction)) {
            self.broken.insert("I15");
        }
        if id.direction == Direction::Undo {
            let after = book
                .steps
                .iter()
                .filter(|step| step.after.contains(&id.step));
            for step in after.map(|step| self.run.step(step.id).unwrap()) {
                let undoable = matches!(book.steps[step.id.index()].undo, Undo::Act { .. });
                if step.attempts > 0 && undoable && step.state != StepState::Undone {
                    self.broken.insert("I22");
                }
            }
        }
    }

    /// Hands in an event; it must be accepted.
    pub fn handle(&mut self, event: &Event) {
        self.run.handle(event, self.now).unwrap();
        self.write();
    }

    /// Carries out the next effect or lets time pass; false when nothing is left to do.
    pub fn turn(&mut self) -> bool {
        self.turns += 1;
        let next = self.waiting.iter().enumerate();
        let next = next.min_by_key(|(place, (at, _))| (*at, *place));
        let next = next.map(|(place, (at, _))| (place, *at));
        if next.is_none_or(|(_, at)| at > self.now) && self.durable < self.journal.len() {
            self.sync();
            self.take();
            return true;
        }
        match (next, self.run.next_wake()) {
            (Some((_, at)), Some(wake)) if at > wake => self.tick(wake),
            (None, Some(wake)) => self.tick(wake),
            (Some((place, at)), _) => {
                self.now = self.now.max(at);
                let (_, effect) = self.waiting.remove(place);
                self.carry_out(&effect);
            }
            (None, None) => return false,
        }
        true
    }

    fn tick(&mut self, wake: Timestamp) {
        self.now = self.now.max(wake);
        self.handle(&Event::Ticked);
    }

    fn carry_out(&mut self, effect: &Effect) {
        let event = match effect {
            Effect::Observe {
                step,
                direction,
                attempt,
                look,
                requires,
                goals,
                ..
            } => {
                let seen = self.world.see(goals);
                let told = |evidence: &Evidence| evidence.answer != Tri::CannotTell;
                if !seen.is_empty() && seen.iter().all(told) {
                    self.unseen.remove(&(*step, *direction));
                }
                Some(Event::Observed {
                    step: *step,
                    direction: *direction,
                    attempt: *attempt,
                    look: *look,
                    seen: ObservedGoals {
                        requires: self.world.see(requires),
                        goals: seen,
                        output: self.world.output(*step),
                    },
                })
            }
            Effect::Act { id, .. } => {
                let outcome = self.world.act(id);
                if !matches!(
                    outcome,
                    Some(ActOutcome::Done(_) | ActOutcome::NotDone { .. })
                ) {
                    self.unseen.insert((id.step, id.direction));
                }
                outcome.map(|outcome| acted(id, outcome))
            }
            Effect::Poll { id, .. } => {
                let outcome = self.world.poll(id, self.now);
                if matches!(outcome, ActOutcome::Done(_) | ActOutcome::NotDone { .. }) {
                    self.unseen.remove(&(id.step, id.direction));
                }
                Some(acted(id, outcome))
            }
            Effect::Ask { .. } | Effect::Ended(_) => None,
        };
        if let Some(event) = event {
            // An answer may come too late; a host drops it then.
            match self.run.handle(&event, self.now) {
                Ok(()) => {
                    self.heard(&event);
                    self.write();
                }
                Err(illegal) => assert_eq!(illegal.code(), "answer-not-awaited", "{event:?}"),
            }
        }
    }

    /// Remembers which entry of the journal will hold the end of an action, if this is one.
    fn heard(&mut self, event: &Event) {
        if let Event::Acted {
            step,
            direction,
            attempt,
            outcome: ActOutcome::Done(_) | ActOutcome::NotDone { .. },
        } = event
        {
            let entry = self.journal.len() + 1;
            self.answers.insert((*step, *direction, *attempt), entry);
        }
    }

    /// Goes on until nothing moves any more, or the executor dies. What never rests breaks I29.
    pub fn rest(&mut self) -> RunPhase {
        while !self.is_dead() && self.run.resting().is_none() {
            if !self.turn() || self.turns > 5_000 {
                self.broken.insert("I29");
                break;
            }
        }
        while !self.is_dead() && self.durable < self.journal.len() {
            self.sync();
            self.take();
        }
        if self.world.acted.values().any(|times| *times > 1) {
            self.broken.insert("I14");
        }
        self.run.phase()
    }

    /// The executor died; a new one takes over with the journal's first entries.
    pub fn crash(&mut self, keep: usize, executor: u64) {
        self.journal.truncate(keep);
        let written = self.journal.len();
        self.intents.retain(|_, entry| *entry <= written);
        self.durable = self.journal.len();
        (self.waiting, self.ended, self.dies_at) = (Vec::new(), Vec::new(), None);
        let entries = self.journal.iter().map(Vec::as_slice);
        let replayed = Run::replay_with(self.run.runbook().clone(), entries, self.bugs);
        let Ok(run) = replayed else {
            self.broken.insert("I17");
            return;
        };
        self.run = run;
        // Whatever had begun may have happened.
        self.answers.retain(|_, entry| *entry <= written);
        for step in self.run.steps() {
            let attempt = match step.direction {
                Direction::Forward => step.attempts,
                Direction::Undo => step.undo_attempts,
            };
            let begun = matches!(step.state, StepState::Started | StepState::UndoStarted);
            if begun
                && !self
                    .answers
                    .contains_key(&(step.id, step.direction, attempt))
            {
                self.unseen.insert((step.id, step.direction));
            }
        }
        self.executor = ExecutorEpoch(executor);
        if !is_over(self.run.phase()) {
            self.handle(&Event::Resumed {
                executor: self.executor,
                by: name("ann"),
            });
        }
    }
}

pub fn is_over(phase: RunPhase) -> bool {
    matches!(
        phase,
        RunPhase::Succeeded
            | RunPhase::SucceededWithExceptions
            | RunPhase::Retreated
            | RunPhase::Cancelled
    )
}

fn acted(id: &EffectId, outcome: ActOutcome) -> Event {
    Event::Acted {
        step: id.step,
        direction: id.direction,
        attempt: id.attempt,
        outcome,
    }
}
