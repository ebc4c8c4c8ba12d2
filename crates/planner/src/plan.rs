//! The planner's one entry: from plan file, observation and request to a proven runbook, or to refusals.
//! Must not know how any part of it works.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_model::{
    ComponentId, Kinds, LossBound, MoveMode, OnFailure, PlanFile, RUNBOOK_VERSION, Runbook, SiteId,
    Step, Weights,
};
use serde::{Deserialize, Serialize};

use crate::{
    Code, Divergence, Forecast, LeftBehind, Observed, Placement, Proof, Race, Refusal, Refusals,
    Request,
    build::{Build, control_site},
    divergence, estimate, gate, loss, prove,
    target::{self, Moves, RouteMove, active},
    topology::Topology,
};

/// A runbook, with what is expected of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The runbook, proven safe.
    pub runbook: Runbook,
    /// What it is expected to cost.
    pub forecast: Forecast,
    /// What the safety proof looked at.
    pub proof: Proof,
    /// What is not as it should be and does not stop the move.
    pub warnings: Vec<Refusal>,
    /// For a reprotect: what only that site has. It is saved, unless it is given up by its hash.
    pub left_behind: Option<LeftBehind>,
}

/// Computes the runbook that leads from what is observed to what is requested.
pub fn plan(
    file: &PlanFile,
    kinds: &Kinds,
    observed: &Observed,
    request: &Request,
) -> Result<Planned, Refusals> {
    let unknown = gate::kinds_known(file, kinds);
    if !unknown.is_empty() {
        return Err(refuse(unknown));
    }
    let topology = Topology::of(file)?;
    let world = World {
        file,
        kinds,
        observed,
        topology: &topology,
    };
    let draft = match request.mode {
        MoveMode::Switchover | MoveMode::Failover => world.movement(request)?,
        MoveMode::Reprotect => world.reprotect(request)?,
        MoveMode::Restore => world.restore(request)?,
    };
    world.finish(request, draft)
}

fn refuse(list: Vec<Refusal>) -> Refusals {
    Refusals { list, loss: None }
}

/// The inputs, with the plan file turned round.
struct World<'a> {
    file: &'a PlanFile,
    kinds: &'a Kinds,
    observed: &'a Observed,
    topology: &'a Topology<'a>,
}

/// What was built, before it is proven.
struct Draft {
    moves: Moves,
    steps: Vec<Step>,
    loss: Option<LossBound>,
    warnings: Vec<Refusal>,
    left_behind: Option<LeftBehind>,
}

