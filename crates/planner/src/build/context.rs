//! What every part of the builder shares: the inputs, the graph, and the milestones that later phases wait for.
//! Must not know any single phase.

use std::collections::BTreeMap;

use mainstay_model::{
    Action, Body, ComponentId, Draft, Goal, Kinds, Move, MoveMode, Necessity, Op, Phase, PlanFile,
    Predicate, Scope, SiteId, Span, Step, Subject, Undo, Workload, WorkloadRole,
};

use crate::{
    Observed,
    graph::{Graph, Layer, Node, NodeId, Place, nothing},
    target::Moves,
    topology::Topology,
};

/// The builder.
pub(crate) struct Build<'a> {
    pub(crate) file: &'a PlanFile,
    pub(crate) kinds: &'a Kinds,
    pub(crate) observed: &'a Observed,
    pub(crate) topology: &'a Topology<'a>,
    pub(crate) moves: &'a Moves,
    pub(crate) mode: MoveMode,
    pub(crate) control: SiteId,
    pub(crate) graph: Graph,
    /// Reached when every precondition was seen.
    pub(crate) gate: NodeId,
    /// Reached when no scheduler starts work any more.
    pub(crate) held: NodeId,
    /// Provisioned components.
    pub(crate) provisioned: BTreeMap<&'a ComponentId, NodeId>,
    /// Routes that were drained.
    pub(crate) drained: BTreeMap<&'a ComponentId, NodeId>,
    /// Workloads that were stopped wherever they have to be.
    pub(crate) stopped: BTreeMap<&'a ComponentId, NodeId>,
    /// Stores that were promoted.
    pub(crate) promoted: BTreeMap<&'a ComponentId, NodeId>,
    /// Stores that may be used: promoted and reconciled, with the rest of their groups.
    pub(crate) ready: BTreeMap<&'a ComponentId, NodeId>,
    /// Routes in front of stores that were shifted.
    pub(crate) shifted: BTreeMap<&'a ComponentId, NodeId>,
    /// Workloads that run again.
    pub(crate) up: BTreeMap<&'a ComponentId, NodeId>,
}

/// The site whose agent does what belongs to no side: the witness if it answers, else the target.
pub(crate) fn control_site(file: &PlanFile, observed: &Observed, target: &SiteId) -> SiteId {
    match file.witness() {
        Some(witness) if observed.answers(witness) => witness.clone(),
        _ => target.clone(),
    }
}

