//! The executor's loop around the real run: entries to the disk, effects to the agents, answers back.
//! Must not decide anything about a step.

use mainstay_driver::{ActError, Order, Progress, Retry};
use mainstay_engine::{ActOutcome, Effect, Event, Evidence, Illegal, ObservedGoals, RunPhase, Seq};
use mainstay_model::{Direction, EffectId, Goal, Output, Sample, Span, StepId, Timestamp, Tri};

use super::{Active, Looking};
use crate::{
    bugs::Own,
    clock::{Clock, MS, SECOND, Time, exact},
    faults::Kind,
    options::Dies,
    world::{Ev, Msg, Reply, World},
};

/// An agent that does not answer an order within this is given up on.
const REPLY: Time = 8 * SECOND;
/// The same for a look.
const SIGHT: Time = 3 * SECOND;

impl World {
    /// The mover's own time.
    pub(crate) fn mover_now(&self) -> mainstay_model::Timestamp {
        Clock::exact().wall(self.now)
    }

    /// Hands an event to the run. Late and repeated answers are dropped.
    pub(crate) fn feed(&mut self, event: &Event) -> Result<(), Illegal> {
        let now = self.mover_now();
        let Some(active) = &mut self.mover.active else {
            return Err(Illegal::RunOver);
        };
        let step = step_of(event);
        let before = active.run.phase();
        let said = active.run.handle(event, now);
        match &said {
            Ok(()) => {
                self.remember(event, before);
                self.trace
                    .say(self.now, || format!("run: {}", short(event)));
                self.cover(step);
                self.pump();
            }
            Err(Illegal::NotAwaited(_) | Illegal::NothingDue | Illegal::RunOver) => {}
            Err(other) => {
                let words = other.to_string();
                self.trace.say(self.now, || format!("refused: {words}"));
            }
        }
        said
    }

    /// Writes what is to be written, and hands out what may be handed out.
    pub(crate) fn pump(&mut self) {
        let Some(active) = &mut self.mover.active else {
            return;
        };
        let life = active.life;
        let mut dies = false;
        for entry in active.run.take_entries() {
            active.disk.append(entry.seq, &entry.bytes);
            self.mover.entries += 1;
            let entry = self.mover.entries;
            dies |= self.options.dies == Dies::AtEntry(entry);
            dies |= self.mover.dies_at == Some(entry) && !self.mover.died;
        }
        if self.options.own == Some(Own::DiskLies) {
            let upto = active.disk.written();
            active.run.durable(upto);
        }
        self.note_intents();
        let Some(active) = &mut self.mover.active else {
            return;
        };
        let effects = active.run.take_effects();
        if active.disk.is_dirty() && !active.syncing {
            active.syncing = true;
            let mut takes = self.dice.between(100, 2 * MS);
            if self.is_faulty() && self.fault_dice.chance(10) {
                takes = self.fault_dice.between(10 * MS, 900 * MS);
            }
            self.at(self.now + takes, Ev::Synced(life));
        }
        for effect in effects {
            self.hand_out(life, effect);
        }
        self.set_wake();
        if dies {
            self.mover.died = true;
            self.mover_dies(Kind::ExecutorCrash);
        }
    }

    /// A sync is over.
    pub(crate) fn synced(&mut self, life: u64) {
        let Some(active) = self.mover.active.as_mut().filter(|it| it.life == life) else {
            return;
        };
        active.disk.sync();
        active.syncing = false;
        active.run.durable(active.disk.durable);
        self.pump();
    }

    fn set_wake(&mut self) {
        let Some(active) = &mut self.mover.active else {
            return;
        };
        let Some(next) = active.run.next_wake().map(exact) else {
            return;
        };
        let next = next.max(self.now);
        if active.wake.is_none_or(|at| at > next || at < self.now) {
            active.wake = Some(next);
            let life = active.life;
            self.at(next, Ev::Wake(life));
        }
    }

