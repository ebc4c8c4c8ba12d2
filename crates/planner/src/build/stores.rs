//! Seal or fence, recover-source, catch-up, promote, reconcile: how stores move, a cluster of groups at a time.
//! Must not know workloads beyond their names.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_model::{
    Action, Body, ComponentId, Draft, Epoch, Fence, Goal, GroupId, KindName, OnSkew, Op, Phase,
    Predicate, RecoveryTarget, Skew, Span, Subject, Undo,
};

use super::context::{Build, goal_at};
use crate::{
    Past,
    graph::{Layer, NodeId, Place, nothing},
    target::StoreMove,
    topology,
};

/// The stores of one cluster on their way.
struct Cluster<'a> {
    stores: Vec<&'a ComponentId>,
    /// Where each store is shut at its source.
    shut: BTreeMap<&'a ComponentId, NodeId>,
    /// The last step before each store's promote.
    prepared: Vec<NodeId>,
}

impl<'a> Build<'a> {
    /// Moves every store.
    pub(crate) fn move_stores(&mut self) {
        let moves = self.moves;
        let clusters = topology::clusters(self.file, |name| moves.stores.contains_key(name));
        let clusters: Vec<Cluster<'a>> = clusters
            .into_iter()
            .map(|stores| self.prepare(stores))
            .collect();
        for cluster in &clusters {
            self.promote(cluster);
        }
        self.shift_stores();
        self.reconcile(&clusters);
    }

