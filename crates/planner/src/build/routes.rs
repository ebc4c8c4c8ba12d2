//! Drain and shift: every change of a route, with an epoch of its own, forwards and backwards.
//! Must not know what is behind a route beyond its name.

use mainstay_model::{
    Body, ComponentId, Draft, Epoch, EpochPlan, Move, Necessity, Op, Phase, Predicate, SiteId,
    Weights,
};

use super::context::Build;
use crate::{
    graph::{Layer, NodeId, Place},
    target::{Front, RouteMove, active},
};

/// The numbers that a route's record takes in one run, all different: two forwards, two backwards, in the order in
/// which they can happen.
struct Numbers {
    drain: Epoch,
    shift: Epoch,
    unshift: Epoch,
    undrain: Epoch,
}

impl Numbers {
    fn after(epoch: Epoch) -> Self {
        let drain = epoch.next();
        let shift = drain.next();
        let unshift = shift.next();
        Self {
            drain,
            shift,
            unshift,
            undrain: unshift.next(),
        }
    }
}

/// Whether a route's change can be taken back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Before commit.
    Back,
    /// After commit.
    Forward,
}

impl Build<'_> {
    /// Traffic leaves the sites that are left, as far as there is somewhere else to go.
    pub(crate) fn drain(&mut self) {
        let moves = self.moves;
        for (name, route) in &moves.routes {
            if route.front == Front::Stores || route.drained == route.before {
                continue;
            }
            let numbers = self.numbers(route.epoch);
            let epochs = EpochPlan {
                from: route.epoch,
                to: numbers.drain,
                retreat: numbers.undrain,
            };
            let mv = self.route_move(name, route, (epochs, &route.drained), &route.before);
            let mut drafts = self.lower(name, Phase::Drain, &mv);
            if self.bug("route-drained-empty") {
                drafts = self.emptied(name, &mv);
            }
            let drafts = self.as_required(name, drafts, Way::Back);
            // A failover of a system that serves at both sites shifts first: it waits for nothing but the gate.
            let after = if self.forced() { self.gate } else { self.held };
            let place = Place::of(Phase::Drain, name);
            if let Some(node) = self.graph.chain(&place, drafts, &[after]) {
                self.drained.insert(name, node);
            }
        }
    }

    /// Routes in front of stores follow them at once.
    pub(crate) fn shift_stores(&mut self) {
        let moves = self.moves;
        for (name, route) in &moves.routes {
            if route.front == Front::Workloads {
                continue;
            }
            let after = self.promoted_behind(name);
            let numbers = self.numbers(route.epoch);
            let epochs = EpochPlan {
                from: route.epoch,
                to: numbers.shift,
                retreat: numbers.unshift,
            };
            let mv = self.route_move(name, route, (epochs, &route.after), &route.before);
            let drafts = self.lower(name, Phase::Shift, &mv);
            let drafts = self.as_required(name, drafts, Way::Back);
            let place = Place::of(Phase::Shift, name).in_layer(Layer::ShiftStores);
            if let Some(node) = self.graph.chain(&place, drafts, &after) {
                self.shifted.insert(name, node);
            }
        }
    }

    /// The planted bug takes the number that the route has already.
    fn numbers(&self, epoch: Epoch) -> Numbers {
        if self.bug("route-epoch-not-new") {
            return Numbers {
                drain: epoch,
                shift: epoch,
                unshift: epoch,
                undrain: epoch,
            };
        }
        Numbers::after(epoch)
    }

    fn promoted_behind(&self, route: &ComponentId) -> Vec<NodeId> {
        let serves = self.file.routes.get(route).map(|route| route.serves.iter());
        let promoted = serves.into_iter().flatten();
        let promoted: Vec<NodeId> = promoted
            .filter_map(|name| self.promoted.get(name).copied())
            .collect();
        if promoted.is_empty() {
            vec![self.held]
        } else {
            promoted
        }
    }

    /// Traffic goes to the target, after commit.
    pub(crate) fn shift_workloads(&mut self, commit: NodeId) -> NodeId {
        let moves = self.moves;
        let mut shifted = Vec::new();
        for (name, route) in &moves.routes {
            let there = self.drained.contains_key(name) && route.drained == route.after;
            if route.front == Front::Stores || there {
                continue;
            }
            let numbers = self.numbers(route.epoch);
            let epochs = EpochPlan {
                from: route.epoch,
                to: numbers.shift,
                retreat: numbers.unshift,
            };
            let mv = self.route_move(name, route, (epochs, &route.after), &route.before);
            let drafts = self.lower(name, Phase::Shift, &mv);
            let drafts = self.as_required(name, drafts, Way::Forward);
            let after = if self.bug("shift-before-commit") {
                self.held
            } else {
                commit
            };
            shifted.extend(
                self.graph
                    .chain(&Place::of(Phase::Shift, name), drafts, &[after]),
            );
        }
        self.join_or(Place::system(Phase::Shift), shifted, commit)
    }

    fn route_move(
        &self,
        name: &ComponentId,
        route: &RouteMove,
        (epochs, weights): (EpochPlan, &Weights),
        before: &Weights,
    ) -> Move {
        let to: Option<&SiteId> = active(&route.after).next();
        let from = active(&route.before).find(|site| Some(*site) != to);
        let site = to.unwrap_or(&self.control).clone();
        Move {
            from: from.cloned(),
            to: site.clone(),
            epochs: Some(epochs),
            route: Some((epochs.to, weights.clone())),
            route_before: Some(before.clone()),
            ..self.movement(name, &site)
        }
    }

    fn as_required(&self, name: &ComponentId, drafts: Vec<Draft>, way: Way) -> Vec<Draft> {
        let required = self
            .file
            .routes
            .get(name)
            .is_none_or(|route| route.required);
        let drafts = drafts.into_iter().map(|mut draft| {
            if !required {
                draft.necessity = Necessity::Advisory;
            }
            if way == Way::Forward {
                draft.undo = mainstay_model::Undo::Nothing;
            }
            draft
        });
        drafts.collect()
    }

    /// Planted bug: a drain that leaves nobody to serve.
    fn emptied(&self, name: &ComponentId, mv: &Move) -> Vec<Draft> {
        let Some((epoch, _)) = mv.route else {
            return Vec::new();
        };
        let filled = Move {
            route: mv.route_before.clone().map(|weights| (epoch, weights)),
            ..mv.clone()
        };
        let mut drafts = self.lower(name, Phase::Drain, &filled);
        for draft in &mut drafts {
            if let Body::Act(action) = &mut draft.body {
                action.op = Op::Route {
                    weights: Weights::new(),
                    epoch,
                };
            }
            for goal in &mut draft.goals {
                goal.is = Predicate::Routed {
                    weights: Weights::new(),
                    epoch,
                };
            }
        }
        drafts
    }
}
