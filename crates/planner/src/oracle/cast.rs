//! Who can be live in a runbook's world: each site that may write a store, each site where a workload may work, with
//! what made it so. Fixed before the search, so that a state is a few numbers.
//! Must not know orders.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_model::{
    ComponentId, Epoch, MoveMode, Necessity, Phase, PlanFile, Runbook, SiteId, Step, StepId,
    WorkloadRole, Writers,
};

use crate::{
    proof::{Act, acts, undo_acts},
    target::active,
    topology,
};

/// What made something live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// It was so before the run.
    Initial,
    /// A step.
    Step(StepId),
    /// The undo of a step.
    Undo(StepId),
}

/// A store that may be written at a site, or a workload that may work there.
#[derive(Debug, Clone)]
pub(super) struct Live<'a> {
    pub(super) name: &'a ComponentId,
    pub(super) site: &'a SiteId,
    pub(super) epoch: Epoch,
    pub(super) source: Source,
}

/// The fixed part of the world.
#[derive(Debug)]
pub(super) struct Cast<'a> {
    pub(super) runbook: &'a Runbook,
    pub(super) file: &'a PlanFile,
    pub(super) lives: Vec<Live<'a>>,
    /// What each step does, and what its undo does.
    pub(super) acts: Vec<Vec<Act<'a>>>,
    pub(super) undos: Vec<Option<Act<'a>>>,
    /// For each store that moves, those that must be equal before it is promoted.
    pub(super) together: BTreeMap<&'a ComponentId, BTreeSet<&'a ComponentId>>,
    /// Steps that wait for a step.
    pub(super) dependents: Vec<u32>,
}

impl<'a> Cast<'a> {
    /// Reads a runbook.
    pub(super) fn of(runbook: &'a Runbook, file: &'a PlanFile) -> Self {
        let forward: Vec<Vec<Act<'a>>> = runbook.steps.iter().map(|s| acts(s, file)).collect();
        let undos: Vec<Option<Act<'a>>> =
            runbook.steps.iter().map(|s| undo_acts(s, file)).collect();
        let mut lives = initial(runbook);
        for (step, (acts, undo)) in runbook.steps.iter().zip(forward.iter().zip(&undos)) {
            let done = acts.iter().map(|act| (act, Source::Step(step.id)));
            let undone = undo.iter().map(|act| (act, Source::Undo(step.id)));
            for (act, source) in done.chain(undone) {
                let (name, site, epoch) = match act {
                    Act::Enable(name, site, epoch) => (*name, *site, *epoch),
                    Act::Work(name, site) => (*name, *site, Epoch(0)),
                    _ => continue,
                };
                lives.push(Live {
                    name,
                    site,
                    epoch,
                    source,
                });
            }
        }
        let mut dependents = vec![0_u32; runbook.steps.len()];
        for step in &runbook.steps {
            for before in &step.after {
                dependents[before.index()] |= 1 << step.id.0;
            }
        }
        Self {
            runbook,
            file,
            lives,
            acts: forward,
            undos,
            together: together(runbook, file),
            dependents,
        }
    }

    /// Which of them were so before the run.
    pub(super) fn initial(&self) -> u64 {
        self.mask(|live| live.source == Source::Initial)
    }

    /// Those that the test accepts.
    pub(super) fn mask(&self, test: impl Fn(&Live<'a>) -> bool) -> u64 {
        let numbered = self.lives.iter().enumerate();
        numbered.fold(0, |mask, (at, live)| mask | (u64::from(test(live)) << at))
    }

    pub(super) fn is_store(&self, name: &ComponentId) -> bool {
        self.file.stores.contains_key(name)
    }

    /// Whether only one site may be live for it at a time.
    pub(super) fn is_exclusive(&self, name: &ComponentId) -> bool {
        if let Some(store) = self.file.stores.get(name) {
            return store.writers != Writers::Many;
        }
        let workload = self.file.workloads.get(name);
        workload.is_some_and(|workload| workload.role == WorkloadRole::Scheduler)
    }

    pub(super) fn is_required(&self, step: StepId) -> bool {
        self.runbook.steps[step.index()].necessity == Necessity::Required
    }

    /// Whether nothing is to be seen between its start and its end.
    pub(super) fn is_inert(&self, step: &Step) -> bool {
        let commit = step.phase == Phase::Commit;
        self.acts[step.id.index()].is_empty() && step.fence.is_none() && !commit
    }

    pub(super) fn users(&self, store: &ComponentId) -> impl Iterator<Item = &'a ComponentId> {
        let workloads = self.file.workloads.iter();
        workloads
            .filter(move |(_, workload)| workload.uses.iter().any(|used| used.store == *store))
            .map(|(name, _)| name)
    }

    pub(super) fn from(&self, store: &ComponentId) -> Option<Epoch> {
        self.runbook.epochs.get(store).map(|epochs| epochs.from)
    }
}

fn initial(runbook: &Runbook) -> Vec<Live<'_>> {
    let mut lives = Vec::new();
    for (name, weights) in &runbook.before {
        let epoch = runbook
            .epochs
            .get(name)
            .map_or(Epoch(0), |epochs| epochs.from);
        for site in active(weights) {
            lives.push(Live {
                name,
                site,
                epoch,
                source: Source::Initial,
            });
        }
    }
    lives
}

fn together<'a>(
    runbook: &'a Runbook,
    file: &'a PlanFile,
) -> BTreeMap<&'a ComponentId, BTreeSet<&'a ComponentId>> {
    let mut together: BTreeMap<&ComponentId, BTreeSet<&ComponentId>> = BTreeMap::new();
    if !matches!(runbook.mode, MoveMode::Switchover | MoveMode::Restore) {
        return together;
    }
    let copied = |name: &&ComponentId| file.stores.get(*name).is_none_or(|store| !store.disposable);
    for name in runbook.epochs.keys() {
        let own = Some(name).filter(copied);
        together.entry(name).or_default().extend(own);
    }
    for (_, stores) in topology::groups(file) {
        let moving = stores
            .iter()
            .filter(|name| runbook.epochs.contains_key(**name));
        let moving: Vec<&ComponentId> = moving.copied().collect();
        for name in &moving {
            let others = moving.iter().copied().filter(copied);
            together.entry(name).or_default().extend(others);
        }
    }
    together
}