    /// Up to the point where every store of the cluster could be promoted.
    fn prepare(&mut self, stores: Vec<&'a ComponentId>) -> Cluster<'a> {
        let quiesced = self.quiesced(&stores);
        let mut cluster = Cluster {
            stores,
            shut: BTreeMap::new(),
            prepared: Vec::new(),
        };
        let moves = self.moves;
        for name in cluster.stores.clone() {
            let Some(store) = moves.stores.get(name) else {
                continue;
            };
            let shut = if self.forced() {
                self.fence(name, store)
            } else {
                self.seal(name, store, quiesced)
            };
            let before = shut.unwrap_or(quiesced);
            if let Some(shut) = shut {
                cluster.shut.insert(name, shut);
            }
            let drafts = self.drafts(name, Phase::RecoverSource, &store.from);
            let place = Place::of(Phase::RecoverSource, name);
            let before = self
                .graph
                .chain(&place, drafts, &[before])
                .unwrap_or(before);
            let copied = self.catch_up(name, store, shut, before);
            cluster.prepared.push(copied.unwrap_or(before));
        }
        cluster
    }

    /// Reached when every user of any store of the cluster has stopped.
    fn quiesced(&mut self, stores: &[&ComponentId]) -> NodeId {
        let fallback = if self.forced() { self.gate } else { self.held };
        if self.forced() || self.bug("seal-before-quiesce") {
            return fallback;
        }
        let users = stores.iter().flat_map(|name| self.topology.users_of(name));
        let users: BTreeSet<&ComponentId> = users.copied().collect();
        let stopped = users.iter().filter_map(|user| self.stopped.get(user));
        let stopped: Vec<NodeId> = stopped.copied().collect();
        self.join_or(Place::system(Phase::Quiesce), stopped, fallback)
    }

    fn seal(&mut self, name: &ComponentId, store: &StoreMove, after: NodeId) -> Option<NodeId> {
        let mut drafts = self.drafts(name, Phase::Seal, &store.from);
        if self.bug("seal-without-undo") {
            drafts = super::context::without_undo(drafts);
        }
        self.graph
            .chain(&Place::of(Phase::Seal, name), drafts, &[after])
    }

    fn fence(&mut self, name: &ComponentId, store: &StoreMove) -> Option<NodeId> {
        if self.bug("skip-fence") {
            return None;
        }
        let mut mv = self.movement(name, &store.from);
        mv.fencer = self.fencer(name, store);
        if let (true, Some(epochs)) = (self.bug("fence-too-low"), &mut mv.epochs) {
            epochs.to = epochs.from;
        }
        let lease = self.file.stores.get(name).and_then(|store| store.lease);
        let by_lease = mv
            .fencer
            .as_ref()
            .is_some_and(|kind| kind.as_str() == LEASE);
        let mut drafts = self.lower(name, Phase::Fence, &mv);
        for draft in &mut drafts {
            match (&draft.body, lease) {
                (Body::Ask(_), _) => draft.estimate = Span::from_secs(300),
                (_, Some(lease)) if by_lease => {
                    draft.estimate = lease;
                    draft.timeout = Some(lease.saturating_add(Span::from_secs(120)));
                }
                _ => {}
            }
        }
        self.graph
            .chain(&Place::of(Phase::Fence, name), drafts, &[self.gate])
    }

    /// Who shuts out the writers of a store at a site: its own agent, the end of the store's lease, another fencer
    /// of the site, or nobody, and then a person is asked.
    fn fencer(&self, name: &ComponentId, store: &StoreMove) -> Option<KindName> {
        let site = self.file.sites.get(&store.from);
        let fencers = site.map_or(&[][..], |site| site.fence.as_slice());
        let agent = fencers.iter().find(|fencer| fencer.kind.as_str() == AGENT);
        if let (Some(agent), true) = (agent, self.observed.answers(&store.from)) {
            return Some(agent.kind.clone());
        }
        let lease = self.file.stores.get(name).and_then(|store| store.lease);
        if lease.is_some() {
            return KindName::new(LEASE).ok();
        }
        let other = fencers.iter().find(|fencer| fencer.kind.as_str() != AGENT);
        other.map(|fencer| fencer.kind.clone())
    }

    /// Copies the rest, or restores a backup where a forced move finds no copy.
    fn catch_up(
        &mut self,
        name: &ComponentId,
        store: &StoreMove,
        shut: Option<NodeId>,
        after: NodeId,
    ) -> Option<NodeId> {
        let declared = self.file.stores.get(name)?;
        if declared.disposable {
            return None;
        }
        let drafts = if let Some(past) = self.moves.past.get(name) {
            return self.go_back(name, store, past, shut, after);
        } else if self.forced() {
            self.restore(name, store).into_iter().collect()
        } else {
            let mut mv = self.movement(name, &store.to);
            mv.sealed_by = shut.map(NodeId::output);
            self.lower(name, Phase::CatchUp, &mv)
        };
        self.graph
            .chain(&Place::of(Phase::CatchUp, name), drafts, &[after])
    }

    fn restore(&self, name: &ComponentId, store: &StoreMove) -> Option<Draft> {
        let declared = self.file.stores.get(name)?;
        let backup = declared.backup.first()?;
        if declared.copy.is_some() {
            return None;
        }
        let goal = Predicate::Copies {
            of: store.from.clone(),
            within: Span::MAX,
        };
        Some(Draft {
            body: Body::Act(Action {
                driver: declared.declared.kind.clone(),
                subject: Subject::Component(name.clone()),
                site: store.to.clone(),
                op: Op::Restore {
                    from: backup.to.clone(),
                    target: RecoveryTarget::Newest,
                },
            }),
            goals: goal_at(self.file, name, &store.to, goal)
                .into_iter()
                .collect(),
            estimate: Span::from_secs(60),
            ..nothing(&store.to)
        })
    }

    /// What there is now is saved, so that nothing is destroyed and the way back stays open; then the earlier state
    /// takes its place.
    fn go_back(
        &mut self,
        name: &ComponentId,
        store: &StoreMove,
        past: &Past,
        shut: Option<NodeId>,
        after: NodeId,
    ) -> Option<NodeId> {
        let driver = self.file.stores.get(name)?.declared.kind.clone();
        let action = |op: Op| Action {
            driver: driver.clone(),
            subject: Subject::Component(name.clone()),
            site: store.to.clone(),
            op,
        };
        let act = |op: Op, undo: Undo| Draft {
            body: Body::Act(action(op)),
            undo,
            fence: Some(Fence {
                store: name.clone(),
                epoch: store.epochs.from,
            }),
            timeout: Some(Span::from_secs(4 * 3600)),
            estimate: Span::from_secs(5),
            ..nothing(&store.to)
        };
        let save = Op::Backup {
            to: past.from.clone(),
        };
        let place = Place::of(Phase::Salvage, name).in_layer(Layer::of(Phase::CatchUp));
        let saved = self
            .graph
            .chain(&place, vec![act(save, Undo::Nothing)], &[after])?;
        let back = Op::Restore {
            from: past.from.clone(),
            target: past.target.clone(),
        };
        // What was saved just before is the newest.
        let undo = Undo::Act {
            action: action(Op::Restore {
                from: past.from.clone(),
                target: RecoveryTarget::Newest,
            }),
            goals: Vec::new(),
        };
        let place = Place::of(Phase::CatchUp, name);
        let node = self.graph.chain(&place, vec![act(back, undo)], &[saved])?;
        if let Some(shut) = shut {
            self.graph.nodes[node.0 as usize].inputs.push(shut.output());
        }
        Some(node)
    }

    fn promote(&mut self, cluster: &Cluster<'a>) {
        let place = Place::system(Phase::CatchUp);
        let whole = self.join(place, cluster.prepared.clone());
        let moves = self.moves;
        for (name, own) in cluster.stores.iter().zip(&cluster.prepared) {
            let Some(store) = moves.stores.get(*name) else {
                continue;
            };
            let mut after = vec![whole];
            if self.forced() {
                after.push(self.held);
            }
            if self.bug("promote-on-own-catch-up") {
                after = vec![*own];
            }
            if self.bug("promote-before-seal") {
                after = vec![self.held];
            }
            let mut drafts = self.drafts(name, Phase::Promote, &store.to);
            let requires = self.promote_requires(name, store, cluster.shut.get(name));
            for draft in &mut drafts {
                draft.requires.extend(requires.iter().cloned());
                if self.bug("no-token") {
                    draft.fence = None;
                }
                if let (true, Some(fence)) = (self.bug("old-token"), &mut draft.fence) {
                    fence.epoch = Epoch(store.epochs.from.0);
                }
            }
            if let Some(node) = self
                .graph
                .chain(&Place::of(Phase::Promote, name), drafts, &after)
            {
                self.promoted.insert(name, node);
            }
        }
    }

    /// Seen again right before writes are enabled: the source is shut, and what was accepted is still there.
    fn promote_requires(
        &self,
        name: &ComponentId,
        store: &StoreMove,
        shut: Option<&NodeId>,
    ) -> Vec<Goal> {
        let node = shut.and_then(|node| self.graph.nodes.get(node.0 as usize));
        let mut requires: Vec<Goal> = node.map_or_else(Vec::new, |node| node.draft.goals.clone());
        if self.forced()
            && let Some(is) = self.accepted_point(name, store)
        {
            requires.extend(goal_at(self.file, name, &store.to, is));
        }
        requires
    }

    /// The groups' own checks; after them the stores of a cluster may be used.
    fn reconcile(&mut self, clusters: &[Cluster<'a>]) {
        let mut checks: BTreeMap<&ComponentId, Vec<NodeId>> = BTreeMap::new();
        let file = self.file;
        for (name, group) in &file.groups {
            let stores = group.stores.iter();
            let promoted = stores.filter_map(|store| self.promoted.get(store).copied());
            let promoted: Vec<NodeId> = promoted.collect();
            let first = group.stores.iter().find(|s| self.promoted.contains_key(*s));
            if let (Some(first), Some(node)) = (first, self.group_check(name, &promoted)) {
                checks.entry(first).or_default().push(node);
            }
        }
        for cluster in clusters {
            let stores = cluster.stores.iter();
            let mut of: Vec<NodeId> = stores
                .clone()
                .filter_map(|name| self.promoted.get(*name).copied())
                .collect();
            of.extend(stores.filter_map(|name| checks.get(*name)).flatten());
            if !of.is_empty() {
                let ready = self.join(Place::system(Phase::Reconcile), of);
                self.ready
                    .extend(cluster.stores.iter().map(|name| (*name, ready)));
            }
        }
    }

    fn group_check(&mut self, name: &GroupId, promoted: &[NodeId]) -> Option<NodeId> {
        let group = self.file.groups.get(name)?;
        let check = group.check.as_ref()?;
        let mut moving = group.stores.iter();
        let (store, movement) =
            moving.find_map(|store| Some((store, self.moves.stores.get(store)?)))?;
        let mut mv = self.movement(check, &movement.to);
        mv.epochs = Some(movement.epochs);
        let mut drafts = self.lower(check, Phase::Reconcile, &mv);
        for draft in &mut drafts {
            draft.undo = Undo::Nothing;
            if let Body::Act(action) = &mut draft.body {
                // It may write, so it carries the epoch that was just promoted.
                draft.fence = Some(Fence {
                    store: store.clone(),
                    epoch: movement.epochs.to,
                });
                if let (Op::Reconcile { skew }, OnSkew::Rollback | OnSkew::Ask) =
                    (&mut action.op, group.on_skew)
                {
                    *skew = Skew::Refused;
                }
            }
        }
        let place = Place {
            subject: Subject::Group(name.clone()),
            ..Place::system(Phase::Reconcile)
        };
        self.graph.chain(&place, drafts, promoted)
    }
}

/// The kind that fences through a site's own agent.
const AGENT: &str = "agent";
/// The kind that waits a lease out.
const LEASE: &str = "lease";
