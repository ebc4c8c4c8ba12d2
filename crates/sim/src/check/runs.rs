//! Checks around a run: its runbook, its intents, what it hands out.
//! Must not know how a run works inside.

use std::sync::Arc;

use mainstay_engine::{Approval, Effect, Event, Look, RunPhase, StepState};
use mainstay_model::{
    Body, Direction, EffectId, Epoch, MoveMode, Op, Phase, Runbook, Step, StepId, Timestamp, Tri,
    Undo, Weights,
};
use mainstay_planner::Refusals;

use crate::world::World;

/// The operation of a step in a direction.
fn op(step: &Step, direction: Direction) -> Option<&Op> {
    match (direction, &step.body, &step.undo) {
        (Direction::Forward, Body::Act(action), _)
        | (Direction::Undo, _, Undo::Act { action, .. }) => Some(&action.op),
        _ => None,
    }
}

/// For each step, everything that comes before it, as bits.
fn before(runbook: &Runbook) -> Vec<Vec<bool>> {
    let count = runbook.steps.len();
    let mut all: Vec<Vec<bool>> = Vec::with_capacity(count);
    for step in &runbook.steps {
        let mut mine = vec![false; count];
        for earlier in &step.after {
            mine[earlier.index()] = true;
            if let Some(theirs) = all.get(earlier.index()) {
                for (place, is) in theirs.iter().enumerate() {
                    mine[place] |= *is;
                }
            }
        }
        all.push(mine);
    }
    all
}

impl World {
    /// A fresh runbook: new epochs (I2, I21), seals that can be taken back (I22), nobody sealed under its users (I10).
    pub(crate) fn check_runbook(&mut self, runbook: &Arc<Runbook>) {
        let begun: Vec<Option<usize>> = (0..self.stores.len())
            .map(|store| {
                let site = self.owner(store)?;
                let access = self.stores[store].at[site].access;
                let open = self.sites[site].up && access == mainstay_model::Access::Open;
                open.then_some(site)
            })
            .collect();
        self.checks.open = begun;
        self.checks.workloads = self.workloads.clone();
        self.checks.routes = self.routes.clone();
        self.checks.began = self.now;
        self.checks.others.clear();
        if runbook.mode == MoveMode::Reprotect {
            self.check_reprotect(runbook);
            return;
        }
        for (store, epochs) in &runbook.epochs {
            let granted = self.registry.granted(store);
            if epochs.to <= granted || epochs.retreat <= epochs.to {
                let words = format!("{store} goes to {epochs:?}, {granted} was given away");
                self.checks.fail(self.now, "I2", words);
            }
        }
        for step in &runbook.steps {
            if step.phase == Phase::Seal
                && runbook.mode == MoveMode::Switchover
                && matches!(step.body, Body::Act(_))
                && !matches!(step.undo, Undo::Act { .. })
            {
                let words = format!("{} cannot be taken back", step.title());
                self.checks.fail(self.now, "I22", words);
            }
        }
        self.check_numbers(runbook);
        if runbook.mode == MoveMode::Switchover {
            self.check_quiesced(runbook);
        }
    }

    /// A run goes on, and none has begun since it was made (I21).
    pub(crate) fn check_newest(&mut self) {
        let Some(run) = self.run_now() else { return };
        if !self.checks.is_newest(run) {
            let words = format!("{} goes on after a newer run", run.created().run);
            self.checks.fail(self.now, "I21", words);
        }
    }

    /// Every change of a route in one runbook has a number of its own.
    fn check_numbers(&mut self, runbook: &Runbook) {
        for (route, name) in self.topology.routes.clone().iter().enumerate() {
            let mut numbers: Vec<Epoch> = Vec::new();
            let steps = runbook.steps.iter();
            for step in steps.filter(|step| step.subject.component() == Some(name)) {
                for direction in [Direction::Forward, Direction::Undo] {
                    if let Some(Op::Route { epoch, .. }) = op(step, direction) {
                        numbers.push(*epoch);
                    }
                }
            }
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            let record = self.routes[route].epoch;
            let seen = self.registry.shown.get(name).map(|it| it.epoch);
            let old = seen == Some(record) && numbers.iter().any(|it| *it <= record);
            if numbers.len() < count || old {
                let words =
                    format!("{name} at {record} gets the numbers {numbers:?}, {count} times");
                self.checks.fail(self.now, "I21", words);
            }
        }
    }