    /// A timer of the run may be due.
    pub(crate) fn wake(&mut self, life: u64) {
        let now = self.mover_now();
        let Some(active) = self.mover.active.as_mut().filter(|it| it.life == life) else {
            return;
        };
        if active.wake.is_some_and(|at| at <= self.now) {
            active.wake = None;
        }
        if active.run.next_wake().is_some_and(|due| due <= now) {
            let _ = self.feed(&Event::Ticked);
        }
        self.set_wake();
    }

    fn hand_out(&mut self, life: u64, effect: Effect) {
        match &effect {
            Effect::Observe { at, .. } | Effect::Poll { at, .. } => {
                let at = exact(*at);
                self.at(at, Ev::Emit(life, Box::new(effect)));
            }
            Effect::Act { .. } => {
                self.check_handed_out(&effect);
                self.emit(life, effect);
            }
            Effect::Ask { .. } => self.call_person(life),
            Effect::Ended(phase) => self.ended(life, *phase),
        }
    }

    /// An effect's time has come.
    pub(crate) fn emit(&mut self, life: u64, effect: Effect) {
        let Some(active) = self.mover.active.as_mut().filter(|it| it.life == life) else {
            return;
        };
        match effect {
            Effect::Observe { .. } => self.begin_look(effect),
            Effect::Act {
                id,
                action,
                fence,
                inputs,
            } => {
                let order = Order {
                    id,
                    action,
                    fence,
                    inputs,
                };
                let site = self.agent_of(order.id.step);
                self.mover.old_orders.push((site, order.clone()));
                self.expect(life, &order.id);
                self.send(self.topology.mover(), site, Msg::Act { life, order });
            }
            Effect::Poll {
                id, action, fence, ..
            } => {
                let order = Order {
                    id,
                    action,
                    fence,
                    inputs: Vec::new(),
                };
                let site = self.agent_of(order.id.step);
                self.expect(life, &order.id);
                let msg = Msg::Poll { life, order };
                self.send(self.topology.mover(), site, msg);
            }
            Effect::Ask { .. } | Effect::Ended(_) => {
                let _ = active;
            }
        }
    }

    /// The site whose agent carries a step out.
    fn agent_of(&self, step: StepId) -> usize {
        let active = self.mover.active.as_ref();
        let step = active.and_then(|it| it.run.runbook().steps.get(step.index()));
        step.map_or(self.topology.witness(), |step| self.topology.site(&step.at))
    }

    /// An answer is expected, within a while.
    fn expect(&mut self, life: u64, id: &EffectId) {
        self.mover.tokens += 1;
        let token = self.mover.tokens;
        if let Some(active) = &mut self.mover.active {
            active.waiting.insert(id.clone(), token);
        }
        // Sometimes nobody says that no answer came: the run's own timers have to notice (I29).
        let hangs = self.is_faulty() && self.fault_dice.chance(150);
        if hangs {
            self.fault(Kind::Hangs);
        } else {
            self.at(self.now + REPLY, Ev::NoReply(life, id.clone(), token));
        }
        if self.is_faulty() && self.fault_dice.chance(300) {
            let after = self.fault_dice.between(300 * MS, REPLY);
            self.at(self.now + after, Ev::Impatient(life, id.clone(), token));
        }
    }

    /// A person who waits for an answer turns the run round.
    pub(crate) fn impatient(&mut self, life: u64, id: &EffectId, token: u64) {
        let active = self.mover.active.as_ref().filter(|it| it.life == life);
        if active.is_some_and(|it| it.waiting.get(id) == Some(&token)) {
            self.fault(Kind::Person);
            self.turn_round("it hangs");
        }
    }

    /// It did not come.
    pub(crate) fn no_reply(&mut self, life: u64, id: &EffectId, token: u64) {
        let Some(active) = self.mover.active.as_mut().filter(|it| it.life == life) else {
            return;
        };
        if active.waiting.get(id) != Some(&token) {
            return;
        }
        active.waiting.remove(id);
        let outcome = if self.options.own == Some(Own::SilenceIsNotDone) {
            not_done("no answer")
        } else {
            ActOutcome::Unknown("no answer".to_owned())
        };
        self.outcome(id, outcome, true);
    }

