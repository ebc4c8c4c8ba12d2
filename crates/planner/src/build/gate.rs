//! Gate, provision, hold: what must be seen, created and held before anything else happens.
//! Must not know stores' moves beyond their names.

use std::collections::BTreeSet;

use mainstay_model::{
    Body, ComponentId, Draft, Epoch, Goal, KindName, Necessity, Phase, Position, Predicate,
    Question, RecoveryPoint, Scope, SiteId, Span, Standby, Subject, Undo, Wanted, WorkloadRole,
};

use super::context::{Build, advisory, goal_at, without_undo};
use crate::{
    graph::{Layer, NodeId, Place, nothing},
    loss,
    target::StoreMove,
};

/// At most so many steps look at stores.
const MOST_GATES: usize = 16;

impl<'a> Build<'a> {
    /// The sites that the move acts on and that it needs.
    pub(crate) fn sites_needed(&self) -> BTreeSet<SiteId> {
        let mut sites = BTreeSet::from([self.control.clone()]);
        for store in self.moves.stores.values() {
            sites.insert(store.to.clone());
            if !self.forced() {
                sites.insert(store.from.clone());
            }
        }
        for workload in self.moves.workloads.values() {
            sites.extend(workload.arriving.iter().cloned());
            if !self.forced() {
                sites.extend(workload.leaving.iter().cloned());
                sites.extend(workload.staying.iter().cloned());
            }
        }
        sites
    }

    /// Agents, epochs and recovery points, looked at again when the run starts.
    pub(crate) fn gate(&mut self) {
        let mut checks = Vec::new();
        for site in self.sites_needed() {
            if let Some(goal) = reachable(&site) {
                let place = Place {
                    subject: Subject::Site(site.clone()),
                    ..Place::system(Phase::Gate)
                };
                let draft = Self::check(&site, vec![goal]);
                checks.push(self.graph.add(place, draft, Vec::new()));
            }
        }
        checks.extend(self.store_gates());
        self.gate = self.join(Place::system(Phase::Gate), checks);
        self.held = self.gate;
    }

    /// A step for each store; in a large system for several at once, so that the gate stays narrow.
    fn store_gates(&mut self) -> Vec<NodeId> {
        let moves = self.moves;
        let forced = self.forced();
        let looks = moves.stores.iter().filter_map(|(name, store)| {
            let goals = self.store_gate(name, store);
            let site = if forced { &store.to } else { &store.from };
            (!goals.is_empty()).then_some((name, site, goals))
        });
        let looks: Vec<(&ComponentId, &SiteId, Vec<Goal>)> = looks.collect();
        let width = looks.len().div_ceil(MOST_GATES).max(1);
        let mut gates = Vec::new();
        for several in looks.chunks(width) {
            let place = match several {
                [(name, ..)] => Place::of(Phase::Gate, name),
                _ => Place::system(Phase::Gate),
            };
            let goals = several
                .iter()
                .flat_map(|(_, _, goals)| goals.iter().cloned());
            if let Some((_, site, _)) = several.first() {
                let draft = Self::check(site, goals.collect());
                gates.push(self.graph.add(place, draft, Vec::new()));
            }
        }
        gates
    }

    fn store_gate(&self, name: &ComponentId, store: &StoreMove) -> Vec<Goal> {
        let file = self.file;
        let goal = |site: &SiteId, is| goal_at(file, name, site, is);
        if self.forced() {
            let accepted = self.accepted_point(name, store);
            return accepted
                .and_then(|is| goal(&store.to, is))
                .into_iter()
                .collect();
        }
        let open = goal(&store.from, Predicate::Open(store.epochs.from));
        let declared = file.stores.get(name);
        let moving = store.from != store.to;
        let has_copy =
            declared.is_some_and(|store| moving && store.copy.is_some() && !store.disposable);
        let copies = has_copy.then(|| Predicate::Copies {
            of: store.from.clone(),
            within: Span::MAX,
        });
        let copies = copies.and_then(|is| goal(&store.to, is));
        // A replan after a seal: the store is sealed already, and a look must not ask it to be open.
        let sealed = self.is_sealed(name, &store.from, store.epochs.from);
        open.filter(|_| !sealed).into_iter().chain(copies).collect()
    }

    /// The recovery point that was accepted, as a goal: whoever acts on the acceptance sees that it is still there (I9).
    pub(crate) fn accepted_point(
        &self,
        name: &ComponentId,
        store: &StoreMove,
    ) -> Option<Predicate> {
        let sample = self.observed.stores.get(name)?.at.get(&store.to)?;
        let RecoveryPoint { position, .. } = loss::point(sample, &store.from)?;
        Some(match position {
            // Digests have no order; that there is a copy of that source is all that can be asked.
            Position::Digest(_) => Predicate::Copies {
                of: store.from.clone(),
                within: Span::MAX,
            },
            ordered => Predicate::CaughtUp(Wanted::Position(ordered)),
        })
    }

