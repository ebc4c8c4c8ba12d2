//! Compares the wanted placement with the observed one: which stores, workloads and routes change, and how.
//! Must not know steps or their order.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_model::{
    Access, ComponentId, CopyOffline, Epoch, EpochPlan, MoveMode, PlanFile, SiteId, Weights,
    Writers,
};

use crate::{
    Code, Observed, Past, Placement, Protection, Refusal, Request, Target, topology::Topology,
};

/// A store that moves.
#[derive(Debug, Clone)]
pub(crate) struct StoreMove {
    /// Where it is writable now.
    pub(crate) from: SiteId,
    /// Where it becomes writable.
    pub(crate) to: SiteId,
    /// Its epochs.
    pub(crate) epochs: EpochPlan,
}

/// A workload that moves, or whose stores do.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkloadMove {
    /// Sites it is active at and leaves.
    pub(crate) leaving: Vec<SiteId>,
    /// Sites it is active at, before and after.
    pub(crate) staying: Vec<SiteId>,
    /// Sites it becomes active at.
    pub(crate) arriving: Vec<SiteId>,
    /// Sites where it runs without being active while a store of it is copied offline.
    pub(crate) idle: Vec<SiteId>,
    /// Whether a store that it uses moves.
    pub(crate) stores: UsedStores,
}

/// Whether a store that a workload uses moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum UsedStores {
    /// None does.
    #[default]
    Stay,
    /// At least one does.
    Move,
}

/// What a route is in front of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Front {
    /// Stores: it shifts right after their promote.
    Stores,
    /// Workloads: it shifts after commit.
    Workloads,
}

/// A route that changes.
#[derive(Debug, Clone)]
pub(crate) struct RouteMove {
    /// What it is in front of.
    pub(crate) front: Front,
    /// Its weights now.
    pub(crate) before: Weights,
    /// Its weights in the end.
    pub(crate) after: Weights,
    /// Its weights while drained; empty when there is nowhere else to go.
    pub(crate) drained: Weights,
    /// Its epoch now.
    pub(crate) epoch: Epoch,
}

/// Everything that changes.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// Where every store and workload is active.
    pub(crate) before: Placement,
    /// Where those that change are active afterwards.
    pub(crate) after: Placement,
    /// The stores that move.
    pub(crate) stores: BTreeMap<ComponentId, StoreMove>,
    /// The workloads that move, or whose stores do.
    pub(crate) workloads: BTreeMap<ComponentId, WorkloadMove>,
    /// For a restore: the state that each of its stores goes back to.
    pub(crate) past: BTreeMap<ComponentId, Past>,
    /// The routes that change.
    pub(crate) routes: BTreeMap<ComponentId, RouteMove>,
}

impl Moves {
    /// Where a component is active in the end.
    pub(crate) fn placed(&self, component: &ComponentId) -> Option<&Weights> {
        self.after
            .get(component)
            .or_else(|| self.before.get(component))
    }
}

/// The active sites of some weights.
pub(crate) fn active(weights: &Weights) -> impl Iterator<Item = &SiteId> {
    weights
        .iter()
        .filter(|(_, weight)| **weight > 0)
        .map(|(site, _)| site)
}

fn is_active(weights: &Weights, site: &SiteId) -> bool {
    weights.get(site).is_some_and(|weight| *weight > 0)
}

/// Where every store and workload is active now.
pub(crate) fn placement_now(file: &PlanFile, observed: &Observed) -> Placement {
    file.stores
        .keys()
        .chain(file.workloads.keys())
        .map(|name| {
            let declared = file.placement.get(name);
            let weights = observed.placement.get(name).or(declared);
            (name.clone(), weights.cloned().unwrap_or_default())
        })
        .collect()
}

/// What changes on the way to the wanted placement.
pub(crate) fn resolve(
    file: &PlanFile,
    topology: &Topology<'_>,
    observed: &Observed,
    request: &Request,
) -> Result<Moves, Vec<Refusal>> {
    let before = placement_now(file, observed);
    let after = wanted(file, &before, &request.target)?;
    let mut moves = Moves {
        before,
        after,
        ..Moves::default()
    };
    let mut refusals = Vec::new();
    stores(file, observed, &mut moves, &mut refusals);
    workloads(file, topology, observed, request.mode, &mut moves);
    routes(file, topology, observed, &mut moves, &mut refusals);
    if moves.after.is_empty() && refusals.is_empty() {
        refusals.push(Refusal::new(
            Code::NothingToMove,
            "everything is where it should be",
        ));
    }
    if refusals.is_empty() {
        Ok(moves)
    } else {
        Err(refusals)
    }
}