    /// Before a seal, every user of the store is told to stop wherever it is active.
    fn check_quiesced(&mut self, runbook: &Runbook) {
        let before = before(runbook);
        for seal in &runbook.steps {
            let sealed = (seal.phase == Phase::Seal)
                .then(|| seal.subject.component())
                .flatten();
            let Some(store) = sealed.and_then(|name| self.topology.store(name)) else {
                continue;
            };
            for workload in 0..self.workloads.len() {
                let name = &self.topology.workloads[workload];
                if !self.topology.uses[workload].contains(&store) {
                    continue;
                }
                let placed = self.registry.placement.get(name);
                let sites = placed.into_iter().flat_map(Weights::keys);
                for site in sites {
                    let stops = runbook.steps.iter().any(|step| {
                        step.subject.component() == Some(name)
                            && step.site == *site
                            && op(step, Direction::Forward) == Some(&Op::Stop)
                            && before[seal.id.index()][step.id.index()]
                    });
                    if !stops {
                        let words = format!("{} does not wait for {name} at {site}", seal.title());
                        self.checks.fail(self.now, "I10", words);
                        return;
                    }
                }
            }
        }
    }

    /// An act is handed out.
    pub(crate) fn check_handed_out(&mut self, effect: &Effect) {
        let Effect::Act {
            id, action, fence, ..
        } = effect
        else {
            return;
        };
        let recorded = self.intent(id);
        let permitted = recorded.and_then(|(intent, _)| intent.map(|(_, at)| at));
        if let Some((intent, durable)) = recorded
            && intent.is_none_or(|(intent, _)| intent > durable)
        {
            let intent = intent.map(|(seq, _)| seq);
            let words = format!("{id} was handed out at entry {intent:?}, durable is {durable:?}");
            self.checks.fail(self.now, "I16", words);
        }
        let token = match &action.op {
            Op::Seal(epoch)
            | Op::Unseal(epoch)
            | Op::Promote(epoch)
            | Op::Demote(epoch)
            | Op::Fence(epoch) => Some(*epoch),
            _ => None,
        };
        if token.is_some() && token != fence.as_ref().map(|fence| fence.epoch) {
            let words = format!("{id} does {:?} with the token {fence:?}", action.op);
            self.checks.fail(self.now, "I3", words);
        }
        self.check_order_of_acts(id);
        self.check_permits(id, &action.op, permitted);
    }

    /// No attempt twice (I14), and none after an unknown outcome that nobody looked at (I15).
    fn check_order_of_acts(&mut self, id: &EffectId) {
        let now = self.now;
        let Some(active) = &mut self.mover.active else {
            return;
        };
        let key = (id.step, id.direction);
        let handed = active.memory.handed.entry(key).or_default();
        if id.attempt <= *handed {
            let words = format!("{id} was handed out after attempt {handed}");
            self.checks.fail(now, "I14", words);
        }
        *handed = id.attempt.max(*handed);
        if active.memory.unknown.contains(&key) {
            let words = format!("{id} acts though the last outcome is unknown");
            self.checks.fail(now, "I15", words);
        }
    }

