//! What Mainstay remembers between runs: placement, epochs, what was granted.
//! Must not know the truth.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_engine::{Run, StepState};
use mainstay_model::{
    Body, ComponentId, Epoch, Op, Phase, RouteFacts, RunbookHash, SiteId, Undo, Weights,
};

use super::NONE;
use crate::topology::Topology;

/// The memory.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    pub(crate) placement: BTreeMap<ComponentId, Weights>,
    epochs: BTreeMap<ComponentId, Epoch>,
    granted: BTreeMap<ComponentId, Epoch>,
    /// The last that was seen of each route.
    pub(crate) routes: BTreeMap<ComponentId, RouteFacts>,
    /// The routes as the last plan was told of them.
    pub(crate) shown: BTreeMap<ComponentId, RouteFacts>,
    pub(crate) quarantined: BTreeSet<SiteId>,
    /// What was seen a while ago and is not yet used.
    pub(crate) glance: Option<mainstay_planner::Observed>,
    /// The last runbook, to be mixed up with others.
    pub(crate) last_hash: Option<RunbookHash>,
}

impl Registry {
    /// Everything is where the plan file says, at epoch one.
    pub(crate) fn new(topology: &Topology) -> Self {
        let first = || topology.stores.iter().map(|name| (name.clone(), Epoch(1)));
        Self {
            placement: topology.file.placement.clone(),
            epochs: first().collect(),
            granted: first().collect(),
            routes: BTreeMap::new(),
            shown: BTreeMap::new(),
            quarantined: BTreeSet::new(),
            glance: None,
            last_hash: None,
        }
    }

    /// The store's epoch.
    pub(crate) fn epoch(&self, store: &ComponentId) -> Epoch {
        self.epochs.get(store).copied().unwrap_or(NONE)
    }

    /// The greatest epoch that was ever given away.
    pub(crate) fn granted(&self, store: &ComponentId) -> Epoch {
        self.granted.get(store).copied().unwrap_or(NONE)
    }

    /// An epoch was given away.
    pub(crate) fn grant(&mut self, store: &ComponentId, epoch: Epoch) {
        let known = self.granted.entry(store.clone()).or_default();
        *known = (*known).max(epoch);
    }

    /// A store is open there at that epoch.
    pub(crate) fn opened(&mut self, store: &ComponentId, site: &SiteId, epoch: Epoch) {
        if epoch >= self.epoch(store) {
            self.epochs.insert(store.clone(), epoch);
            self.placement
                .insert(store.clone(), Weights::from([(site.clone(), 100)]));
            self.grant(store, epoch);
        }
    }

    /// Learns from what a run's steps say of themselves.
    pub(crate) fn learn(&mut self, run: &Run) {
        let runbook = run.runbook().clone();
        let mut opened: BTreeMap<ComponentId, (Epoch, SiteId)> = BTreeMap::new();
        for (step, view) in runbook.steps.iter().zip(run.steps()) {
            let Some(component) = step.subject.component() else {
                continue;
            };
            let did = matches!(view.state, StepState::Succeeded | StepState::Already);
            let undone = view.state == StepState::Undone;
            let forward = match &step.body {
                Body::Act(action) if did => Some(&action.op),
                _ => None,
            };
            let back = match &step.undo {
                Undo::Act { action, .. } if undone => Some(&action.op),
                _ => None,
            };
            for op in forward.into_iter().chain(back) {
                if let Op::Promote(epoch) | Op::Unseal(epoch) = op {
                    let known = opened.get(component).map_or(NONE, |(epoch, _)| *epoch);
                    if *epoch > known {
                        opened.insert(component.clone(), (*epoch, step.site.clone()));
                    }
                }
            }
        }
        for (store, (epoch, site)) in &opened {
            self.opened(store, site, *epoch);
        }
        if run.is_committed() && runbook.mode != mainstay_model::MoveMode::Reprotect {
            let moved = runbook.target.iter();
            for (component, weights) in moved {
                if !self.epochs.contains_key(component) {
                    self.placement.insert(component.clone(), weights.clone());
                }
            }
            self.quarantined.extend(
                (runbook.mode == mainstay_model::MoveMode::Failover)
                    .then(|| runbook.leaves.clone())
                    .into_iter()
                    .flatten(),
            );
        }
        if runbook.mode == mainstay_model::MoveMode::Reprotect {
            let rebuilt = runbook.steps.iter().filter(|it| it.phase == Phase::Rebuild);
            for step in rebuilt {
                self.quarantined.remove(&step.site);
            }
        }
        self.last_hash = Some(run.created().runbook.clone());
    }
}