/// The site that a reprotect is about, and the stores that become copies there: each as a change from its owner to
/// that site, which in a reprotect changes no ownership.
pub(crate) fn reprotected(
    file: &PlanFile,
    observed: &Observed,
    request: &Request,
) -> Result<(SiteId, Moves), Vec<Refusal>> {
    let (site, only) = match &request.target {
        Target::To(site) => (site, None),
        Target::Only { component, to } => (to, Some(component)),
        Target::Home | Target::Placement(_) | Target::Past(_) => {
            let evidence = "a reprotect names the site that becomes a copy again";
            return Err(vec![Refusal::new(Code::UnknownSite, evidence)]);
        }
    };
    if !file.sites.contains_key(site) {
        let evidence = format!("{site} is not a site of {}", file.system);
        return Err(vec![Refusal::new(Code::UnknownSite, evidence)]);
    }
    let mut moves = Moves {
        before: placement_now(file, observed),
        ..Moves::default()
    };
    for (name, store) in &file.stores {
        let owners = moves.before.get(name).into_iter().flat_map(active);
        let owners: Vec<&SiteId> = owners.collect();
        let ([from], true) = (owners.as_slice(), store.declared.at.contains_key(site)) else {
            continue;
        };
        let wanted = only.is_none_or(|only| only == name);
        let spans = store.writers != Writers::One && store.spans.contains(site);
        if !wanted || *from == site || spans || is_protected(observed, name, from, site) {
            continue;
        }
        let movement = StoreMove {
            from: (*from).clone(),
            to: site.clone(),
            epochs: epochs(observed, name),
        };
        moves.stores.insert(name.clone(), movement);
    }
    if moves.stores.is_empty() {
        let evidence = format!("every store at {site} is active there or a proven copy already");
        return Err(vec![Refusal::new(Code::NothingToReprotect, evidence)]);
    }
    Ok((site.clone(), moves))
}

