//! What each event does to the world, and which invariant it breaks, if any.
//! Must not know which events are possible.

use mainstay_model::{
    Body, ComponentId, Epoch, MoveMode, Op, Phase, Predicate, SiteId, Step, StepId, Undo, Weights,
};

use super::{
    cast::{Cast, Live, Source},
    state::State,
};
use crate::proof::{Act, Shut, is_final_shift};

/// The invariant that an event breaks.
pub(super) type Broken = &'static str;

fn bit(step: StepId) -> u32 {
    1 << step.0
}

impl<'a> Cast<'a> {
    fn live(&self, state: &State<'a>) -> impl Iterator<Item = &Live<'a>> {
        let live = state.live;
        let numbered = self.lives.iter().enumerate();
        numbered
            .filter(move |(at, _)| live & (1 << at) != 0)
            .map(|(_, live)| live)
    }

    /// A step starts: what it may enable is enabled from now on.
    pub(super) fn start(&self, state: &mut State<'a>, step: &'a Step) -> Result<(), Broken> {
        self.token(state, step)?;
        if self.needs_commit(step) && !self.committed(state) {
            return Err("I22");
        }
        for act in &self.acts[step.id.index()] {
            match act {
                Act::Enable(name, site, epoch) => {
                    self.enable(state, step, (name, site, *epoch))?;
                    self.exclusive(state, name, site)?;
                }
                Act::Work(name, site) => self.exclusive(state, name, site)?,
                Act::Shut(name, _, Shut::UpTo(_)) => self.sealing(state, step, name)?,
                Act::CatchUp(name, of) => {
                    let sealed = |of: &StepId| {
                        let shuts = self.acts[of.index()].iter();
                        state.ended & bit(*of) != 0
                            && self.is_required(*of)
                            && shuts
                                .into_iter()
                                .any(|act| matches!(act, Act::Shut(n, ..) if n == name))
                    };
                    if of.iter().any(sealed) {
                        state.fresh |= bit(step.id);
                    }
                }
                Act::Route(name, weights, epoch) => Self::route(state, name, weights, *epoch)?,
                Act::Rebuild(name, site) => self.rebuild(state, name, site)?,
                Act::Protect(name, site) if self.is_required(step.id) => {
                    let rebuilt = self.all_over(
                        state,
                        |act| matches!(act, Act::Rebuild(n, s) if n == name && s == site),
                    );
                    if rebuilt {
                        state.looked |= bit(step.id);
                    }
                }
                _ => {}
            }
        }
        state.started |= bit(step.id);
        state.live |= self.mask(|live| live.source == Source::Step(step.id));
        let found = self.shut_by(&self.acts[step.id.index()], state);
        if found != 0 && self.is_required(step.id) {
            state.found.insert(step.id.0, found);
        }
        Ok(())
    }

    /// A step ends: what it shut out is out.
    pub(super) fn end(&self, state: &mut State<'a>, step: &'a Step) {
        state.ended |= bit(step.id);
        state.settled |= self.mask(|live| live.source == Source::Step(step.id));
        if let Some(found) = state.found.remove(&step.id.0) {
            state.live &= !found;
        }
        if state.fresh & bit(step.id) != 0 && self.is_required(step.id) {
            state.caught_up |= bit(step.id);
        }
        state.fresh &= !bit(step.id);
    }

    /// An undo starts.
    pub(super) fn start_undo(&self, state: &mut State<'a>, step: &'a Step) -> Result<(), Broken> {
        if step.undo == Undo::Irreversible {
            return Err("I22");
        }
        let undo = self.undos[step.id.index()].as_ref();
        match undo {
            Some(Act::Enable(name, site, epoch)) => {
                let newest = self.newest(state, name);
                if newest.is_some_and(|newest| *epoch <= newest)
                    || self.from(name).is_none_or(|from| *epoch <= from)
                {
                    return Err("I2");
                }
                self.exclusive(state, name, site)?;
            }
            Some(Act::Work(name, site)) => self.exclusive(state, name, site)?,
            Some(Act::Route(name, weights, epoch)) => Self::route(state, name, weights, *epoch)?,
            _ => {}
        }
        state.undoing |= bit(step.id);
        state.live |= self.mask(|live| live.source == Source::Undo(step.id));
        let found = self.shut_by(undo.map_or(&[], std::slice::from_ref), state);
        if found != 0 {
            state.found.insert(step.id.0, found);
        }
        Ok(())
    }

    /// An undo ends.
    pub(super) fn end_undo(&self, state: &mut State<'a>, step: &'a Step) {
        state.undoing &= !bit(step.id);
        state.ended |= bit(step.id);
        state.settled |= self.mask(|live| live.source == Source::Undo(step.id));
        if let Some(found) = state.found.remove(&step.id.0) {
            state.live &= !found;
        }
    }

    /// The newest epoch at which a step has enabled writes.
    fn newest(&self, state: &State<'a>, name: &ComponentId) -> Option<Epoch> {
        let started = |live: &&Live<'a>| match live.source {
            Source::Step(step) => state.started & bit(step) != 0 && live.name == name,
            Source::Initial | Source::Undo(_) => false,
        };
        self.lives
            .iter()
            .filter(started)
            .map(|live| live.epoch)
            .max()
    }

