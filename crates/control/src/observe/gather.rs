//! One look at everything, all sites at the same time.
//! Must not know what is planned from it.

use std::{collections::BTreeMap, time::Duration};

use futures::future::{join, join_all};
use mainstay_engine::lease::Drift;
use mainstay_model::{
    Access, ComponentId, PlanFile, Reading, Role, RouteFacts, Sample, Scope, SiteId, Span, Store,
    Timestamp, Weights, WorkloadFacts,
};
use mainstay_planner::{
    Clocks, Fenced, Observed, Protection, SiteAgent, SiteNow, SiteStanding, StoreNow,
};

use super::scopes;
use crate::{
    client::AgentClient,
    clock,
    desk::Desk,
    state::{Known, KnownFence, StateError},
    wire::AgentStatus,
};

/// An agent that does not say hello within this is silent.
const HELLO: Duration = Duration::from_secs(1);
/// What is not seen within this is not seen.
const LOOK: Duration = Duration::from_secs(5);

/// What was seen, and by whom.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// As the planner wants it.
    pub observed: Observed,
    /// What each agent says of itself, or why it does not.
    pub agents: BTreeMap<SiteId, Result<AgentStatus, String>>,
    /// What is remembered.
    pub known: Known,
}

type Samples = BTreeMap<Scope, Sample>;

/// What one agent saw.
struct Looked {
    site: SiteId,
    ahead: Span,
    samples: Vec<(Scope, Sample)>,
}

/// Looks at everything. Silent sites cost at most a few seconds, all of them together. What was seen of stores and
/// fences is remembered.
pub async fn gather(desk: &Desk) -> Result<Gathered, StateError> {
    let known = desk.state.known()?;
    let hellos = desk.agents().map(|(site, agent)| async move {
        let status = agent.within(HELLO).status().await;
        (site.clone(), status.map_err(|error| error.to_string()))
    });
    let agents: BTreeMap<_, _> = join_all(hellos).await.into_iter().collect();
    let answering = |site: &SiteId| agents.get(site).is_some_and(Result::is_ok);
    let plan = &desk.plan;
    let looks = desk.agents().filter(|(site, _)| answering(site));
    let looks = looks.map(|(site, agent)| async move {
        let asked = clock::now();
        let samples = look(agent, scopes::of_site(plan, site)).await;
        let ahead = ahead(asked, &samples);
        Looked {
            site: site.clone(),
            ahead,
            samples,
        }
    });
    let control = control_site(plan, &answering);
    let control = control.and_then(|site| Some((site.clone(), desk.agent(site)?.clone())));
    let (looked, beside) = join(join_all(looks), beside(plan, &known, control.as_ref())).await;

    let mut observed = Observed::at(clock::now());
    observed.clocks = clocks(&looked);
    let samples = looked.into_iter().flat_map(|one| one.samples);
    let samples: Samples = samples.chain(beside).collect();
    observed.placement.clone_from(&known.placement);
    observed.measured.clone_from(&known.measured);
    observed.sites = sites(&agents, &known);
    observed.workloads = workloads(plan, &samples);
    observed.routes = routes(plan, &samples);
    for store in plan.stores.values() {
        let now = store_now(plan, store, &samples, &known, control.as_ref());
        observed.stores.insert(store.declared.name.clone(), now);
    }
    remember(desk, &known, &observed).await?;
    Ok(Gathered {
        observed,
        agents,
        known,
    })
}

async fn look(agent: &AgentClient, scopes: Vec<Scope>) -> Vec<(Scope, Sample)> {
    if scopes.is_empty() {
        return Vec::new();
    }
    let at = clock::now();
    match agent.within(LOOK).observe(scopes.clone(), None).await {
        Ok(samples) => scopes.into_iter().zip(samples).collect(),
        Err(error) => {
            let silent = Sample {
                reading: Reading::Unreachable {
                    since: at,
                    why: error.to_string(),
                },
                at,
                by: crate::desk::own_name(),
            };
            let scopes = scopes.into_iter();
            scopes.map(|scope| (scope, silent.clone())).collect()
        }
    }
}

