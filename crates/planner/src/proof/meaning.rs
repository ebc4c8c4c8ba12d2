//! What each step does to the things that the invariants speak of, read from its body, goals and undo.
//! Must not know orders, nor who built the step. A step counts as shutting a store out only by a goal that is observed.

use std::collections::BTreeMap;

use mainstay_model::{
    Action, Body, ComponentId, Epoch, Goal, Necessity, Op, Phase, PlanFile, Predicate, Runbook,
    SiteId, Step, StepId, Subject, Undo, Wanted, Weights,
};

/// How the writers of a store at a site are shut out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shut {
    /// Writers up to and including this epoch are refused.
    UpTo(Epoch),
    /// Writers below this epoch are fenced.
    Below(Epoch),
    /// A person vouches.
    Vouched,
}

impl Shut {
    /// Whether a writer of that epoch is shut out.
    pub(crate) fn covers(self, writer: Epoch) -> bool {
        match self {
            Self::UpTo(epoch) => epoch >= writer,
            Self::Below(epoch) => epoch > writer,
            Self::Vouched => true,
        }
    }
}

/// What a step, or its undo, does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act<'a> {
    /// When it is over, writers of a store at a site are shut out.
    Shut(&'a ComponentId, &'a SiteId, Shut),
    /// From its start, a store may be writable at a site.
    Enable(&'a ComponentId, &'a SiteId, Epoch),
    /// When it is over, the copy has what was there when these steps were over.
    CatchUp(&'a ComponentId, Vec<StepId>),
    /// When it is over, a workload does no work at a site.
    Rest(&'a ComponentId, &'a SiteId),
    /// From its start, a workload may work at a site.
    Work(&'a ComponentId, &'a SiteId),
    /// A route gets weights and an epoch.
    Route(&'a ComponentId, &'a Weights, Epoch),
    /// What only that site has is saved or given up.
    Salvage(&'a ComponentId, &'a SiteId),
    /// From its start, what that site has is overwritten.
    Rebuild(&'a ComponentId, &'a SiteId),
    /// When it is over, the copy is verified.
    Protect(&'a ComponentId, &'a SiteId),
}

/// What a step does forwards.
pub(crate) fn acts<'a>(step: &'a Step, file: &PlanFile) -> Vec<Act<'a>> {
    let Some(name) = step.subject.component() else {
        return Vec::new();
    };
    let mut acts: Vec<Act<'a>> = step.goals.iter().filter_map(shutting).collect();
    match &step.body {
        Body::Act(action) => acts.extend(of_action(step, name, action, file)),
        Body::Ask(_) if step.phase == Phase::Fence => {
            acts.push(if file.stores.contains_key(name) {
                Act::Shut(name, &step.site, Shut::Vouched)
            } else {
                Act::Rest(name, &step.site)
            });
        }
        Body::Join | Body::Check if step.phase == Phase::Salvage => {
            acts.push(Act::Salvage(name, &step.site));
        }
        Body::Join | Body::Check | Body::Ask(_) => {}
    }
    let mut goals = step.goals.iter();
    if step.phase == Phase::Protect && goals.any(|g| matches!(g.is, Predicate::Copies { .. })) {
        acts.push(Act::Protect(name, &step.site));
    }
    acts
}

/// A kind may stop, hold, start, release, copy and salvage in its own words; then the phase says what it is.
fn of_action<'a>(
    step: &'a Step,
    name: &'a ComponentId,
    action: &'a Action,
    file: &PlanFile,
) -> Option<Act<'a>> {
    let site = &action.site;
    match (&action.op, step.phase) {
        (Op::Route { weights, epoch }, _) => Some(Act::Route(name, weights, *epoch)),
        (Op::Promote(epoch) | Op::Unseal(epoch), _) => Some(Act::Enable(name, site, *epoch)),
        (Op::Rebuild { .. }, _) => Some(Act::Rebuild(name, site)),
        (Op::Salvage { .. }, _) => Some(Act::Salvage(name, site)),
        (Op::CatchUp { .. } | Op::Restore { .. }, Phase::CatchUp) => {
            Some(Act::CatchUp(name, reached(step)))
        }
        (Op::Stop | Op::Hold, _) => Some(Act::Rest(name, site)),
        (Op::Start | Op::Release | Op::Rebind, _) => Some(Act::Work(name, site)),
        (Op::Custom { .. }, phase) if file.workloads.contains_key(name) => match phase {
            Phase::Hold | Phase::Quiesce | Phase::Fence => Some(Act::Rest(name, site)),
            Phase::Activate | Phase::Rebind | Phase::Release => Some(Act::Work(name, site)),
            _ => None,
        },
        (Op::Custom { .. }, phase) if file.stores.contains_key(name) => match phase {
            Phase::CatchUp => Some(Act::CatchUp(name, reached(step))),
            Phase::Salvage => Some(Act::Salvage(name, site)),
            _ => None,
        },
        _ => None,
    }
}

fn shutting(goal: &Goal) -> Option<Act<'_>> {
    let Subject::Component(name) = &goal.scope.subject else {
        return None;
    };
    let shut = match goal.is {
        Predicate::Sealed(epoch) => Shut::UpTo(epoch),
        Predicate::FencedBelow(epoch) => Shut::Below(epoch),
        _ => return None,
    };
    Some(Act::Shut(name, &goal.scope.site, shut))
}

