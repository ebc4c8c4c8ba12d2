//! The graph under construction: nodes in layers, numbered only when all of them are there.
//! Must not know what a step means.

use mainstay_model::{
    Body, ComponentId, Draft, Goal, Necessity, OutputRef, Phase, Predicate, SiteId, Span, Step,
    StepId, Subject, Undo, Wanted,
};

/// A node, before it has its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) u32);

impl NodeId {
    /// A reference to its output; renumbered with everything else.
    pub(crate) fn output(self) -> OutputRef {
        OutputRef {
            step: StepId(self.0),
        }
    }
}

/// The order of layers. An edge leads from a layer to a later one, or forwards within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    Gate,
    Provision,
    Hold,
    Drain,
    Quiesce,
    Seal,
    RecoverSource,
    CatchUp,
    Promote,
    ShiftStores,
    Reconcile,
    Activate,
    Verify,
    Commit,
    Shift,
    Release,
    Retire,
    Sweep,
    Salvage,
    Rebuild,
    Protect,
    Restart,
}

impl Layer {
    /// The layer of a phase's steps.
    pub(crate) fn of(phase: Phase) -> Self {
        match phase {
            Phase::Gate => Self::Gate,
            Phase::Provision => Self::Provision,
            Phase::Hold => Self::Hold,
            Phase::Drain => Self::Drain,
            Phase::Quiesce => Self::Quiesce,
            Phase::Seal | Phase::Fence => Self::Seal,
            Phase::RecoverSource => Self::RecoverSource,
            Phase::CatchUp => Self::CatchUp,
            Phase::Promote => Self::Promote,
            Phase::Reconcile => Self::Reconcile,
            Phase::Rebind | Phase::Activate => Self::Activate,
            Phase::Verify => Self::Verify,
            Phase::Commit => Self::Commit,
            Phase::Shift => Self::Shift,
            Phase::Release => Self::Release,
            Phase::Sweep => Self::Sweep,
            Phase::Salvage => Self::Salvage,
            Phase::Rebuild => Self::Rebuild,
            Phase::Protect => Self::Protect,
        }
    }
}

/// Where a node stands and what it is about.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) layer: Layer,
    pub(crate) phase: Phase,
    pub(crate) subject: Subject,
}

impl Place {
    /// A step of a component, in its phase's own layer.
    pub(crate) fn of(phase: Phase, component: &ComponentId) -> Self {
        Self {
            layer: Layer::of(phase),
            phase,
            subject: Subject::Component(component.clone()),
        }
    }

    /// A step of the whole system.
    pub(crate) fn system(phase: Phase) -> Self {
        Self {
            layer: Layer::of(phase),
            phase,
            subject: Subject::System,
        }
    }

    /// The same in another layer.
    pub(crate) fn in_layer(self, layer: Layer) -> Self {
        Self { layer, ..self }
    }
}

/// Where a node is numbered within its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Before the others.
    First,
    /// In the order of insertion.
    Middle,
    /// After the others.
    Last,
}

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) rank: Rank,
    pub(crate) place: Place,
    pub(crate) draft: Draft,
    pub(crate) after: Vec<NodeId>,
    pub(crate) inputs: Vec<OutputRef>,
}

/// Nodes and edges.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
}

impl Graph {
    /// Adds a node.
    pub(crate) fn add(&mut self, place: Place, draft: Draft, mut after: Vec<NodeId>) -> NodeId {
        after.sort_unstable();
        after.dedup();
        // The planner refuses systems long before four billion steps; saturating keeps this total.
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        let inputs = wanted_outputs(&draft.goals);
        self.nodes.push(Node {
            rank: Rank::Middle,
            place,
            draft,
            after,
            inputs,
        });
        id
    }

    /// Adds drafts one after the other; the last one, if there is any.
    pub(crate) fn chain(
        &mut self,
        place: &Place,
        drafts: Vec<Draft>,
        after: &[NodeId],
    ) -> Option<NodeId> {
        let mut last: Option<NodeId> = None;
        for draft in drafts {
            let after = last.map_or_else(|| after.to_vec(), |last| vec![last]);
            last = Some(self.add(place.clone(), draft, after));
        }
        last
    }