/// How far the clock by which these samples are dated may be ahead of ours: they were taken after they were asked for.
/// What the question took counts as well, which errs on the safe side.
fn ahead(asked: Timestamp, samples: &[(Scope, Sample)]) -> Span {
    let latest = samples.iter().map(|(_, sample)| sample.at.since(asked));
    latest.max().unwrap_or(Span::ZERO)
}

/// What the loss bound must add for them: clocks that run as far apart as leases allow for.
fn clocks(looked: &[Looked]) -> Clocks {
    let drift = Drift::default();
    let ahead = looked.iter().map(|one| (one.site.clone(), one.ahead));
    Clocks {
        ahead: ahead.collect(),
        per_mille: drift.per_mille,
        least: drift.least,
    }
}

/// The witness if it answers, else any data site that does: routes and leases are looked at from there.
fn control_site<'a>(
    plan: &'a PlanFile,
    answering: &impl Fn(&SiteId) -> bool,
) -> Option<&'a SiteId> {
    let witness = plan.witness().filter(|site| answering(site));
    witness.or_else(|| {
        let mut data = plan
            .sites
            .iter()
            .filter(|(_, site)| site.role == Role::Data);
        data.find(|(site, _)| answering(site)).map(|(site, _)| site)
    })
}

/// What belongs to no side: routes and leases.
async fn beside(
    plan: &PlanFile,
    known: &Known,
    control: Option<&(SiteId, AgentClient)>,
) -> Vec<(Scope, Sample)> {
    let Some((site, agent)) = control else {
        return Vec::new();
    };
    let routes = plan
        .routes
        .values()
        .map(|route| scopes::at(&route.declared, site));
    let with_lease = plan.stores.values().filter(|store| store.lease.is_some());
    let leases = with_lease.filter_map(|store| {
        let owner = owner(plan, known, &store.declared.name)?;
        scopes::lease(&store.declared, &owner, site)
    });
    look(agent, routes.chain(leases).collect()).await
}

/// The site at which a store is active, as far as is remembered or declared.
pub(super) fn owner(plan: &PlanFile, known: &Known, store: &ComponentId) -> Option<SiteId> {
    let weights: Option<&Weights> = known
        .placement
        .get(store)
        .or_else(|| plan.placement.get(store));
    let mut active = weights?.iter().filter(|(_, weight)| **weight > 0);
    active.next().map(|(site, _)| site.clone())
}

fn sites(
    agents: &BTreeMap<SiteId, Result<AgentStatus, String>>,
    known: &Known,
) -> BTreeMap<SiteId, SiteNow> {
    let sites = agents.iter().map(|(site, status)| {
        let held = status
            .as_ref()
            .is_ok_and(|status| status.quarantine.is_some());
        let now = SiteNow {
            agent: match status {
                Ok(_) => SiteAgent::Answers,
                Err(_) => SiteAgent::Silent,
            },
            standing: if held || known.quarantined.contains(site) {
                SiteStanding::Quarantined
            } else {
                SiteStanding::InService
            },
        };
        (site.clone(), now)
    });
    sites.collect()
}

fn workloads(
    plan: &PlanFile,
    samples: &Samples,
) -> BTreeMap<ComponentId, BTreeMap<SiteId, WorkloadFacts>> {
    let mut seen: BTreeMap<ComponentId, BTreeMap<SiteId, WorkloadFacts>> = BTreeMap::new();
    for workload in plan.workloads.values() {
        for site in workload.declared.at.keys() {
            let sample = samples.get(&scopes::at(&workload.declared, site));
            let facts = sample.and_then(|sample| sample.facts()?.workload.clone());
            if let Some(facts) = facts {
                let sites = seen.entry(workload.declared.name.clone()).or_default();
                sites.insert(site.clone(), facts);
            }
        }
    }
    seen
}