impl World<'_> {
    fn movement(&self, request: &Request) -> Result<Draft, Refusals> {
        let (file, observed) = (self.file, self.observed);
        let moves = target::resolve(file, self.topology, observed, request).map_err(refuse)?;
        let mut found = gate::check(file, observed, &moves, request.mode);
        let mut loss = None;
        if request.mode == MoveMode::Failover {
            let bound = loss::of_moves(file, self.kinds, observed, &moves);
            let unaccepted = loss::check(observed, &moves, &bound, request.acceptance.as_ref());
            found.refusals.extend(unaccepted);
            loss = Some(bound);
        }
        if !found.refusals.is_empty() {
            return Err(Refusals {
                list: found.refusals,
                loss,
            });
        }
        let control = control_site(file, observed, &main_target(file, &moves)?);
        Ok(Draft {
            steps: self.build(&moves, request.mode, control).whole_move(),
            moves,
            loss,
            warnings: found.warnings,
            left_behind: None,
        })
    }

    fn reprotect(&self, request: &Request) -> Result<Draft, Refusals> {
        let (file, observed) = (self.file, self.observed);
        let (site, moves) = target::reprotected(file, observed, request).map_err(refuse)?;
        let mut refusals = gate::check_reprotect(observed, &site, &moves);
        let left_behind = divergence::left_behind(observed, &site, &moves);
        if refusals.is_empty() {
            refusals.extend(divergence::check(&request.divergence, &site, &left_behind));
        }
        if !refusals.is_empty() {
            return Err(refuse(refusals));
        }
        let control = control_site(file, observed, &site);
        let build = self.build(&moves, request.mode, control);
        Ok(Draft {
            steps: build.whole_reprotect(&site, &request.divergence),
            moves,
            loss: None,
            warnings: Vec::new(),
            left_behind: Some(left_behind),
        })
    }

    fn restore(&self, request: &Request) -> Result<Draft, Refusals> {
        let (file, observed) = (self.file, self.observed);
        let moves = target::restored(file, self.topology, observed, request).map_err(refuse)?;
        let found = gate::check(file, observed, &moves, request.mode);
        if !found.refusals.is_empty() {
            return Err(refuse(found.refusals));
        }
        let control = control_site(file, observed, &main_target(file, &moves)?);
        Ok(Draft {
            steps: self.build(&moves, request.mode, control).whole_restore(),
            moves,
            loss: None,
            warnings: found.warnings,
            left_behind: None,
        })
    }

    fn build<'b>(&'b self, moves: &'b Moves, mode: MoveMode, control: SiteId) -> Build<'b> {
        let inputs = (self.file, self.kinds, self.observed);
        Build::new(inputs, self.topology, moves, mode, control)
    }

    /// Estimates, proves and packs what was built.
    fn finish(&self, request: &Request, draft: Draft) -> Result<Planned, Refusals> {
        let Draft {
            moves,
            mut steps,
            loss,
            warnings,
            left_behind,
        } = draft;
        let measured = estimate::apply_measured(&mut steps, self.observed);
        let (estimate, _) = estimate::critical_path(&steps);
        let epochs = moves.stores.iter();
        let runbook = Runbook {
            version: RUNBOOK_VERSION,
            system: self.file.system.clone(),
            plan_hash: self.file.hash.clone(),
            mode: request.mode,
            leaves: leaves(&moves),
            epochs: epochs
                .map(|(name, store)| (name.clone(), store.epochs))
                .collect(),
            before: with_routes(&moves.routes, moves.before, |route| &route.before),
            target: with_routes(&moves.routes, moves.after, |route| &route.after),
            discards: match &request.divergence {
                Divergence::Discard { hash } => Some(hash.clone()),
                Divergence::Salvage => None,
            },
            acceptance: request.acceptance.clone().filter(|_| loss.is_some()),
            loss,
            on_failure: match request.mode {
                MoveMode::Switchover | MoveMode::Restore => OnFailure::Retreat,
                MoveMode::Failover | MoveMode::Reprotect => OnFailure::Hold,
            },
            estimate,
            steps,
        };
        let proof = if self.observed.bugs.has("skip-proof") {
            Proof::default()
        } else {
            prove(&runbook, self.file).map_err(|race| unsafe_plan(&runbook, &race))?
        };
        Ok(Planned {
            forecast: estimate::forecast(self.file, &runbook, measured),
            proof,
            runbook,
            warnings,
            left_behind,
        })
    }
}

/// The refusal that a race leads to. Correct planners never show it; a kind that contributes too little makes them.
fn unsafe_plan(runbook: &Runbook, race: &Race) -> Refusals {
    Refusals {
        list: vec![Refusal::new(Code::UnsafePlan, race.to_string())],
        loss: runbook.loss.clone(),
    }
}

fn with_routes(
    routes: &BTreeMap<ComponentId, RouteMove>,
    mut placement: Placement,
    weights: impl Fn(&RouteMove) -> &Weights,
) -> Placement {
    let routes = routes.iter();
    placement.extend(routes.map(|(name, route)| (name.clone(), weights(route).clone())));
    placement
}

/// The site that most of the change leads to: it stands in for a witness.
fn main_target(file: &PlanFile, moves: &Moves) -> Result<SiteId, Refusal> {
    let stores = moves.stores.values().map(|store| &store.to);
    let workloads = moves.workloads.values().flat_map(|it| &it.arriving);
    let after = moves.after.values().flat_map(active);
    let site = stores.chain(workloads).chain(after).next();
    site.cloned().ok_or_else(|| {
        let evidence = format!("{} would be active nowhere", file.system);
        Refusal::new(Code::BadPlacement, evidence)
    })
}

/// The sites at which nothing stays active.
fn leaves(moves: &Moves) -> Vec<SiteId> {
    let placed = moves.before.keys().filter_map(|name| moves.placed(name));
    let still: BTreeSet<&SiteId> = placed.flat_map(active).collect();
    let left = moves.after.keys().filter_map(|name| moves.before.get(name));
    let left: BTreeSet<&SiteId> = left.flat_map(active).collect();
    left.difference(&still)
        .map(|site| (*site).clone())
        .collect()
}