    /// An older token after a newer one is an effect of a dead plan (I3).
    fn token(&self, state: &State<'a>, step: &Step) -> Result<(), Broken> {
        let Some(fence) = &step.fence else {
            return Ok(());
        };
        let earlier = self
            .runbook
            .steps
            .iter()
            .filter(|other| state.started & bit(other.id) != 0);
        let mut earlier = earlier.filter_map(|other| other.fence.as_ref());
        if earlier.any(|other| other.store == fence.store && other.epoch > fence.epoch) {
            return Err("I3");
        }
        match &step.body {
            Body::Act(action) => match action.op {
                Op::Seal(epoch) if epoch != fence.epoch => Err("I3"),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Nobody else may be live when this one becomes live (I1, I4).
    fn exclusive(
        &self,
        state: &State<'a>,
        name: &ComponentId,
        site: &SiteId,
    ) -> Result<(), Broken> {
        let store = self.is_store(name);
        let other = |live: &&Live<'a>| live.name == name && live.site != site;
        for live in self.live(state).filter(other) {
            let excused = !store && live.source == Source::Initial && self.cut_off(state, name);
            if self.is_exclusive(name) && !excused {
                return Err("I1");
            }
        }
        Ok(())
    }

    /// A scheduler at a dead site, every store of which is fenced.
    fn cut_off(&self, state: &State<'a>, name: &ComponentId) -> bool {
        let Some(workload) = self.file.workloads.get(name) else {
            return false;
        };
        let fenced = |store: &ComponentId| {
            let initial = |live: &&Live<'a>| live.source == Source::Initial && live.name == store;
            let was = self.lives.iter().any(|live| initial(&live));
            !was || (self.from(store).is_some() && !self.live(state).any(|live| initial(&live)))
        };
        self.runbook.mode == MoveMode::Failover
            && !workload.uses.is_empty()
            && workload.uses.iter().all(|used| fenced(&used.store))
    }

    /// Writes are enabled at a new epoch with its token, with proof, and for whole groups (I2, I3, I4, I10).
    fn enable(
        &self,
        state: &State<'a>,
        step: &Step,
        (name, site, epoch): (&ComponentId, &SiteId, Epoch),
    ) -> Result<(), Broken> {
        let carried = step.fence.as_ref();
        if carried.is_none_or(|fence| fence.store != *name || fence.epoch != epoch) {
            return Err("I3");
        }
        if self.from(name).is_none_or(|from| epoch <= from) {
            return Err("I2");
        }
        let taken = |live: &&Live<'a>| match live.source {
            Source::Step(other) => state.started & bit(other) != 0 && live.name == name,
            Source::Initial | Source::Undo(_) => false,
        };
        let mut taken = self.lives.iter().filter(taken);
        if taken.any(|live| live.epoch == epoch && live.site != site) {
            return Err("I2");
        }
        if self.is_exclusive(name) {
            self.proof_required(state, step, (name, site, epoch))?;
        }
        let groups = self.together.get(name).into_iter().flatten();
        for other in groups {
            let equal = self.runbook.steps.iter().any(|copy| {
                let acts = self.acts[copy.id.index()].iter();
                state.caught_up & bit(copy.id) != 0
                    && acts
                        .into_iter()
                        .any(|act| matches!(act, Act::CatchUp(n, _) if n == other))
            });
            if !equal {
                return Err("I10");
            }
        }
        Ok(())
    }

    fn proof_required(
        &self,
        state: &State<'a>,
        step: &Step,
        (name, at, epoch): (&ComponentId, &SiteId, Epoch),
    ) -> Result<(), Broken> {
        let from = self.from(name).unwrap_or_default();
        let initial = self
            .lives
            .iter()
            .filter(|live| live.source == Source::Initial);
        for site in initial
            .filter(|live| live.name == name && live.site != at)
            .map(|l| l.site)
        {
            let asked = step.requires.iter().any(|goal| {
                let here = goal.scope.site == *site && goal.scope.subject.component() == Some(name);
                here && match goal.is {
                    Predicate::Sealed(sealed) => sealed >= from,
                    Predicate::FencedBelow(below) => below >= epoch,
                    _ => false,
                }
            });
            let vouched = self.done_by(
                state,
                |act| matches!(act, Act::Shut(n, s, Shut::Vouched) if *n == name && *s == site),
            );
            if !asked && !vouched {
                return Err("I4");
            }
        }
        Ok(())
    }

    /// Whether every step that may do this is over.
    fn all_over(&self, state: &State<'a>, test: impl Fn(&Act<'a>) -> bool) -> bool {
        let mut steps = self.runbook.steps.iter();
        steps.all(|step| {
            let over = state.ended & bit(step.id) != 0;
            over || !self.acts[step.id.index()].iter().any(&test)
        })
    }

    /// Whether a required step that does this is over.
    fn done_by(&self, state: &State<'a>, test: impl Fn(&Act<'a>) -> bool) -> bool {
        self.runbook.steps.iter().any(|step| {
            let over = state.ended & bit(step.id) != 0 && self.is_required(step.id);
            over && self.acts[step.id.index()].iter().any(&test)
        })
    }

