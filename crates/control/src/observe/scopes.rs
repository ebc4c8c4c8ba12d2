//! What there is to look at, and from where.
//! Must not know what was seen.

use mainstay_model::{Declared, KindName, PlanFile, Scope, SiteId, Subject};

/// A component's instance at a site, looked at by that site's agent.
pub(super) fn at(declared: &Declared, site: &SiteId) -> Scope {
    Scope {
        driver: declared.kind.clone(),
        subject: Subject::Component(declared.name.clone()),
        site: site.clone(),
        from: site.clone(),
    }
}

/// A store's lease, as its grantor knows it; the site is the one that would hold it.
pub(super) fn lease(declared: &Declared, owner: &SiteId, grantor: &SiteId) -> Option<Scope> {
    Some(Scope {
        driver: KindName::new("lease").ok()?,
        subject: Subject::Component(declared.name.clone()),
        site: owner.clone(),
        from: grantor.clone(),
    })
}

/// Everything that this site's agent can look at.
pub(super) fn of_site(plan: &PlanFile, site: &SiteId) -> Vec<Scope> {
    let stores = plan.stores.values().map(|store| &store.declared);
    let workloads = plan.workloads.values().map(|workload| &workload.declared);
    stores
        .chain(workloads)
        .filter(|declared| declared.at.contains_key(site))
        .map(|declared| at(declared, site))
        .collect()
}