/// The steps whose end a catch-up reaches.
fn reached(step: &Step) -> Vec<StepId> {
    let wanted = step.goals.iter().filter_map(|goal| match &goal.is {
        Predicate::CaughtUp(Wanted::Output(output)) => Some(output.step),
        _ => None,
    });
    let inputs = step.inputs.iter().map(|input| input.step);
    wanted.chain(inputs).collect()
}

/// What a step's undo does.
pub(crate) fn undo_acts<'a>(step: &'a Step, file: &PlanFile) -> Option<Act<'a>> {
    let (Undo::Act { action, .. }, name) = (&step.undo, step.subject.component()?) else {
        return None;
    };
    match &action.op {
        Op::Unseal(epoch) | Op::Promote(epoch) => Some(Act::Enable(name, &action.site, *epoch)),
        Op::Demote(epoch) => Some(Act::Shut(name, &action.site, Shut::Below(*epoch))),
        Op::Seal(epoch) => Some(Act::Shut(name, &action.site, Shut::UpTo(*epoch))),
        Op::Route { weights, epoch } => Some(Act::Route(name, weights, *epoch)),
        Op::Start | Op::Release => Some(Act::Work(name, &action.site)),
        Op::Stop | Op::Hold => Some(Act::Rest(name, &action.site)),
        Op::Custom { .. } if file.workloads.contains_key(name) => {
            let Body::Act(forward) = &step.body else {
                return None;
            };
            match of_action(step, name, forward, file)? {
                Act::Rest(..) => Some(Act::Work(name, &action.site)),
                Act::Work(..) => Some(Act::Rest(name, &action.site)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Traffic of workloads that goes to its final place: only after commit.
pub(crate) fn is_final_shift(step: &Step, file: &PlanFile) -> bool {
    if step.phase != Phase::Shift {
        return false;
    }
    let name = step.subject.component();
    let route = name.and_then(|name| file.routes.get(name));
    route.is_some_and(|route| {
        let mut served = route.serves.iter();
        !served.any(|name| file.stores.contains_key(name))
    })
}

/// What happens to one store.
#[derive(Debug, Default)]
pub(crate) struct StoreActs<'a> {
    pub(crate) shuts: Vec<(StepId, &'a SiteId, Shut)>,
    pub(crate) enables: Vec<(StepId, &'a SiteId, Epoch)>,
    pub(crate) catch_ups: Vec<(StepId, Vec<StepId>)>,
    pub(crate) salvages: Vec<(StepId, &'a SiteId)>,
    pub(crate) rebuilds: Vec<(StepId, &'a SiteId)>,
    pub(crate) protects: Vec<(StepId, &'a SiteId)>,
    /// Steps that carry a token for it.
    pub(crate) tokens: Vec<(StepId, Epoch)>,
}

/// What happens to one workload.
#[derive(Debug, Default)]
pub(crate) struct WorkloadActs<'a> {
    pub(crate) rests: Vec<(StepId, &'a SiteId)>,
    pub(crate) works: Vec<(StepId, &'a SiteId)>,
}

/// A runbook, by what its steps do.
#[derive(Debug, Default)]
pub(crate) struct Reading<'a> {
    pub(crate) stores: BTreeMap<&'a ComponentId, StoreActs<'a>>,
    pub(crate) workloads: BTreeMap<&'a ComponentId, WorkloadActs<'a>>,
    pub(crate) routes: BTreeMap<&'a ComponentId, Vec<(StepId, &'a Weights, Epoch)>>,
    pub(crate) commits: Vec<StepId>,
}

impl<'a> Reading<'a> {
    /// Reads every step. What an advisory step may leave undone is not counted on, what it may do is.
    pub(crate) fn of(runbook: &'a Runbook, file: &PlanFile) -> Self {
        let mut reading = Self::default();
        for step in &runbook.steps {
            if step.phase == Phase::Commit {
                reading.commits.push(step.id);
            }
            for act in acts(step, file) {
                reading.take(step, act);
            }
            if let Some(fence) = &step.fence {
                let store = reading.stores.entry(&fence.store).or_default();
                store.tokens.push((step.id, fence.epoch));
            }
        }
        reading
    }

    fn take(&mut self, step: &Step, act: Act<'a>) {
        let sure = step.necessity == Necessity::Required;
        let id = step.id;
        match act {
            Act::Shut(name, site, shut) if sure => {
                self.store(name).shuts.push((id, site, shut));
            }
            Act::Enable(name, site, epoch) => self.store(name).enables.push((id, site, epoch)),
            Act::CatchUp(name, of) if sure => self.store(name).catch_ups.push((id, of)),
            Act::Salvage(name, site) if sure => self.store(name).salvages.push((id, site)),
            Act::Rebuild(name, site) => self.store(name).rebuilds.push((id, site)),
            Act::Protect(name, site) if sure => self.store(name).protects.push((id, site)),
            Act::Rest(name, site) if sure => self.workload(name).rests.push((id, site)),
            Act::Work(name, site) => self.workload(name).works.push((id, site)),
            Act::Route(name, weights, epoch) => {
                self.routes
                    .entry(name)
                    .or_default()
                    .push((id, weights, epoch));
            }
            _ => {}
        }
    }

    fn store(&mut self, name: &'a ComponentId) -> &mut StoreActs<'a> {
        self.stores.entry(name).or_default()
    }

    fn workload(&mut self, name: &'a ComponentId) -> &mut WorkloadActs<'a> {
        self.workloads.entry(name).or_default()
    }
}