    /// Nobody works on a store when it is sealed for a planned move (I10).
    fn sealing(&self, state: &State<'a>, step: &Step, name: &ComponentId) -> Result<(), Broken> {
        let planned = matches!(self.runbook.mode, MoveMode::Switchover | MoveMode::Restore);
        if !planned || !matches!(step.body, Body::Act(_)) || !self.is_required(step.id) {
            return Ok(());
        }
        for user in self.users(name) {
            if self.live(state).any(|live| live.name == user) {
                return Err("I10");
            }
        }
        Ok(())
    }

    fn route(
        state: &mut State<'a>,
        name: &'a ComponentId,
        weights: &'a Weights,
        epoch: Epoch,
    ) -> Result<(), Broken> {
        let newest = state.routes.get(name).map(|(epoch, _)| *epoch);
        let empty = weights.values().all(|weight| *weight == 0);
        if empty || newest.is_some_and(|newest| epoch <= newest) {
            return Err("I21");
        }
        state.routes.insert(name, (epoch, weights));
        Ok(())
    }

    fn rebuild(&self, state: &State<'a>, name: &ComponentId, site: &SiteId) -> Result<(), Broken> {
        let saved = self.done_by(
            state,
            |act| matches!(act, Act::Salvage(n, s) if *n == name && *s == site),
        );
        let initial = self
            .lives
            .iter()
            .filter(|live| live.source == Source::Initial);
        let mut here = initial.filter(|live| live.name == name && live.site == site);
        if saved && here.next().is_none() {
            Ok(())
        } else {
            Err("I23")
        }
    }