    /// Approved (I26), accepted (I9), and traffic only after commit (I22). Approval and acceptance have to be good when
    /// the intent is recorded; a slow disk may let them run out before its effect.
    fn check_permits(&mut self, id: &EffectId, op: &Op, recorded: Option<Timestamp>) {
        let now = recorded.unwrap_or_else(|| self.mover_now());
        let Some(active) = &self.mover.active else {
            return;
        };
        let run = &active.run;
        let runbook = run.runbook();
        let committed = run.is_committed();
        let Some(step) = runbook.steps.get(id.step.index()) else {
            return;
        };
        let mut found = None;
        let until = active.memory.approved_until;
        let needed = run.created().approval == Approval::Needed && !committed;
        if needed && id.direction == Direction::Forward && until.is_none_or(|until| until <= now) {
            found = Some(("I26", "acts without a standing approval".to_owned()));
        }
        let forced = runbook.mode == MoveMode::Failover && id.direction == Direction::Forward;
        if forced && matches!(op, Op::Promote(_)) {
            let good = match (&runbook.acceptance, &runbook.loss) {
                (Some(acceptance), Some(loss)) => {
                    now < acceptance.until
                        && loss.worst <= acceptance.limit
                        && loss.skew <= acceptance.limit
                        && loss
                            .stores
                            .keys()
                            .all(|it| acceptance.points.contains_key(it))
                }
                _ => false,
            };
            if !good {
                found = Some(("I9", "promotes without a good acceptance".to_owned()));
            }
        }
        let store = step
            .subject
            .component()
            .and_then(|it| self.topology.file.routes.get(it));
        let fronts_store = store.is_some_and(|route| {
            route
                .serves
                .iter()
                .any(|it| self.topology.store(it).is_some())
        });
        if step.phase == Phase::Shift && !committed && !fronts_store {
            found = Some(("I22", "shifts traffic before commit".to_owned()));
        }
        if let Some((invariant, words)) = found {
            self.checks
                .fail(self.now, invariant, format!("{id} {words}"));
        }
    }

    /// After an event: what was unknown and is not any more.
    pub(crate) fn remember(&mut self, event: &Event, _before: RunPhase) {
        let now = self.now;
        let Some(active) = &mut self.mover.active else {
            return;
        };
        match event {
            Event::Observed {
                step,
                direction,
                look: Look::Settle,
                seen,
                ..
            } => {
                let told = seen.goals.iter().all(|it| it.answer != Tri::CannotTell);
                if told {
                    active.memory.unknown.remove(&(*step, *direction));
                }
            }
            Event::Acted {
                step,
                direction,
                outcome,
                ..
            } if !matches!(outcome, mainstay_engine::ActOutcome::Unknown(_)) => {
                let silent = self.options.own == Some(crate::bugs::Own::SilenceIsNotDone)
                    || self.options.own == Some(crate::bugs::Own::UnknownIsNotDone);
                if !silent {
                    active.memory.unknown.remove(&(*step, *direction));
                }
            }
            _ => {}
        }
        let step = match event {
            Event::Observed { step, .. } | Event::Acted { step, .. } => *step,
            _ => return,
        };
        let Some(view) = active.run.step(step) else {
            return;
        };
        let over = matches!(view.state, StepState::Succeeded | StepState::Undone);
        if over && active.memory.unknown.contains(&(step, view.direction)) {
            let words = format!("step {} is over, and nobody saw its outcome", step.0);
            self.checks.fail(now, "I15", words);
        }
    }

    /// Counts what was visited.
    pub(crate) fn cover(&mut self, step: Option<StepId>) {
        let (Some(step), Some(active)) = (step, &self.mover.active) else {
            return;
        };
        let (Some(view), Some(it)) = (
            active.run.step(step),
            active.run.runbook().steps.get(step.index()),
        ) else {
            return;
        };
        let state = match view.state {
            StepState::Pending => 0,
            StepState::Already => 1,
            StepState::Started => 2,
            StepState::Succeeded => 3,
            StepState::Failed { .. } => 4,
            StepState::Unknown => 5,
            StepState::AwaitingPerson => 6,
            StepState::Skipped { .. } => 7,
            StepState::UndoStarted => 8,
            StepState::Undone => 9,
            StepState::UndoFailed { .. } => 10,
            StepState::UndoUnknown => 11,
        };
        let phase = active.run.phase() as u32;
        let code = ((phase * 32 + it.phase as u32) * 16 + state) * 32 + u32::from(self.last_fault);
        self.states.insert(code);
        self.trace.mix(&[u64::from(code)]);
    }

    /// A refusal of the planner's own proof means that the planner is wrong.
    pub(crate) fn check_refusal(&mut self, refusals: &Refusals) {
        let wrong = refusals.list.iter();
        let wrong = wrong.filter(|it| it.code == mainstay_planner::Code::UnsafePlan);
        for refusal in wrong {
            self.checks.unsafe_plans += 1;
            self.checks
                .unsafe_words
                .get_or_insert(refusal.evidence.clone());
        }
    }
}