    fn begin_look(&mut self, effect: Effect) {
        let Effect::Observe {
            requires, goals, ..
        } = &effect
        else {
            return;
        };
        let mut scopes = Vec::new();
        for goal in requires.iter().chain(goals) {
            if !scopes.iter().any(|(known, _)| *known == goal.scope) {
                scopes.push((goal.scope.clone(), None));
            }
        }
        let Some(active) = &mut self.mover.active else {
            return;
        };
        active.next_look += 1;
        let (life, look) = (active.life, active.next_look);
        let wanted: Vec<_> = scopes.iter().map(|(scope, _)| scope.clone()).collect();
        active.looks.insert(look, Looking { effect, scopes });
        if wanted.is_empty() {
            self.no_sight(life, look);
            return;
        }
        if self.is_faulty() && self.fault_dice.chance(100) {
            self.fault(Kind::Hangs);
        } else {
            self.at(self.now + SIGHT, Ev::NoSight(life, look));
        }
        let blind = self.is_faulty() && self.fault_dice.chance(12);
        if blind {
            self.fault(Kind::Blind);
            return;
        }
        for (at, scope) in wanted.into_iter().enumerate() {
            let site = self.topology.site(&scope.from);
            let msg = Msg::Ask {
                life,
                look,
                at,
                scope,
            };
            self.send(self.topology.mover(), site, msg);
        }
    }

    /// Messages to the mover.
    pub(crate) fn arrive_at_mover(&mut self, msg: Msg) {
        match msg {
            Msg::Reply { life, id, reply } => self.replied(life, &id, reply),
            Msg::Seen {
                life,
                look,
                at,
                sample,
            } => self.saw(life, look, at, sample),
            _ => {}
        }
    }

    fn replied(&mut self, life: u64, id: &EffectId, reply: Reply) {
        let Some(active) = self.mover.active.as_mut().filter(|it| it.life == life) else {
            return;
        };
        active.waiting.remove(id);
        let now = self.mover_now();
        let unknown = matches!(reply, Err(ActError::Unknown(_)));
        let outcome = match reply {
            Ok(Progress::Done(output)) => ActOutcome::Done(output),
            Ok(Progress::Running {
                handle, again_in, ..
            }) => ActOutcome::Running {
                handle: handle.0,
                again_at: now + again_in,
                note: None,
            },
            Err(ActError::NotDone(cause)) => ActOutcome::NotDone {
                code: cause.code,
                what: cause.what,
                retry: cause.retry == Retry::MayHelp,
            },
            Err(ActError::StaleEpoch(epoch)) => ActOutcome::StaleEpoch(epoch),
            Err(ActError::Unknown(_)) if self.has(Own::UnknownIsNotDone) => not_done("unknown"),
            Err(ActError::Unknown(cause)) => ActOutcome::Unknown(cause.what),
        };
        self.outcome(id, outcome, unknown);
    }

    fn outcome(&mut self, id: &EffectId, outcome: ActOutcome, unknown: bool) {
        let event = Event::Acted {
            step: id.step,
            direction: id.direction,
            attempt: id.attempt,
            outcome,
        };
        if let Some(active) = &mut self.mover.active
            && unknown
        {
            active.memory.unknown.insert((id.step, id.direction));
        }
        let said = self.feed(&event);
        if said.is_err()
            && unknown
            && let Some(active) = &mut self.mover.active
        {
            active.memory.unknown.remove(&(id.step, id.direction));
        }
    }

    fn saw(&mut self, life: u64, look: u64, at: usize, sample: Sample) {
        let Some(active) = self.mover.active.as_mut().filter(|it| it.life == life) else {
            return;
        };
        let Some(looking) = active.looks.get_mut(&look) else {
            return;
        };
        if let Some((_, seen)) = looking.scopes.get_mut(at) {
            *seen = Some(sample);
        }
        if looking.scopes.iter().all(|(_, seen)| seen.is_some()) {
            self.no_sight(life, look);
        }
    }

