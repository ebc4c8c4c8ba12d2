//! Starts what should run where its stores are, once these were adopted: users expect a system that is taken on to serve.
//! Must not know moves; it never stops anything.

use std::collections::BTreeSet;

use mainstay_model::{
    ComponentId, Op, Role, SiteId, StepId, Workload, WorkloadFacts, WorkloadRole,
};

use super::{
    adopt::{AdoptError, Disobeyed, effect, obey, order},
    gather::Gathered,
};
use crate::{desk::Desk, lock::MoverLock};

/// A workload that was started, or released, because it belongs there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The workload.
    pub workload: ComponentId,
    /// The site.
    pub site: SiteId,
}

/// Starts every declared workload that should be active at a site and is not ready there, in start order; schedulers
/// are released last. What already runs is left alone. Needs the right to move.
pub async fn bring_up(
    desk: &Desk,
    lock: &MoverLock,
    gathered: &Gathered,
) -> Result<Vec<Started>, AdoptError> {
    let mut started = Vec::new();
    let mut orders = Vec::new();
    let in_order = in_start_order(desk);
    for workload in &in_order {
        for site in active(desk, gathered, workload) {
            let facts = facts(gathered, workload, &site);
            if facts.and_then(|facts| facts.ready).unwrap_or(0) == 0 {
                orders.push((*workload, site, Op::Start));
            }
        }
    }
    for workload in &in_order {
        for site in active(desk, gathered, workload) {
            let facts = facts(gathered, workload, &site);
            let works = facts.and_then(|facts| facts.held) == Some(false);
            if workload.role == WorkloadRole::Scheduler && !works {
                orders.push((*workload, site, Op::Release));
            }
        }
    }
    for (number, (workload, site, op)) in orders.into_iter().enumerate() {
        let step = StepId(u32::try_from(number).unwrap_or(u32::MAX));
        let order = order(effect(desk, lock, step)?, &workload.declared, &site, op);
        let name = workload.declared.name.clone();
        let outcome = obey(desk, lock, order).await;
        let failed = |why| AdoptError::NotStarted {
            workload: name.clone(),
            site: site.clone(),
            why,
        };
        outcome.map_err(|why| match why {
            Disobeyed::Failed(error) => failed(error.to_string()),
            Disobeyed::Silent(why) => failed(why),
        })?;
        let one = Started {
            workload: name,
            site,
        };
        if !started.contains(&one) {
            started.push(one);
        }
    }
    Ok(started)
}

/// Each workload after those that it starts after. The plan file was checked for cycles.
fn in_start_order(desk: &Desk) -> Vec<&Workload> {
    let mut done: BTreeSet<&ComponentId> = BTreeSet::new();
    let mut ordered = Vec::new();
    while ordered.len() < desk.plan.workloads.len() {
        let before = ordered.len();
        for (name, workload) in &desk.plan.workloads {
            if !done.contains(name) && workload.after.iter().all(|earlier| done.contains(earlier)) {
                done.insert(name);
                ordered.push(workload);
            }
        }
        if ordered.len() == before {
            break;
        }
    }
    ordered
}

/// The data sites where a workload should be active, that are in service and answer.
fn active(desk: &Desk, gathered: &Gathered, workload: &Workload) -> Vec<SiteId> {
    let name = &workload.declared.name;
    let weights = gathered.known.placement.get(name);
    let weights = weights.or_else(|| desk.plan.placement.get(name));
    let sites = weights.into_iter().flatten().filter(|(site, weight)| {
        let data = desk
            .plan
            .sites
            .get(*site)
            .is_some_and(|site| site.role == Role::Data);
        let serves = gathered.observed.answers(site) && !gathered.observed.quarantined(site);
        **weight > 0 && data && serves
    });
    sites.map(|(site, _)| site.clone()).collect()
}

fn facts<'a>(
    gathered: &'a Gathered,
    workload: &Workload,
    site: &SiteId,
) -> Option<&'a WorkloadFacts> {
    let sites = gathered.observed.workloads.get(&workload.declared.name)?;
    sites.get(site)
}
