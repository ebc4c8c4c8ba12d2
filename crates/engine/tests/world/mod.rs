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
    ActOutcome, Approval, Created, Effect, Event, Evidence, Limits, ObservedGoals, Run, RunPhase,
    Seq,
};
use mainstay_model::{
    Action, Body, Direction, EffectId, ExecutorEpoch, Goal, MoveMode, Necessity, OnFailure, Op,
    Output, Phase, Predicate, RUNBOOK_VERSION, Runbook, Scope, SiteId, Span, Step, StepId, Subject,
    Timestamp, Tri, Undo,
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
                ActOutcome::Done(Output::default())
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
    pub journal: Vec<Vec<u8>>,
    /// Answers and looks that wait for their time.
    waiting: Vec<(Timestamp, Effect)>,
    pub ended: Vec<RunPhase>,
    /// The executor dies once the journal has so many entries.
    pub dies_at: Option<usize>,
    pub turns: u32,
}

impl Host {
    pub fn new(runbook: &Runbook, world: World) -> Self {
        Self::with(runbook, created(runbook), world)
    }

    pub fn with(runbook: &Runbook, created: Created, world: World) -> Self {
        let now = Timestamp(1_000_000);
        let run = Run::create(runbook.clone(), created, now).unwrap();
        let mut host = Self {
            run,
            world,
            now,
            journal: Vec::new(),
            waiting: Vec::new(),
            ended: Vec::new(),
            dies_at: None,
            turns: 0,
        };
        host.sync();
        host
    }

    pub fn is_dead(&self) -> bool {
        self.dies_at.is_some_and(|at| self.journal.len() >= at)
    }

    fn sync(&mut self) {
        for entry in self.run.take_entries() {
            self.journal.push(entry.bytes);
            if self.is_dead() {
                return;
            }
        }
        self.run.durable(Seq(self.journal.len() as u64));
        for effect in self.run.take_effects() {
            let at = match &effect {
                Effect::Observe { at, .. } | Effect::Poll { at, .. } => *at,
                Effect::Ended(phase) => {
                    self.ended.push(*phase);
                    continue;
                }
                Effect::Ask { .. } => continue,
                Effect::Act { .. } => self.now,
            };
            self.waiting.push((at, effect));
        }
    }

    /// Hands in an event; it must be accepted.
    pub fn handle(&mut self, event: &Event) {
        self.run.handle(event, self.now).unwrap();
        self.sync();
    }

    /// Carries out the next effect or lets time pass; false when nothing is left to do.
    pub fn turn(&mut self) -> bool {
        self.turns += 1;
        let next = self.waiting.iter().enumerate();
        let next = next.min_by_key(|(place, (at, _))| (*at, *place));
        let next = next.map(|(place, (at, _))| (place, *at));
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
            } => Some(Event::Observed {
                step: *step,
                direction: *direction,
                attempt: *attempt,
                look: *look,
                seen: ObservedGoals {
                    requires: self.world.see(requires),
                    goals: self.world.see(goals),
                    output: Output::default(),
                },
            }),
            Effect::Act { id, .. } => self.world.act(id).map(|outcome| acted(id, outcome)),
            Effect::Poll { id, handle, .. } => {
                Some(acted(id, self.world.poll(id, handle, self.now)))
            }
            Effect::Ask { .. } | Effect::Ended(_) => None,
        };
        if let Some(event) = event {
            // An answer may come too late; a host drops it then.
            match self.run.handle(&event, self.now) {
                Ok(()) => self.sync(),
                Err(illegal) => assert_eq!(illegal.code(), "answer-not-awaited", "{event:?}"),
            }
        }
    }

    /// Goes on until nothing moves any more, or the executor dies.
    pub fn rest(&mut self) -> RunPhase {
        while !self.is_dead() && self.run.resting().is_none() && self.turn() {
            assert!(self.turns < 100_000, "it never ends (I29)");
        }
        self.run.phase()
    }

    /// The executor died; a new one takes over with the journal's first entries.
    pub fn crash(&mut self, keep: usize, executor: u64) {
        self.journal.truncate(keep);
        let runbook = self.run.runbook().clone();
        self.run = Run::replay(runbook, self.journal.iter().map(Vec::as_slice)).unwrap();
        (self.waiting, self.ended, self.dies_at) = (Vec::new(), Vec::new(), None);
        if !matches!(
            self.run.phase(),
            RunPhase::Succeeded
                | RunPhase::SucceededWithExceptions
                | RunPhase::Retreated
                | RunPhase::Cancelled
        ) {
            self.handle(&Event::Resumed {
                executor: ExecutorEpoch(executor),
                by: name("ann"),
            });
        }
    }
}

fn acted(id: &EffectId, outcome: ActOutcome) -> Event {
    Event::Acted {
        step: id.step,
        direction: id.direction,
        attempt: id.attempt,
        outcome,
    }
}