fn routes(plan: &PlanFile, samples: &Samples) -> BTreeMap<ComponentId, RouteFacts> {
    let seen = samples.iter().filter_map(|(scope, sample)| {
        let name = scope.subject.component()?;
        plan.routes.get(name)?;
        Some((name.clone(), sample.facts()?.route.clone()?))
    });
    seen.collect()
}

fn store_now(
    plan: &PlanFile,
    store: &Store,
    samples: &Samples,
    known: &Known,
    control: Option<&(SiteId, AgentClient)>,
) -> StoreNow {
    let name = &store.declared.name;
    let remembered = known.stores.get(name).cloned().unwrap_or_default();
    let mut now = StoreNow {
        epoch: remembered.epoch,
        granted: remembered.granted,
        protection: Protection::NotProtected,
        ..StoreNow::default()
    };
    let owner = owner(plan, known, name);
    let granted = owner.as_ref().zip(control).and_then(|(owner, (from, _))| {
        let scope = scopes::lease(&store.declared, owner, from)?;
        samples
            .get(&scope)
            .map(|sample| (owner.clone(), sample.clone()))
    });
    for site in store.declared.at.keys() {
        if let Some(sample) = samples.get(&scopes::at(&store.declared, site)) {
            now.at.insert(site.clone(), sample.clone());
        }
    }
    let seen = now
        .at
        .iter()
        .chain(granted.iter().map(|(site, sample)| (site, sample)));
    for (site, sample) in seen {
        let Some(fence) = sample.facts().and_then(|facts| facts.fence.as_ref()) else {
            continue;
        };
        // Everyone is fenced below the epoch that is in use; only a higher one says something.
        if fence.below <= now.epoch {
            continue;
        }
        let before = remembered.fences.get(site);
        let same = before.filter(|before| before.below >= fence.below);
        let fenced = Fenced {
            below: fence.below,
            class: fence.class,
            // Seen first when it was remembered; it may have held earlier, never later.
            at: same.map_or(sample.at, |before| before.at),
        };
        let better = now
            .fenced
            .get(site)
            .is_none_or(|had| had.below < fenced.below);
        if better {
            now.fenced.insert(site.clone(), fenced);
        }
    }
    now.protection = remembered
        .protection
        .unwrap_or_else(|| first_protection(&now, owner.as_ref()));
    now
}

/// A store that never moved is protected once a copy of it is seen somewhere else.
fn first_protection(now: &StoreNow, owner: Option<&SiteId>) -> Protection {
    let copied = now.at.iter().any(|(site, sample)| {
        let facts = sample.facts().and_then(|facts| facts.store.as_ref());
        let copy = facts.is_some_and(|facts| {
            let source = facts.recovery.as_ref().map(|point| &point.source);
            facts.access == Access::Replica && source.is_some() && source == owner
        });
        Some(site) != owner && copy
    });
    if copied {
        Protection::Protected
    } else {
        Protection::NotProtected
    }
}

/// Keeps what a later look may need when a site is gone: samples of stores, and when a fence was first seen.
async fn remember(desk: &Desk, known: &Known, observed: &Observed) -> Result<(), StateError> {
    let (mut samples, mut fences) = (Vec::new(), Vec::new());
    for (store, now) in &observed.stores {
        for (site, sample) in &now.at {
            if sample.facts().is_some_and(|facts| facts.store.is_some()) {
                samples.push((store.clone(), site.clone(), sample.clone()));
            }
        }
        for (site, seen) in &now.fenced {
            let fence = KnownFence {
                below: seen.below,
                class: seen.class,
                at: seen.at,
            };
            let before = known.stores.get(store).and_then(|s| s.fences.get(site));
            if before != Some(&fence) {
                fences.push((store.clone(), site.clone(), fence));
            }
        }
    }
    desk.state.remember(samples, fences).await
}
