//! A small deterministic world for the run machine: what steps did, what can be seen, and a host that drives a run,
//! with faults, crashes and a journal that only keeps what was synced.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses its part"
)]

use std::collections::{BTreeMap, BTreeSet};

use mainstay_engine::{
    ActOutcome, Approval, Bugs, Created, Effect, Event, Evidence, Limits, ObservedGoals, Run,
    RunPhase, Seq, StepState,
};
use mainstay_model::{
    Action, Body, Direction, EffectId, ExecutorEpoch, Fence, Goal, MoveMode, Necessity, OnFailure,
    Op, Output, Phase, Predicate, RUNBOOK_VERSION, Runbook, Scope, SiteId, Span, Step, StepId,
    Subject, Timestamp, Tri, Undo,
};

pub fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

fn goal(id: u32, what: &str) -> Goal {
    Goal {
        scope: Scope {
            driver: name("fake"),
            subject: Subject::Component(name(&format!("c{id}"))),
            site: name("b"),
            from: name("b"),
        },
        is: Predicate::Custom {
            name: what.to_owned(),
            args: BTreeMap::from([("step".to_owned(), id.to_string())]),
        },
    }
}

fn action(id: u32, what: &str) -> Action {
    Action {
        driver: name("fake"),
        subject: Subject::Component(name(&format!("c{id}"))),
        site: name("b"),
        op: Op::Custom {
            name: what.to_owned(),
            args: BTreeMap::new(),
        },
    }
}

/// A step that acts, has a goal, and can be undone.
pub fn step(id: u32, phase: Phase, after: &[u32]) -> Step {
    let site: SiteId = name("b");
    Step {
        id: StepId(id),
        phase,
        subject: Subject::Component(name(&format!("c{id}"))),
        site: site.clone(),
        at: site,
        after: after.iter().map(|id| StepId(*id)).collect(),
        requires: Vec::new(),
        goals: vec![goal(id, "done")],
        inputs: Vec::new(),
        body: Body::Act(action(id, "do")),
        undo: Undo::Act {
            action: action(id, "undo"),
            goals: vec![goal(id, "undone")],
        },
        fence: None,
        necessity: Necessity::Required,
        timeout: Span::from_secs(10),
        estimate: Span::from_secs(1),
    }
}

pub fn join(id: u32, phase: Phase, after: &[u32]) -> Step {
    Step {
        goals: Vec::new(),
        body: Body::Join,
        undo: Undo::Nothing,
        subject: Subject::System,
        ..step(id, phase, after)
    }
}

pub fn runbook(steps: Vec<Step>, on_failure: OnFailure) -> Runbook {
    Runbook {
        version: RUNBOOK_VERSION,
        system: "test".to_owned(),
        plan_hash: String::new(),
        mode: MoveMode::Switchover,
        before: BTreeMap::new(),
        target: BTreeMap::new(),
        leaves: Vec::new(),
        epochs: BTreeMap::new(),
        loss: None,
        acceptance: None,
        on_failure,
        estimate: Span::ZERO,
        steps,
    }
}

/// A small move: two stores of one group in parallel, commit, then traffic and an advisory sweep.
pub fn small_move() -> Runbook {
    let mut sweep = step(9, Phase::Sweep, &[8]);
    sweep.necessity = Necessity::Advisory;
    sweep.undo = Undo::Nothing;
    runbook(
        vec![
            step(0, Phase::Quiesce, &[]),
            step(1, Phase::Seal, &[0]),
            step(2, Phase::Seal, &[0]),
            step(3, Phase::CatchUp, &[1]),
            step(4, Phase::CatchUp, &[2]),
            step(5, Phase::Promote, &[3, 4]),
            step(6, Phase::Activate, &[5]),
            join(7, Phase::Commit, &[6]),
            step(8, Phase::Shift, &[7]),
            sweep,
        ],
        OnFailure::Retreat,
    )
}

pub fn created(runbook: &Runbook) -> Created {
    Created {
        run: name("r1"),
        parent: None,
        runbook: runbook.hash().unwrap(),
        by: name("ann"),
        executor: ExecutorEpoch(1),
        approval: Approval::NotNeeded,
        limits: Limits::default(),
        once: Vec::new(),
    }
}

/// What goes wrong with one attempt, or with looks at one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing was changed, and it may pass.
    MayPass,
    /// Nothing was changed, and it will not pass.
    Refused,
    /// It happened, and nobody heard of it.
    Happened,
    /// It did not happen, and nobody knows that.
    Lost,
    /// No answer at all.
    Silent,
    /// A long operation that takes so many polls.
    Long(u32),
    /// Somebody newer was here.
    Stale,
    /// It says done and did nothing.
    Lies,
}