    /// The look is over: everything was seen, or its time is.
    pub(crate) fn no_sight(&mut self, life: u64, look: u64) {
        let Some(active) = self.mover.active.as_mut().filter(|it| it.life == life) else {
            return;
        };
        let Some(looking) = active.looks.remove(&look) else {
            return;
        };
        let Effect::Observe {
            step,
            direction,
            attempt,
            look,
            requires,
            goals,
            ..
        } = &looking.effect
        else {
            return;
        };
        let now = self.mover_now();
        let nobody = self.unreachable(self.topology.witness(), now);
        let sample = |goal: &Goal| {
            let mut found = looking.scopes.iter();
            let found = found.find(|(scope, _)| *scope == goal.scope);
            found.and_then(|(_, seen)| seen.as_ref()).unwrap_or(&nobody)
        };
        let judge = |goals: &[Goal]| -> Vec<Evidence> {
            let goals = goals.iter();
            goals
                .map(|goal| {
                    let answer = self.topology.kinds.holds(goal, sample(goal), now);
                    let why = match answer {
                        Tri::Holds => String::new(),
                        _ => format!("{:?}", goal.is),
                    };
                    Evidence { answer, why }
                })
                .collect()
        };
        let positions = goals.iter().find_map(|goal| {
            let store = sample(goal).facts()?.store.as_ref()?;
            store.position.clone()
        });
        let event = Event::Observed {
            step: *step,
            direction: *direction,
            attempt: *attempt,
            look: *look,
            seen: ObservedGoals {
                requires: judge(requires),
                goals: judge(goals),
                output: Output {
                    position: positions,
                    ..Output::default()
                },
            },
        };
        let _ = self.feed(&event);
    }

    /// Nothing moves any more without a person, or the run is over.
    fn ended(&mut self, life: u64, phase: RunPhase) {
        if phase.is_over() {
            self.finish(phase);
        } else {
            self.call_person(life);
        }
    }

    /// A person comes, in a while.
    pub(crate) fn call_person(&mut self, life: u64) {
        let Some(active) = self.mover.active.as_mut().filter(|it| it.life == life) else {
            return;
        };
        if !active.person_called {
            active.person_called = true;
            let comes = self.dice.between(SECOND, 20 * SECOND);
            self.at(self.now + comes, Ev::Person(life));
        }
    }

    /// Which entry recorded which intent.
    fn note_intents(&mut self) {
        let now = self.mover_now();
        let Some(Active {
            run, intents, disk, ..
        }) = &mut self.mover.active
        else {
            return;
        };
        let last = disk.written();
        for (id, _) in run.runbook().steps.iter().enumerate() {
            let Ok(id) = u32::try_from(id) else { continue };
            let id = StepId(id);
            let (forward, back) = run.attempts(id);
            for (direction, attempts) in [(Direction::Forward, forward), (Direction::Undo, back)] {
                if attempts > 0 {
                    intents
                        .entry((id, direction, attempts))
                        .or_insert((last, now));
                }
            }
        }
    }

    /// The entry that recorded an intent, and what is durable.
    pub(crate) fn intent(&self, id: &EffectId) -> Option<(Option<(Seq, Timestamp)>, Seq)> {
        let active = self.mover.active.as_ref()?;
        let key = (id.step, id.direction, id.attempt);
        Some((active.intents.get(&key).copied(), active.disk.durable))
    }
}

fn not_done(why: &str) -> ActOutcome {
    ActOutcome::NotDone {
        code: "not-done".to_owned(),
        what: why.to_owned(),
        retry: true,
    }
}

/// The step that an event is about.
fn step_of(event: &Event) -> Option<StepId> {
    match event {
        Event::Observed { step, .. }
        | Event::Acted { step, .. }
        | Event::Answered { step, .. }
        | Event::Retried { step, .. }
        | Event::Skipped { step, .. } => Some(*step),
        _ => None,
    }
}

fn short(event: &Event) -> String {
    let words = format!("{event:?}");
    words.chars().take(200).collect()
}

/// How long an acceptance or an approval is good.
pub(crate) const GOOD: Span = Span::from_secs(900);
