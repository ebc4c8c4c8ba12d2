//! What the kinds say about their components: their own checks, and what they can promise.
//! Must not know any kind.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Class, ComponentId, Declared, Diagnostics, FenceClass, Kinds, Node, PlanFile, SiteId, Store,
    Weights, Writers,
    diagnostic::{code, quote},
    plan::draft::{Draft, plural},
};

/// Passes on what a kind dislikes about its options. What stands where a secret was found is not repeated.
pub(in crate::plan) fn kind(
    declared: &Declared,
    kinds: &Kinds,
    root: &Node,
    secrets: &BTreeSet<usize>,
    out: &mut Diagnostics,
) {
    let Some(kind) = kinds.get(declared.kind.as_str()) else {
        return;
    };
    let section = plural(declared.class);
    let Some(entry) = root
        .get(section)
        .and_then(|all| all.entry(declared.name.as_str()))
    else {
        return;
    };
    let bytes = entry.key_place.start..=entry.value.place.end;
    let known = |one: &crate::Diagnostic| bytes.contains(&one.place.start);
    if secrets.range(bytes.clone()).next().is_some() || out.list().iter().any(known) {
        return;
    }
    for complaint in kind.check(declared) {
        let mut path = complaint.path;
        if declared.class == Class::Route && path.first().is_some_and(|first| first == "at") {
            "to".clone_into(&mut path[0]);
        }
        let place = match path.first() {
            Some(first) if entry.value.entry(first).is_some() => entry.value.place_at(&path),
            _ => entry.key_place,
        };
        out.error(code::KIND_SAYS, place, complaint.what, complaint.help);
    }
}

/// What the plan promises against what its kinds can do.
pub(in crate::plan) fn promises(
    plan: &PlanFile,
    kinds: &Kinds,
    draft: &Draft<'_>,
    out: &mut Diagnostics,
) {
    if plan
        .detect
        .as_ref()
        .is_none_or(|detect| detect.act.is_empty())
    {
        return;
    }
    let weakest = |(_, store): &(&ComponentId, &Store)| {
        let active = plan.placement.get(&store.declared.name);
        active
            .into_iter()
            .flat_map(Weights::keys)
            .map(|site| fence_class(plan, kinds, store, site))
            .min()
    };
    let mut stores = plan
        .stores
        .iter()
        .filter(|(_, store)| !store.disposable && store.writers == Writers::One);
    if let Some((name, _)) = stores.find(|store| weakest(store) == Some(FenceClass::F0)) {
        let place = draft.root.place_at(&["detect", "act"]);
        let message = format!(
            "Mainstay will ask instead of acting: nothing would surely shut out the writers of {} at a site that is lost",
            quote(name.as_str())
        );
        let help = "give the store a `lease: 2s` if what writes to it keeps one, or the site a fence that works from outside; or leave `act` out and be asked";
        out.warning(code::NO_FENCE, place, message, help.to_owned());
    }
}

/// The strongest fence for a store at a site that is lost: its own, its lease, or the site's. The site's own agent
/// falls with the site.
fn fence_class(plan: &PlanFile, kinds: &Kinds, store: &Store, site: &SiteId) -> FenceClass {
    let own = kinds
        .get(store.declared.kind.as_str())
        .map(|kind| kind.traits(&store.declared).fence);
    let lease = store.lease.map(|_| FenceClass::F1);
    let fences = plan
        .sites
        .get(site)
        .into_iter()
        .flat_map(|site| &site.fence);
    let outside = fences
        .filter(|fence| fence.kind.as_str() != "agent")
        .filter_map(|fence| {
            let declared = Declared {
                name: ComponentId::new(site.as_str()).ok()?,
                class: Class::Workload,
                kind: fence.kind.clone(),
                at: BTreeMap::new(),
                options: fence.options.clone(),
                timeout: None,
            };
            Some(kinds.get(fence.kind.as_str())?.traits(&declared).fence)
        });
    outside
        .chain(own)
        .chain(lease)
        .max()
        .unwrap_or(FenceClass::F0)
}