/// The world: it lives on when the executor dies.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub done: BTreeSet<StepId>,
    /// Faults by step, direction and attempt.
    pub faults: BTreeMap<(StepId, Direction, u32), Fault>,
    /// Steps that cannot be seen.
    pub blind: BTreeSet<StepId>,
    /// How often each effect was carried out.
    pub acted: BTreeMap<EffectId, u32>,
    /// The order in which things changed.
    pub log: Vec<(StepId, Direction)>,
    /// Polls left, by handle.
    pub polls: BTreeMap<String, u32>,
}

impl World {
    fn change(&mut self, id: &EffectId) {
        match id.direction {
            Direction::Forward => self.done.insert(id.step),
            Direction::Undo => self.done.remove(&id.step),
        };
        self.log.push((id.step, id.direction));
    }

    /// An act; `None` if nobody ever answers.
    pub fn act(&mut self, id: &EffectId) -> Option<ActOutcome> {
        *self.acted.entry(id.clone()).or_default() += 1;
        let not_done = |retry| ActOutcome::NotDone {
            code: "fake".to_owned(),
            what: "it was told to fail".to_owned(),
            retry,
        };
        let fault = self.faults.get(&(id.step, id.direction, id.attempt));
        Some(match fault.copied() {
            None => {
                self.change(id);
                ActOutcome::Done(self.output(id.step))
            }
            Some(Fault::Lies) => ActOutcome::Done(Output::default()),
            Some(Fault::MayPass) => not_done(true),
            Some(Fault::Refused) => not_done(false),
            Some(Fault::Happened) => {
                self.change(id);
                ActOutcome::Unknown("the line went dead".to_owned())
            }
            Some(Fault::Lost) => ActOutcome::Unknown("the line went dead".to_owned()),
            Some(Fault::Silent) => return None,
            Some(Fault::Stale) => ActOutcome::StaleEpoch(mainstay_model::Epoch(9)),
            Some(Fault::Long(polls)) => {
                self.polls.insert(id.to_string(), polls);
                ActOutcome::Running {
                    handle: id.to_string(),
                    again_at: Timestamp(0),
                    note: None,
                }
            }
        })
    }

    fn poll(&mut self, id: &EffectId, handle: &str, now: Timestamp) -> ActOutcome {
        let left = self.polls.entry(handle.to_owned()).or_default();
        if *left > 0 {
            *left -= 1;
            return ActOutcome::Running {
                handle: handle.to_owned(),
                again_at: now + Span::from_secs(1),
                note: Some(format!("{left} polls left")),
            };
        }
        if !self.log.contains(&(id.step, id.direction)) {
            self.change(id);
        }
        ActOutcome::Done(Output::default())
    }

    /// What there is to be seen of what a step made.
    fn output(&self, id: StepId) -> Output {
        let made = ("made".to_owned(), format!("by step {}", id.0));
        let there = self.done.contains(&id) && !self.blind.contains(&id);
        Output {
            position: None,
            values: there.then_some(made).into_iter().collect(),
        }
    }

    fn see(&self, goals: &[Goal]) -> Vec<Evidence> {
        goals.iter().map(|goal| self.answer(goal)).collect()
    }

    fn answer(&self, goal: &Goal) -> Evidence {
        let Predicate::Custom { name, args } = &goal.is else {
            panic!("only custom goals here");
        };
        let id = StepId(args["step"].parse().unwrap());
        let done = self.done.contains(&id);
        let answer = if self.blind.contains(&id) {
            Tri::CannotTell
        } else {
            Tri::from(if name == "done" { done } else { !done })
        };
        let why = match answer {
            Tri::Holds => String::new(),
            _ => format!(
                "step {} is {}",
                id.0,
                if done { "done" } else { "not done" }
            ),
        };
        Evidence { answer, why }
    }
}

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
                if seen
                    .iter()
                    .all(|evidence| evidence.answer != Tri::CannotTell)
                {
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
            Effect::Poll { id, handle, .. } => {
                Some(acted(id, self.world.poll(id, handle, self.now)))
            }
            Effect::Ask { .. } | Effect::Ended(_) => None,
        };
        if let Some(event) = event {
            // An answer may come too late; a host drops it then.
            match self.run.handle(&event, self.now) {
                Ok(()) => self.write(),
                Err(illegal) => assert_eq!(illegal.code(), "answer-not-awaited", "{event:?}"),
            }
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
        for step in self.run.steps() {
            if matches!(step.state, StepState::Started | StepState::UndoStarted) {
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
