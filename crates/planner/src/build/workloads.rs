//! Quiesce, activate, rebind, verify: workloads stop in reverse start order and start again in start order.
//! Must not know how stores move.

use mainstay_model::{
    Body, ComponentId, Draft, Necessity, Op, OutputRef, Phase, SiteId, Undo, WorkloadRole,
};

use super::context::{Build, advisory, without_undo};
use crate::{
    graph::{Layer, NodeId, Place},
    target::{UsedStores, WorkloadMove},
};

impl<'a> Build<'a> {
    /// Stops every workload that uses a moving store. In a failover: those at a site that is left and still answers.
    pub(crate) fn stop_workloads(&mut self) {
        let (topology, moves) = (self.topology, self.moves);
        for name in topology.start_order.iter().rev() {
            let Some((name, movement)) = moves.workloads.get_key_value(*name) else {
                continue;
            };
            let stopped = if self.forced() {
                self.stop_what_answers(name, movement)
            } else if movement.stores == UsedStores::Move {
                self.quiesce(name, movement)
            } else {
                Vec::new()
            };
            if !stopped.is_empty() {
                let node = self.join(Place::of(Phase::Quiesce, name), stopped);
                self.stopped.insert(name, node);
            }
        }
    }

    fn quiesce(&mut self, name: &'a ComponentId, movement: &WorkloadMove) -> Vec<NodeId> {
        let fronts = self.topology.fronts_of(name).iter();
        let mut after: Vec<NodeId> = fronts
            .filter_map(|route| self.drained.get(route).copied())
            .collect();
        let followers = self.topology.followers_of(name).iter();
        after.extend(followers.filter_map(|follower| self.stopped.get(follower).copied()));
        if after.is_empty() {
            after.push(self.held);
        }
        let mut stopped = Vec::new();
        for site in movement.leaving.iter().chain(&movement.staying) {
            let drafts = self.drafts(name, Phase::Quiesce, site);
            stopped.extend(
                self.graph
                    .chain(&Place::of(Phase::Quiesce, name), drafts, &after),
            );
        }
        for site in &movement.idle {
            let mut drafts = self.drafts(name, Phase::Quiesce, site);
            // A scheduler that was at rest stays at rest after a retreat.
            if !self.ran_already(name, site) || self.is_scheduler(name) {
                drafts = without_undo(drafts);
            }
            stopped.extend(
                self.graph
                    .chain(&Place::of(Phase::Quiesce, name), drafts, &after),
            );
        }
        stopped
    }

    fn stop_what_answers(&mut self, name: &ComponentId, movement: &WorkloadMove) -> Vec<NodeId> {
        let mut stopped = Vec::new();
        for site in &movement.leaving {
            if !self.observed.answers(site) {
                continue;
            }
            let mut drafts = self.drafts(name, Phase::Fence, site);
            if self.stores_are_fenced(name) || !self.is_scheduler(name) {
                drafts = advisory(drafts);
            }
            let place = Place::of(Phase::Fence, name).in_layer(Layer::Quiesce);
            stopped.extend(self.graph.chain(&place, drafts, &[self.gate]));
        }
        stopped
    }

    /// Starts workloads at the target and reconnects those that stay, in start order.
    pub(crate) fn start_workloads(&mut self) {
        let (topology, moves) = (self.topology, self.moves);
        for name in &topology.start_order {
            let Some((name, movement)) = moves.workloads.get_key_value(*name) else {
                continue;
            };
            let after = self.ready_for(name);
            let mut up = Vec::new();
            for site in &movement.arriving {
                let drafts = self.activation(name, movement, site);
                let place = Place::of(Phase::Activate, name);
                up.extend(self.start(&place, drafts, &after));
            }
            if movement.stores == UsedStores::Move {
                let again = movement.staying.iter().chain(movement.idle.iter());
                for site in again.filter(|site| !movement.arriving.contains(site)) {
                    if self.forced() && !self.observed.answers(site) {
                        continue;
                    }
                    let drafts = self.rebinding(name, site);
                    let place = Place::of(Phase::Rebind, name);
                    up.extend(self.start(&place, drafts, &after));
                }
            }
            if !up.is_empty() {
                let place = Place::of(Phase::Activate, name);
                let node = self.join(place, up);
                self.up.insert(name, node);
            }
        }
    }

    fn start(&mut self, place: &Place, drafts: Vec<Draft>, after: &[NodeId]) -> Option<NodeId> {
        let name = place.subject.component();
        let made = name.and_then(|name| self.provisioned.get(name).copied());
        let node = self.graph.chain(place, drafts, after)?;
        if let Some(made) = made {
            let input: OutputRef = made.output();
            self.graph.nodes[node.0 as usize].inputs.push(input);
        }
        Some(node)
    }

