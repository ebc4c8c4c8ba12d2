//! A team's own steps, anchored before or after a phase.
//! Must not know what they do.

use mainstay_model::{
    Action, Body, Class, ComponentId, Declared, Draft, Goal, MoveMode, Necessity, Op, Phase,
    SiteId, Span, Subject, TeamStep, Undo,
};

use super::context::Build;
use crate::graph::{Layer, NodeId, Place, nothing};

/// On which side of its phase a step stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

impl Build<'_> {
    /// Puts them in: everything of the phase waits for a step before it, everything later for a step after it.
    pub(crate) fn team_steps(&mut self) {
        for (name, step) in &self.file.steps {
            let anchor = match (step.before, step.after) {
                (Some(phase), _) => (phase, Side::Before),
                (None, Some(phase)) => (phase, Side::After),
                (None, None) => continue,
            };
            if !self.has_phase(anchor.0) {
                continue;
            }
            if let Ok(component) = ComponentId::new(name) {
                self.team_step(&component, step, anchor);
            }
        }
    }

    /// Whether that phase belongs to this mode at all; a phase with nothing to do still has its place.
    fn has_phase(&self, phase: Phase) -> bool {
        let reprotect = self.mode == MoveMode::Reprotect;
        match phase {
            Phase::Salvage if self.mode == MoveMode::Restore => true,
            Phase::Salvage | Phase::Rebuild | Phase::Protect => reprotect,
            Phase::Seal => matches!(self.mode, MoveMode::Switchover | MoveMode::Restore),
            Phase::Fence => self.mode == MoveMode::Failover,
            _ => !reprotect,
        }
    }

    fn team_step(&mut self, name: &ComponentId, step: &TeamStep, (phase, side): (Phase, Side)) {
        let layer = Layer::of(phase);
        // The step joins the layer it stands before, or the one it stands after; numbers decide within a layer.
        let waits = |at: Layer| match side {
            Side::Before => at >= layer,
            Side::After => at > layer,
        };
        let place = Place {
            layer,
            phase,
            subject: Subject::Component(name.clone()),
        };
        let entries = self.entries(&waits);
        let ends = self.exits(&waits);
        let drafts = self.team_drafts(name, step, phase);
        let first = self.graph.nodes.len();
        let Some(last) = self.graph.chain(&place, drafts, &ends) else {
            return;
        };
        for node in &mut self.graph.nodes[first..] {
            node.rank = match side {
                Side::Before => crate::graph::Rank::First,
                Side::After => crate::graph::Rank::Last,
            };
        }
        for entry in entries {
            self.graph.wait(entry, last);
        }
    }

    /// Nodes of later layers that wait for nothing in them.
    fn entries(&self, later: &impl Fn(Layer) -> bool) -> Vec<NodeId> {
        let nodes = (0_u32..).zip(&self.graph.nodes);
        let entries = nodes.filter(|(_, node)| {
            let mut before = node.after.iter();
            later(node.place.layer)
                && !before.any(|id| later(self.graph.nodes[id.0 as usize].place.layer))
        });
        entries.map(|(at, _)| NodeId(at)).collect()
    }

    /// Nodes of earlier layers that nothing in them waits for.
    fn exits(&self, later: &impl Fn(Layer) -> bool) -> Vec<NodeId> {
        let mut open: Vec<bool> = self
            .graph
            .nodes
            .iter()
            .map(|node| !later(node.place.layer))
            .collect();
        for node in self
            .graph
            .nodes
            .iter()
            .filter(|node| !later(node.place.layer))
        {
            for before in &node.after {
                open[before.0 as usize] = false;
            }
        }
        let exits = (0_u32..).zip(open).filter(|(_, open)| *open);
        exits.map(|(at, _)| NodeId(at)).collect()
    }

    /// What the kind makes of it; otherwise its driver is asked to run it.
    fn team_drafts(&self, name: &ComponentId, step: &TeamStep, phase: Phase) -> Vec<Draft> {
        let site: SiteId = step.at.clone().unwrap_or_else(|| self.control.clone());
        let draft = Draft {
            site: site.clone(),
            goals: Vec::<Goal>::new(),
            body: Body::Act(Action {
                driver: step.kind.clone(),
                subject: Subject::Component(name.clone()),
                site: site.clone(),
                op: Op::Custom {
                    name: "run".to_owned(),
                    args: std::collections::BTreeMap::new(),
                },
            }),
            undo: Undo::Nothing,
            timeout: step.timeout,
            estimate: Span::from_secs(1),
            ..nothing(&site)
        };
        let declared = Declared {
            name: name.clone(),
            class: Class::Workload,
            kind: step.kind.clone(),
            at: std::iter::once((site.clone(), step.options.clone())).collect(),
            options: step.options.clone(),
            timeout: step.timeout,
        };
        let kind = self.kinds.get(step.kind.as_str());
        // Only a kind that has a word of its own for it is asked: what a workload would do in that phase is not meant.
        let own = kind.map_or_else(Vec::new, |kind| {
            let mv = self.movement(name, &site);
            let drafts = kind.lower(&declared, phase, &mv);
            let custom = |draft: &Draft| match &draft.body {
                Body::Act(action) => matches!(action.op, Op::Custom { .. }),
                Body::Ask(_) => true,
                Body::Join | Body::Check => false,
            };
            drafts.into_iter().filter(custom).collect()
        });
        let drafts = if own.is_empty() { vec![draft] } else { own };
        let drafts = drafts.into_iter().map(|draft| Draft {
            necessity: if step.required {
                Necessity::Required
            } else {
                Necessity::Advisory
            },
            ..draft
        });
        drafts.collect()
    }
}