/// The stores that go back to an earlier state: each as a change from its site to itself, at a new epoch.
pub(crate) fn restored(
    file: &PlanFile,
    topology: &Topology<'_>,
    observed: &Observed,
    request: &Request,
) -> Result<Moves, Vec<Refusal>> {
    let mut moves = Moves {
        before: placement_now(file, observed),
        ..Moves::default()
    };
    let Target::Past(past) = &request.target else {
        let evidence = "a restore names the stores that go back";
        return Err(vec![Refusal::new(Code::NothingToMove, evidence)]);
    };
    let mut refusals = Vec::new();
    for (name, past) in past {
        let owners = moves.before.get(name).into_iter().flat_map(active);
        let owners: Vec<&SiteId> = owners.collect();
        let declared = file.stores.get(name);
        let saved = declared.is_some_and(|store| {
            let to = |backup: &mainstay_model::Backup| backup.to == past.from;
            store.backup.iter().any(to)
        });
        match (declared, owners.as_slice()) {
            (None, _) => {
                let evidence = format!("{name} is no store");
                refusals.push(Refusal::new(Code::UnknownComponent, evidence));
            }
            (Some(_), [site]) if saved => {
                let movement = StoreMove {
                    from: (*site).clone(),
                    to: (*site).clone(),
                    epochs: epochs(observed, name),
                };
                moves.stores.insert(name.clone(), movement);
                moves.past.insert(name.clone(), past.clone());
            }
            (Some(_), [_]) => {
                let evidence = format!("{name} is not saved to {}", past.from);
                refusals.push(Refusal::new(Code::NothingToPromote, evidence));
            }
            (Some(_), sites) => {
                let evidence = format!("{name} is active at {} sites", sites.len());
                refusals.push(Refusal::new(Code::BadPlacement, evidence));
            }
        }
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    workloads(file, topology, observed, request.mode, &mut moves);
    Ok(moves)
}

/// Whether the site in service has a proven copy of the owner's already.
fn is_protected(observed: &Observed, name: &ComponentId, owner: &SiteId, site: &SiteId) -> bool {
    let now = observed.stores.get(name);
    let sample = now.and_then(|now| now.at.get(site));
    let facts = sample.and_then(|sample| sample.facts()?.store.as_ref());
    let replica = facts.is_some_and(|facts| {
        let point = facts.recovery.as_ref();
        facts.access == Access::Replica && point.is_some_and(|point| point.source == *owner)
    });
    let said = now.is_some_and(|now| now.protection == Protection::Protected);
    replica && said && !observed.quarantined(site)
}

/// The components that change, with their new weights.
fn wanted(file: &PlanFile, before: &Placement, target: &Target) -> Result<Placement, Vec<Refusal>> {
    let mut refusals = Vec::new();
    let mut after = Placement::new();
    let everything: Vec<&ComponentId> = before.keys().collect();
    let wish: Vec<(&ComponentId, Weights)> = match target {
        Target::To(site) => everything
            .into_iter()
            .filter(|name| may_leave(file, name, site))
            .map(|name| (name, Weights::from([(site.clone(), 100)])))
            .collect(),
        Target::Only { component, to } => vec![(component, Weights::from([(to.clone(), 100)]))],
        Target::Home => everything
            .into_iter()
            .filter_map(|name| Some((name, file.placement.get(name)?.clone())))
            .collect(),
        Target::Placement(placement) => placement
            .iter()
            .map(|(name, weights)| (name, weights.clone()))
            .collect(),
        Target::Past(_) => Vec::new(),
    };
    for (name, weights) in wish {
        let Some(now) = before.get(name) else {
            refusals.push(Refusal::new(
                Code::UnknownComponent,
                format!("{name} is neither a store nor a workload"),
            ));
            continue;
        };
        if stays(file, name, now, &weights) {
            continue;
        }
        check_target(file, name, &weights, &mut refusals);
        after.insert(name.clone(), weights);
    }
    if refusals.is_empty() {
        Ok(after)
    } else {
        Err(refusals)
    }
}

/// A workload that is neither required nor declared at the target is left behind without a word.
fn may_leave(file: &PlanFile, name: &ComponentId, to: &SiteId) -> bool {
    file.workloads
        .get(name)
        .is_none_or(|workload| workload.required || workload.declared.at.contains_key(to))
}

fn stays(file: &PlanFile, name: &ComponentId, now: &Weights, then: &Weights) -> bool {
    if active(now).eq(active(then)) && (now == then || active(now).count() == 1) {
        return true;
    }
    file.stores.get(name).is_some_and(|store| {
        let spans = active(then).all(|site| store.spans.contains(site));
        let serves = active(then).all(|site| is_active(now, site));
        store.writers != Writers::One && (spans || serves)
    })
}

fn check_target(file: &PlanFile, name: &ComponentId, to: &Weights, refusals: &mut Vec<Refusal>) {
    let Some(declared) = file.declared(name) else {
        return;
    };
    for site in active(to) {
        match file.sites.get(site) {
            None => refusals.push(Refusal::new(
                Code::UnknownSite,
                format!("{site} is not a site of {}", file.system),
            )),
            Some(found) if found.role == mainstay_model::Role::Witness => refusals.push(
                Refusal::new(Code::WitnessTarget, format!("{site} is a witness")),
            ),
            Some(_) if !declared.at.contains_key(site) => refusals.push(Refusal::new(
                Code::NotDeployable,
                format!("{name} is not declared at {site}"),
            )),
            Some(_) => {}
        }
    }
    let sites = active(to).count();
    let one_writer = file
        .stores
        .get(name)
        .is_some_and(|store| store.writers == Writers::One);
    if sites == 0 || (one_writer && sites > 1) {
        refusals.push(Refusal::new(
            Code::BadPlacement,
            format!("{name} would be active at {sites} sites"),
        ));
    }
}

fn stores(file: &PlanFile, observed: &Observed, moves: &mut Moves, refusals: &mut Vec<Refusal>) {
    for (name, weights) in &moves.after {
        let Some(store) = file.stores.get(name) else {
            continue;
        };
        let now = moves.before.get(name).into_iter().flat_map(active);
        let from: Vec<&SiteId> = now.collect();
        let (Some(to), [from]) = (active(weights).next(), from.as_slice()) else {
            refusals.push(Refusal::new(
                Code::BadPlacement,
                format!("{name} is active at {} sites", from.len()),
            ));
            continue;
        };
        if store.writers == Writers::Many && active(weights).count() > 1 {
            refusals.push(Refusal::new(
                Code::BadPlacement,
                format!("{name} cannot be given a second writing site by a move"),
            ));
            continue;
        }
        let epochs = epochs(observed, name);
        let (from, to) = ((*from).clone(), to.clone());
        moves
            .stores
            .insert(name.clone(), StoreMove { from, to, epochs });
    }
}

/// New epochs lie above everything that was ever granted, used or not.
pub(crate) fn epochs(observed: &Observed, store: &ComponentId) -> EpochPlan {
    let now = observed.stores.get(store);
    let from = now.map_or(Epoch(0), |now| now.epoch);
    let granted = now.map_or(from, |now| now.granted.max(now.epoch));
    let to = if observed.bugs.has("epoch-not-new") {
        from
    } else {
        granted.next()
    };
    let retreat = if observed.bugs.has("retreat-epoch-not-new") {
        to
    } else {
        to.next()
    };
    EpochPlan { from, to, retreat }
}

fn workloads(
    file: &PlanFile,
    topology: &Topology<'_>,
    observed: &Observed,
    mode: MoveMode,
    moves: &mut Moves,
) {
    let mut touched: BTreeSet<&ComponentId> = BTreeSet::new();
    let mut offline: BTreeSet<&ComponentId> = BTreeSet::new();
    let mut unsettled: BTreeSet<&ComponentId> = BTreeSet::new();
    for name in moves.stores.keys() {
        let store = file.stores.get(name);
        let copy = store.and_then(|store| store.copy.as_ref());
        let both = copy.is_some_and(|copy| copy.offline == Some(CopyOffline::Both));
        for user in topology.users_of(name) {
            unsettled.insert(user);
            if both && mode == MoveMode::Switchover {
                offline.insert(user);
            }
        }
    }
    touched.extend(unsettled.iter().copied());
    let moving = moves.after.keys();
    touched.extend(moving.filter_map(|name| Some(file.workloads.get_key_value(name)?.0)));
    let mut found = BTreeMap::new();
    for name in touched {
        let none = Weights::new();
        let before = moves.before.get(name).unwrap_or(&none);
        let after = moves.after.get(name).unwrap_or(before);
        let mut movement = WorkloadMove::default();
        for site in active(before) {
            let list = if is_active(after, site) {
                &mut movement.staying
            } else {
                &mut movement.leaving
            };
            list.push(site.clone());
        }
        let arriving = active(after).filter(|site| !is_active(before, site));
        movement.arriving = arriving.cloned().collect();
        if unsettled.contains(name) {
            movement.stores = UsedStores::Move;
        }
        if offline.contains(name) {
            movement.idle = idle(observed, name, before);
        }
        found.insert(name.clone(), movement);
    }
    moves.workloads = found;
}

/// Sites where a workload runs without being active.
fn idle(observed: &Observed, name: &ComponentId, active: &Weights) -> Vec<SiteId> {
    let seen = observed.workloads.get(name).into_iter().flatten();
    seen.filter(|(site, facts)| facts.running != Some(0) && !is_active(active, site))
        .map(|(site, _)| site.clone())
        .collect()
}

fn routes(
    file: &PlanFile,
    topology: &Topology<'_>,
    observed: &Observed,
    moves: &mut Moves,
    refusals: &mut Vec<Refusal>,
) {
    let changed = moves.after.keys().flat_map(|name| topology.fronts_of(name));
    let changed: BTreeSet<&ComponentId> = changed.copied().collect();
    for name in changed {
        let Some(route) = file.routes.get(name) else {
            continue;
        };
        let stores = route.serves.iter().any(|s| file.stores.contains_key(s));
        let front = if stores {
            Front::Stores
        } else {
            Front::Workloads
        };
        let served: Vec<_> = (route.serves.iter())
            .filter(|served| !stores || file.stores.contains_key(*served))
            .filter_map(|served| Some((served, moves.placed(served)?)))
            .collect();
        let Some((first, after)) = served.first() else {
            continue;
        };
        if let Some((other, _)) = served.iter().find(|(_, w)| !active(w).eq(active(after))) {
            refusals.push(Refusal::new(
                Code::RouteSplit,
                format!("{name} serves {first} and {other}, which would be at different sites"),
            ));
            continue;
        }
        let facts = observed.routes.get(name);
        let before = match facts {
            Some(facts) => facts.weights.clone(),
            None => moves.before.get(*first).cloned().unwrap_or_default(),
        };
        let after = (*after).clone();
        if before == after {
            continue;
        }
        let drained = drained(&before, &after);
        let epoch = facts.map_or(Epoch(0), |facts| facts.epoch);
        moves.routes.insert(
            name.clone(),
            RouteMove {
                front,
                before,
                after,
                drained,
                epoch,
            },
        );
    }
}

/// What is left of the weights once the sites that are left are gone; the final weights when those sites are all.
fn drained(before: &Weights, after: &Weights) -> Weights {
    let left: Weights = before
        .iter()
        .filter(|(site, weight)| **weight > 0 && is_active(after, site))
        .map(|(site, weight)| (site.clone(), *weight))
        .collect();
    if active(&left).eq(active(after)) {
        after.clone()
    } else {
        left
    }
}
