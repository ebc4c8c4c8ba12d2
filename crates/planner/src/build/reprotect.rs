//! Hold, stop, salvage, rebuild, protect, restart: a site that was left becomes a proven copy again.
//! Must not know moves: in a reprotect nothing changes hands.

use std::collections::BTreeSet;

use mainstay_model::{ComponentId, Phase, Predicate, SiteId, Standby, Step, Subject};

use super::context::{Build, advisory, goal_at, without_undo};
use crate::{
    Divergence,
    graph::{Layer, NodeId, Place, nothing},
    target::{StoreMove, active},
};

impl<'a> Build<'a> {
    /// All phases of a reprotect of that site.
    pub(crate) fn whole_reprotect(mut self, site: &SiteId, divergence: &Divergence) -> Vec<Step> {
        self.reprotect_gate(site);
        let users = self.idle_users(site);
        self.rest_at(site, &users);
        let moves = self.moves;
        let mut protected = Vec::new();
        for (name, store) in &moves.stores {
            protected.push(self.rebuild(name, store, divergence));
        }
        let whole = self.join(Place::system(Phase::Protect), protected);
        for name in users {
            self.restart(name, site, whole);
        }
        self.team_steps();
        self.number()
    }

    fn reprotect_gate(&mut self, site: &SiteId) {
        let moves = self.moves;
        let owners = moves.stores.values().map(|store| &store.from);
        let mut checks = Vec::new();
        for site in owners.chain([site]).collect::<BTreeSet<_>>() {
            if let Some(goal) = super::gate::reachable(site) {
                let place = Place {
                    subject: Subject::Site(site.clone()),
                    ..Place::system(Phase::Gate)
                };
                let draft = Self::check(site, vec![goal]);
                checks.push(self.graph.add(place, draft, Vec::new()));
            }
        }
        for (name, store) in &moves.stores {
            let open = Predicate::Open(store.epochs.from);
            let goals = goal_at(self.file, name, &store.from, open).into_iter();
            let draft = Self::check(&store.from, goals.collect());
            checks.push(
                self.graph
                    .add(Place::of(Phase::Gate, name), draft, Vec::new()),
            );
        }
        self.gate = self.join(Place::system(Phase::Gate), checks);
        self.held = self.gate;
    }

    /// Users of the rebuilt stores that are declared at the site and not active there.
    fn idle_users(&self, site: &SiteId) -> Vec<&'a ComponentId> {
        let stores = self.moves.stores.keys();
        let users: BTreeSet<&ComponentId> = stores
            .flat_map(|name| self.topology.users_of(name))
            .copied()
            .collect();
        let order = self.topology.start_order.iter().copied();
        let idle = order.filter(|name| {
            let declared = self
                .workload(name)
                .is_some_and(|w| w.declared.at.contains_key(site));
            let placed = self.moves.before.get(*name);
            let here = placed.is_some_and(|weights| active(weights).any(|at| at == site));
            users.contains(name) && declared && !here
        });
        idle.collect()
    }

    /// Nothing works on what is about to be overwritten.
    fn rest_at(&mut self, site: &SiteId, users: &[&'a ComponentId]) {
        let mut rested = Vec::new();
        for name in users.iter().rev() {
            let mut after = self.gate;
            if self.is_scheduler(name) {
                let drafts = without_undo(self.drafts(name, Phase::Hold, site));
                let place = Place::of(Phase::Hold, name);
                after = self.graph.chain(&place, drafts, &[after]).unwrap_or(after);
            }
            let drafts = without_undo(self.drafts(name, Phase::Quiesce, site));
            let place = Place::of(Phase::Quiesce, name);
            rested.push(self.graph.chain(&place, drafts, &[after]).unwrap_or(after));
        }
        self.held = self.join_or(Place::system(Phase::Quiesce), rested, self.gate);
    }

    fn rebuild(
        &mut self,
        name: &'a ComponentId,
        store: &StoreMove,
        divergence: &Divergence,
    ) -> NodeId {
        let salvage = match divergence {
            Divergence::Salvage => self.drafts(name, Phase::Salvage, &store.to),
            Divergence::Discard { .. } => vec![nothing(&store.to)],
        };
        let rebuild = self.drafts(name, Phase::Rebuild, &store.to);
        let saved = |build: &mut Self, after: NodeId| {
            let place = Place::of(Phase::Salvage, name);
            let last = build.graph.chain(&place, salvage, &[after]);
            last.unwrap_or(after)
        };
        let remade = |build: &mut Self, after: NodeId| {
            let place = Place::of(Phase::Rebuild, name);
            let last = build.graph.chain(&place, rebuild, &[after]);
            last.unwrap_or(after)
        };
        let start = self.held;
        let last = if self.bug("rebuild-before-salvage") {
            saved(self, start);
            remade(self, start)
        } else {
            let after = saved(self, start);
            remade(self, after)
        };
        if self.bug("no-protect-check") {
            return last;
        }
        let drafts = self.drafts(name, Phase::Protect, &store.to);
        let place = Place::of(Phase::Protect, name);
        self.graph.chain(&place, drafts, &[last]).unwrap_or(last)
    }

    /// A hot standby serves again. A warm one has nothing to serve from, and a scheduler stays at rest.
    fn restart(&mut self, name: &'a ComponentId, site: &SiteId, after: NodeId) {
        let standby = self.workload(name).map(|workload| workload.standby);
        if self.is_scheduler(name) || standby != Some(Standby::Hot) {
            return;
        }
        let earlier = self
            .workload(name)
            .into_iter()
            .flat_map(|workload| &workload.after);
        let mut ready: Vec<NodeId> = earlier
            .filter_map(|name| self.up.get(name).copied())
            .collect();
        ready.push(after);
        let drafts = advisory(without_undo(self.drafts(name, Phase::Activate, site)));
        let place = Place::of(Phase::Activate, name).in_layer(Layer::Restart);
        if let Some(node) = self.graph.chain(&place, drafts, &ready) {
            self.up.insert(name, node);
        }
    }
}