    /// Whom these would shut out if they started now: those whose own cause is over.
    fn shut_by(&self, acts: &[Act<'a>], state: &State<'a>) -> u64 {
        let settled = state.live & state.settled;
        let hit = |live: &Live<'a>| {
            acts.iter().any(|act| match act {
                Act::Shut(name, site, how) => {
                    live.name == *name && live.site == *site && how.covers(live.epoch)
                }
                Act::Rest(name, site) => live.name == *name && live.site == *site,
                _ => false,
            })
        };
        settled & self.mask(hit)
    }

    fn needs_commit(&self, step: &Step) -> bool {
        let released = match &step.body {
            Body::Act(action) => action.op == Op::Release || step.phase == Phase::Release,
            _ => return false,
        };
        self.runbook.mode != MoveMode::Reprotect && (released || is_final_shift(step, self.file))
    }

    /// Whether the commit is over.
    pub(super) fn committed(&self, state: &State<'a>) -> bool {
        let steps = self.runbook.steps.iter();
        let mut commits = steps.filter(|step| step.phase == Phase::Commit);
        commits.any(|step| state.ended & bit(step.id) != 0)
    }

    fn taken_back(&self, step: &Step, act: &Act<'a>, undo: Option<&Act<'a>>) -> bool {
        let was = |name: &ComponentId, site: &SiteId| {
            let initial = self
                .lives
                .iter()
                .filter(|live| live.source == Source::Initial);
            let mut there = initial.filter(|live| live.name == name && live.site == site);
            there.next().is_some()
        };
        match act {
            Act::Shut(name, site, _) => {
                let changes = matches!(step.body, Body::Act(_)) && was(name, site);
                !changes || matches!(undo, Some(Act::Enable(_, at, _)) if at == site)
            }
            Act::Rest(name, site) => {
                !was(name, site) || matches!(undo, Some(Act::Work(_, at)) if at == site)
            }
            Act::Enable(_, site, _) => matches!(undo, Some(Act::Shut(_, at, _)) if at == site),
            Act::Route(..) => matches!(undo, Some(Act::Route(..))),
            _ => true,
        }
    }

    /// The run went through: what was rebuilt was looked at.
    pub(super) fn complete(&self, state: &State<'a>) -> Result<(), Broken> {
        for act in self.acts.iter().flatten() {
            let Act::Rebuild(name, site) = act else {
                continue;
            };
            let looked = self.runbook.steps.iter().any(|step| {
                let acts = self.acts[step.id.index()].iter();
                state.looked & bit(step.id) != 0
                    && acts
                        .into_iter()
                        .any(|act| matches!(act, Act::Protect(n, s) if n == name && s == site))
            });
            if !looked {
                return Err("I23");
            }
        }
        Ok(())
    }

    /// The retreat is over: everything is as it was, and every effect was taken back by its own undo. (A scheduler that
    /// was held and stopped is not back when it is only released.)
    pub(super) fn intact(&self, state: &State<'a>) -> Result<(), Broken> {
        let started = self
            .runbook
            .steps
            .iter()
            .filter(|step| state.started & bit(step.id) != 0);
        for step in started {
            let undo = self.undos[step.id.index()].as_ref();
            let acts = self.acts[step.id.index()].iter();
            if !acts.into_iter().all(|act| self.taken_back(step, act, undo)) {
                return Err("I22");
            }
        }
        let initial = self
            .lives
            .iter()
            .filter(|live| live.source == Source::Initial);
        for was in initial.clone() {
            let mut now = self.live(state);
            if !now.any(|live| live.name == was.name && live.site == was.site) {
                return Err("I22");
            }
        }
        for live in self.live(state).filter(|live| self.is_store(live.name)) {
            let mut sites = initial
                .clone()
                .filter(|was| was.name == live.name)
                .peekable();
            if sites.peek().is_some() && !sites.any(|was| was.site == live.site) {
                return Err("I22");
            }
        }
        for (name, (_, weights)) in &state.routes {
            if self
                .runbook
                .before
                .get(*name)
                .is_some_and(|before| before != *weights)
            {
                return Err("I22");
            }
        }
        Ok(())
    }
}