    /// What a workload waits for before it starts: its stores, their routes, what it starts after, its own creation.
    fn ready_for(&self, name: &ComponentId) -> Vec<NodeId> {
        let mut after = Vec::new();
        if let Some(workload) = self.workload(name) {
            for used in &workload.uses {
                after.extend(self.ready.get(&used.store));
                after.extend(used.via.as_ref().and_then(|via| self.shifted.get(via)));
            }
            for earlier in &workload.after {
                after.extend(self.up.get(earlier));
            }
        }
        // Whoever waits for a store waits for every hold; a scheduler that does not, still must.
        let by_stores = !after.is_empty();
        after.extend(self.provisioned.get(name));
        if after.is_empty() || (self.is_scheduler(name) && !by_stores) {
            after.push(self.held);
        }
        after
    }

    fn activation(&self, name: &ComponentId, movement: &WorkloadMove, site: &SiteId) -> Vec<Draft> {
        let mut drafts = self.drafts(name, Phase::Activate, site);
        let scheduler = self.is_scheduler(name);
        let stopped_here = movement.idle.contains(site);
        if self.ran_already(name, site) && !stopped_here && !scheduler {
            drafts = without_undo(drafts);
        }
        self.as_required_workload(name, drafts)
    }

    /// Reconnects. Before a retreat gives the store back, whoever reconnected is stopped again.
    fn rebinding(&self, name: &ComponentId, site: &SiteId) -> Vec<Draft> {
        let mut drafts = self.drafts(name, Phase::Rebind, site);
        let stop = self.drafts(name, Phase::Quiesce, site).pop();
        let undo = stop.and_then(|draft| match draft.body {
            Body::Act(action) if action.op == Op::Stop => Some(Undo::Act {
                action,
                goals: draft.goals,
            }),
            _ => None,
        });
        if let (Some(undo), Some(last)) = (undo, drafts.last_mut())
            && last.undo == Undo::Nothing
        {
            last.undo = undo;
        }
        self.as_required_workload(name, drafts)
    }

    fn as_required_workload(&self, name: &ComponentId, drafts: Vec<Draft>) -> Vec<Draft> {
        if self
            .workload(name)
            .is_some_and(|workload| !workload.required)
        {
            return advisory(drafts);
        }
        drafts
    }

    /// The application's own read-only checks.
    pub(crate) fn verify(&mut self) {
        let moves = self.moves;
        for (name, movement) in &moves.workloads {
            let Some(up) = self.up.get(name).copied() else {
                continue;
            };
            let mut sites: Vec<&SiteId> = movement.arriving.iter().collect();
            if movement.stores == UsedStores::Move {
                let answers = |site: &&SiteId| !self.forced() || self.observed.answers(site);
                sites.extend(movement.staying.iter().filter(answers));
            }
            for site in sites {
                let drafts = self.drafts(name, Phase::Verify, site);
                let drafts = self.as_required_workload(name, drafts);
                self.graph
                    .chain(&Place::of(Phase::Verify, name), drafts, &[up]);
            }
        }
    }

    /// Schedulers work again where they belong, last.
    pub(crate) fn release(&mut self, shifted: NodeId) {
        let moves = self.moves;
        for (name, movement) in &moves.workloads {
            let scheduler = self.workload(name).map(|workload| workload.role);
            if scheduler != Some(WorkloadRole::Scheduler) {
                continue;
            }
            let after = if self.bug("release-before-hold") {
                self.gate
            } else {
                shifted
            };
            for site in movement.arriving.iter().chain(&movement.staying) {
                if self.forced() && !self.observed.answers(site) {
                    continue;
                }
                let drafts = without_undo(self.drafts(name, Phase::Release, site));
                let drafts = self.as_required_workload(name, drafts);
                self.graph
                    .chain(&Place::of(Phase::Release, name), drafts, &[after]);
            }
        }
    }

    /// A workload that had no store to wait for served on at the old site until traffic had left it.
    pub(crate) fn retire(&mut self, shifted: NodeId) {
        let moves = self.moves;
        for (name, movement) in &moves.workloads {
            if self.forced() {
                break;
            }
            let mut gone = Vec::new();
            if movement.stores == UsedStores::Stay {
                for site in &movement.leaving {
                    let drafts = without_undo(self.drafts(name, Phase::Quiesce, site));
                    let place = Place::of(Phase::Quiesce, name).in_layer(Layer::Retire);
                    gone.extend(self.graph.chain(&place, drafts, &[shifted]));
                }
            }
            if gone.is_empty() {
                gone.push(shifted);
            }
            for site in &movement.leaving {
                let mut drafts = self.drafts(name, Phase::Sweep, site);
                for draft in &mut drafts {
                    draft.necessity = Necessity::Advisory;
                }
                self.graph
                    .chain(&Place::of(Phase::Sweep, name), drafts, &gone);
            }
        }
    }
}