    fn is_sealed(&self, name: &ComponentId, site: &SiteId, from: Epoch) -> bool {
        let Some(now) = self.observed.stores.get(name) else {
            return false;
        };
        let facts = now
            .at
            .get(site)
            .and_then(|sample| sample.facts()?.store.as_ref());
        facts.is_some_and(|facts| {
            facts.access == mainstay_model::Access::Sealed
                && facts.mark.as_ref().is_some_and(|mark| mark.epoch >= from)
        })
    }

    /// Creates what does not exist at the target yet.
    pub(crate) fn provision(&mut self) {
        let mut cold: Vec<(&'a ComponentId, &'a SiteId)> = Vec::new();
        let moves = self.moves;
        for (name, store) in &moves.stores {
            let declared = self.file.stores.get(name);
            if declared.is_some_and(|declared| declared.standby == Standby::Cold) {
                cold.push((name, &store.to));
            }
        }
        for (name, workload) in &moves.workloads {
            let declared = self.workload(name);
            if declared.is_some_and(|declared| declared.standby == Standby::Cold) {
                cold.extend(workload.arriving.iter().map(|site| (name, site)));
            }
        }
        let mut made = Vec::new();
        for (name, site) in cold {
            let drafts = self.drafts(name, Phase::Provision, site);
            let place = Place::of(Phase::Provision, name);
            if let Some(node) = self.graph.chain(&place, drafts, &[self.gate]) {
                self.provisioned.insert(name, node);
                made.push(node);
            }
        }
        self.held = self.join_or(Place::system(Phase::Provision), made, self.gate);
    }

    /// Schedulers start no new work, on either side.
    pub(crate) fn hold(&mut self) {
        let ready = self.held;
        let mut held = Vec::new();
        for name in self.moves.workloads.keys() {
            if self.is_scheduler(name) {
                held.extend(self.hold_scheduler(name, ready));
            }
        }
        self.held = self.join_or(Place::system(Phase::Hold), held, ready);
    }

    fn hold_scheduler(&mut self, name: &'a ComponentId, ready: NodeId) -> Vec<NodeId> {
        let Some(movement) = self.moves.workloads.get(name) else {
            return Vec::new();
        };
        let active = movement.leaving.iter().chain(&movement.staying);
        let active: BTreeSet<&SiteId> = active.collect();
        let sites: BTreeSet<&SiteId> = active.iter().copied().chain(&movement.arriving).collect();
        let place = Place::of(Phase::Hold, name);
        let mut held = Vec::new();
        for site in sites {
            let answers = self.observed.answers(site);
            if self.forced() && !answers {
                held.extend(self.vouch(name, site));
                continue;
            }
            let mut drafts = self.drafts(name, Phase::Hold, site);
            // Only where it worked before may a retreat let it work again.
            if !active.contains(site) {
                drafts = without_undo(drafts);
            }
            if self.forced() && active.contains(site) && self.stores_are_fenced(name) {
                drafts = advisory(drafts);
            }
            held.extend(self.graph.chain(&place, drafts, &[ready]));
        }
        held
    }

    /// A workload whose every store is fenced in this run can do no harm.
    pub(crate) fn stores_are_fenced(&self, name: &ComponentId) -> bool {
        self.workload(name).is_some_and(|workload| {
            let mut uses = workload.uses.iter();
            let fenced = uses.all(|used| self.moves.stores.contains_key(&used.store));
            self.forced() && fenced && !workload.uses.is_empty()
        })
    }

    /// Nobody can reach a scheduler that no store's fence stops: a person has to say that it is dead.
    fn vouch(&mut self, name: &ComponentId, site: &SiteId) -> Option<NodeId> {
        let declared = self.workload(name)?;
        if declared.role != WorkloadRole::Scheduler || self.stores_are_fenced(name) {
            return None;
        }
        let body = Body::Ask(Question {
            text: format!(
                "nothing can prove that {name} starts no more work at {site}: is that site powered off or cut off?"
            ),
            yes: format!("a person vouches that {name} does not work at {site}"),
        });
        let draft = Draft {
            body,
            site: site.clone(),
            undo: Undo::Irreversible,
            necessity: Necessity::Required,
            estimate: Span::from_secs(300),
            ..nothing(&self.control)
        };
        let place = Place::of(Phase::Fence, name).in_layer(Layer::Hold);
        Some(self.graph.add(place, draft, vec![self.gate]))
    }
}

/// The goal that a site's agent answers, asked of itself.
pub(super) fn reachable(site: &SiteId) -> Option<Goal> {
    Some(Goal {
        scope: Scope {
            driver: KindName::new("agent").ok()?,
            subject: Subject::Site(site.clone()),
            site: site.clone(),
            from: site.clone(),
        },
        is: Predicate::Reachable,
    })
}