    /// A node that is reached when all of these are: itself, if it is one, otherwise a new one that does nothing.
    pub(crate) fn join(&mut self, place: Place, at: &SiteId, mut of: Vec<NodeId>) -> NodeId {
        of.sort_unstable();
        of.dedup();
        match of.as_slice() {
            [one] => *one,
            _ => self.add(place, nothing(at), of),
        }
    }

    /// Makes one node wait for another.
    pub(crate) fn wait(&mut self, node: NodeId, before: NodeId) {
        let after = &mut self.nodes[node.0 as usize].after;
        if !after.contains(&before) {
            after.push(before);
        }
    }

    /// The steps, numbered so that each names only earlier ones.
    pub(crate) fn finish(self, timeout: impl Fn(&Node) -> Span) -> Vec<Step> {
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by_key(|at| (self.nodes[*at].place.layer, self.nodes[*at].rank));
        let mut number = vec![StepId(0); self.nodes.len()];
        for (place, at) in (0_u32..).zip(&order) {
            number[*at] = StepId(place);
        }
        let mut nodes: Vec<Option<Node>> = self.nodes.into_iter().map(Some).collect();
        let mut steps = Vec::with_capacity(nodes.len());
        for at in order {
            if let Some(node) = nodes[at].take() {
                let timeout = timeout(&node);
                steps.push(step(steps.len(), node, timeout, &number));
            }
        }
        steps
    }
}

/// What a step that only joins others looks like.
pub(crate) fn nothing(at: &SiteId) -> Draft {
    Draft {
        site: at.clone(),
        at: at.clone(),
        requires: Vec::new(),
        goals: Vec::new(),
        body: Body::Join,
        undo: Undo::Nothing,
        fence: None,
        necessity: Necessity::Required,
        timeout: None,
        estimate: Span::ZERO,
    }
}

fn wanted_outputs(goals: &[Goal]) -> Vec<OutputRef> {
    let outputs = goals.iter().filter_map(|goal| match &goal.is {
        Predicate::CaughtUp(Wanted::Output(output)) => Some(*output),
        _ => None,
    });
    outputs.collect()
}

fn step(place: usize, node: Node, timeout: Span, number: &[StepId]) -> Step {
    let renumber = |old: StepId| number.get(old.index()).copied().unwrap_or(old);
    let goals = |goals: Vec<Goal>| -> Vec<Goal> {
        goals
            .into_iter()
            .map(|goal| renumbered(goal, renumber))
            .collect()
    };
    let Node {
        place: Place { phase, subject, .. },
        draft,
        after,
        inputs,
        ..
    } = node;
    let mut after: Vec<StepId> = after.iter().map(|id| renumber(StepId(id.0))).collect();
    after.sort_unstable();
    let inputs = inputs.iter().map(|input| OutputRef {
        step: renumber(input.step),
    });
    let undo = match draft.undo {
        Undo::Act { action, goals: of } => Undo::Act {
            action,
            goals: goals(of),
        },
        other => other,
    };
    Step {
        id: StepId(u32::try_from(place).unwrap_or(u32::MAX)),
        phase,
        subject,
        site: draft.site,
        at: draft.at,
        after,
        requires: goals(draft.requires),
        goals: goals(draft.goals),
        inputs: inputs.collect(),
        body: draft.body,
        undo,
        fence: draft.fence,
        necessity: draft.necessity,
        timeout,
        estimate: draft.estimate,
    }
}

fn renumbered(goal: Goal, renumber: impl Fn(StepId) -> StepId) -> Goal {
    let is = match goal.is {
        Predicate::CaughtUp(Wanted::Output(output)) => {
            Predicate::CaughtUp(Wanted::Output(OutputRef {
                step: renumber(output.step),
            }))
        }
        other => other,
    };
    Goal { is, ..goal }
}