impl<'a> Build<'a> {
    /// An empty graph.
    pub(crate) fn new(
        (file, kinds, observed): (&'a PlanFile, &'a Kinds, &'a Observed),
        topology: &'a Topology<'a>,
        moves: &'a Moves,
        mode: MoveMode,
        control: SiteId,
    ) -> Self {
        Self {
            file,
            kinds,
            observed,
            topology,
            moves,
            mode,
            control,
            graph: Graph::default(),
            gate: NodeId(0),
            held: NodeId(0),
            provisioned: BTreeMap::new(),
            drained: BTreeMap::new(),
            stopped: BTreeMap::new(),
            promoted: BTreeMap::new(),
            ready: BTreeMap::new(),
            shifted: BTreeMap::new(),
            up: BTreeMap::new(),
        }
    }

    /// All phases of a switchover or a failover.
    pub(crate) fn whole_move(mut self) -> Vec<Step> {
        self.gate();
        self.provision();
        self.hold();
        self.drain();
        self.stop_workloads();
        self.move_stores();
        self.start_workloads();
        self.verify();
        self.commit_and_after();
        self.team_steps();
        self.number()
    }

    /// All phases of a restore in place. Traffic never left, so clients write as soon as the workloads run again: the
    /// point of no return comes before that.
    pub(crate) fn whole_restore(mut self) -> Vec<Step> {
        self.gate();
        self.hold();
        self.stop_workloads();
        self.move_stores();
        let commit = self.commit(Layer::Reconcile);
        for ready in self.ready.values_mut() {
            *ready = commit;
        }
        self.held = commit;
        self.start_workloads();
        self.verify();
        let ends = self.ends();
        let well = self.join(Place::system(Phase::Verify), ends);
        self.release(well);
        self.team_steps();
        self.number()
    }

    /// Numbers the nodes.
    pub(crate) fn number(self) -> Vec<Step> {
        self.graph.finish(timeout)
    }

    pub(crate) fn bug(&self, name: &str) -> bool {
        self.observed.bugs.has(name)
    }

    pub(crate) fn forced(&self) -> bool {
        self.mode == MoveMode::Failover
    }

    /// What a kind is told, before the parts that only some phases have.
    pub(crate) fn movement(&self, name: &ComponentId, site: &SiteId) -> Move {
        let store = self.moves.stores.get(name);
        let workload = self.moves.workloads.get(name);
        let from = store.map(|store| store.from.clone());
        let left = workload.and_then(|workload| workload.leaving.first().cloned());
        let to = store.map(|store| store.to.clone());
        let reached = workload.and_then(|workload| workload.arriving.first().cloned());
        Move {
            mode: self.mode,
            site: site.clone(),
            from: from.or(left),
            to: to.or(reached).unwrap_or_else(|| site.clone()),
            control: self.control.clone(),
            epochs: store.map(|store| store.epochs),
            sealed_by: None,
            route: None,
            route_before: None,
            fencer: None,
        }
    }

    /// The drafts that a component's kind contributes.
    pub(crate) fn lower(&self, name: &ComponentId, phase: Phase, mv: &Move) -> Vec<Draft> {
        let Some(declared) = self.file.declared(name) else {
            return Vec::new();
        };
        let kind = self.kinds.get(declared.kind.as_str());
        let mut drafts = kind.map_or_else(Vec::new, |kind| kind.lower(declared, phase, mv));
        for draft in &mut drafts {
            draft.timeout = draft.timeout.or(declared.timeout);
        }
        drafts
    }

    /// The usual case: a phase of a component at a site.
    pub(crate) fn drafts(&self, name: &ComponentId, phase: Phase, site: &SiteId) -> Vec<Draft> {
        self.lower(name, phase, &self.movement(name, site))
    }

    pub(crate) fn join(&mut self, place: Place, of: Vec<NodeId>) -> NodeId {
        let at = self.control.clone();
        self.graph.join(place, &at, of)
    }

    /// Joins these, or stands for `instead` when there are none.
    pub(crate) fn join_or(&mut self, place: Place, of: Vec<NodeId>, instead: NodeId) -> NodeId {
        if of.is_empty() {
            instead
        } else {
            self.join(place, of)
        }
    }

    /// A check that acts on nothing.
    pub(crate) fn check(site: &SiteId, goals: Vec<Goal>) -> Draft {
        Draft {
            body: Body::Check,
            goals,
            estimate: CHECK,
            ..nothing(site)
        }
    }

    /// The workload of that name.
    pub(crate) fn workload(&self, name: &ComponentId) -> Option<&'a Workload> {
        self.file.workloads.get(name)
    }

    pub(crate) fn is_scheduler(&self, name: &ComponentId) -> bool {
        self.workload(name)
            .is_some_and(|workload| workload.role == WorkloadRole::Scheduler)
    }

    /// Whether an instance was running without being active before the move.
    pub(crate) fn ran_already(&self, name: &ComponentId, site: &SiteId) -> bool {
        let seen = self.observed.workloads.get(name);
        let facts = seen.and_then(|sites| sites.get(site));
        facts.is_some_and(|facts| facts.running.is_some_and(|count| count > 0))
    }
}

/// How long a look takes.
pub(crate) const CHECK: Span = Span::from_millis(100);

/// A goal of a component at a site, seen from there.
pub(crate) fn goal_at(
    file: &PlanFile,
    name: &ComponentId,
    site: &SiteId,
    is: Predicate,
) -> Option<Goal> {
    let driver = file.declared(name)?.kind.clone();
    Some(Goal {
        scope: Scope {
            driver,
            subject: Subject::Component(name.clone()),
            site: site.clone(),
            from: site.clone(),
        },
        is,
    })
}

/// Leaves a step's failure on record without stopping the run.
pub(crate) fn advisory(drafts: Vec<Draft>) -> Vec<Draft> {
    let drafts = drafts.into_iter().map(|draft| Draft {
        necessity: Necessity::Advisory,
        ..draft
    });
    drafts.collect()
}

/// Takes the undo away.
pub(crate) fn without_undo(drafts: Vec<Draft>) -> Vec<Draft> {
    let drafts = drafts.into_iter().map(|draft| Draft {
        undo: Undo::Nothing,
        ..draft
    });
    drafts.collect()
}

/// Declared, else by what it does: copying takes long, the rest does not.
fn timeout(node: &Node) -> Span {
    if let Some(timeout) = node.draft.timeout {
        return timeout;
    }
    match &node.draft.body {
        Body::Ask(_) => Span::MAX,
        Body::Act(Action { op, .. }) => match op {
            Op::CatchUp { .. }
            | Op::Restore { .. }
            | Op::Rebuild { .. }
            | Op::Salvage { .. }
            | Op::RecoverSource
            | Op::Provision => Span::from_secs(4 * 3600),
            _ => Span::from_secs(120),
        },
        Body::Join | Body::Check => Span::from_secs(30),
    }
}
