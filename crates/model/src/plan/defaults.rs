//! What a plan file means where it says nothing. Documented for users in `docs/plan-file.md`.
//! Must not know how the file was read or checked.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    draft::Draft,
    file::{Control, Group, Objectives, OnSkew, Role, Store, Workload},
    shape::{ObjectivesShape, PlacementShape},
};
use crate::{ComponentId, GroupId, SiteId, Span, Weights};

/// Where Mainstay keeps its state.
pub(super) const STATE: &str = "file:./.mainstay";

/// The whole weight of a component that is active at one site.
const WHOLE: u32 = 100;

/// In which time all of a repository is read again.
pub(super) const SCRUB: Span = Span::from_secs(30 * 24 * 3600);

/// The promises of the file, or 5 minutes of data and 15 minutes of time.
pub(super) fn objectives(own: ObjectivesShape) -> Objectives {
    Objectives {
        rpo: own.rpo.unwrap_or(Span::from_secs(300)),
        rto: own.rto.unwrap_or(Span::from_secs(900)),
    }
}

/// Where a site's agent listens: below Mainstay's own state, which is an absolute `file:` address by now.
pub(super) fn agent(control: &Control, site: &str) -> String {
    let state = control
        .state
        .strip_prefix("file:")
        .unwrap_or(&control.state);
    format!("unix:{state}/agents/{site}.sock")
}

/// The site of `default:`, else the first data site of the file.
pub(super) fn home(draft: &Draft<'_>) -> Option<PlacementShape> {
    if let Some(item) = draft.placement.get("default") {
        return item.value.clone();
    }
    let in_file = draft.root.get("sites")?.entries().iter();
    let data = |name: &str| {
        let site = draft.sites.get(name).and_then(|site| site.value.as_ref());
        site.is_some_and(|site| site.role == Role::Data)
    };
    let first = in_file
        .map(|entry| entry.key.as_str())
        .find(|name| data(name))?;
    Some(PlacementShape::Site(SiteId::new(first).ok()?))
}

/// Where each component is active before anything was ever moved.
pub(super) fn placement(draft: &Draft<'_>) -> BTreeMap<ComponentId, Weights> {
    let home = home(draft);
    let stores = draft
        .stores
        .iter()
        .filter_map(|(name, item)| Some((*name, &item.value.as_ref()?.at)));
    let workloads = draft
        .workloads
        .iter()
        .filter_map(|(name, item)| Some((*name, &item.value.as_ref()?.at)));
    let mut all = BTreeMap::new();
    for (name, at) in stores.chain(workloads) {
        let own = draft
            .placement
            .get(name)
            .and_then(|item| item.value.clone());
        let weights = weights(own.or_else(|| home.clone()), at.keys());
        all.extend(ComponentId::new(name).ok().map(|name| (name, weights)));
    }
    for (name, item) in &draft.routes {
        let Some(route) = &item.value else { continue };
        let own = draft
            .placement
            .get(name)
            .and_then(|item| item.value.clone());
        let behind = route
            .serves
            .first()
            .and_then(|served| all.get(served))
            .cloned();
        let own = own
            .or_else(|| behind.map(PlacementShape::Weights))
            .or_else(|| home.clone());
        let weights = weights(own, route.to.keys());
        all.extend(ComponentId::new(name).ok().map(|name| (name, weights)));
    }
    all
}

/// Weights for the sites where a component is declared. One that is declared at a single site is active there.
fn weights<'a>(
    wanted: Option<PlacementShape>,
    at: impl Iterator<Item = &'a SiteId> + Clone,
) -> Weights {
    let wanted: Weights = match wanted {
        Some(PlacementShape::Site(site)) => [(site, WHOLE)].into(),
        Some(PlacementShape::Weights(weights)) => weights,
        None => Weights::new(),
    };
    let here: BTreeSet<&SiteId> = at.collect();
    let mut weights: Weights = wanted
        .into_iter()
        .filter(|(site, weight)| *weight > 0 && here.contains(site))
        .collect();
    if weights.is_empty()
        && let [only] = Vec::from_iter(&here)[..]
    {
        weights.insert((*only).clone(), WHOLE);
    }
    weights
}

/// Stores that one workload uses together, and that no declared group names, form a group. Groups that share a store are one.
pub(super) fn groups(
    groups: &mut BTreeMap<GroupId, Group>,
    stores: &BTreeMap<ComponentId, Store>,
    workloads: &BTreeMap<ComponentId, Workload>,
) {
    let taken: BTreeSet<&ComponentId> = groups.values().flat_map(|group| &group.stores).collect();
    let free = |store: &&ComponentId| {
        !taken.contains(store) && stores.get(*store).is_some_and(|store| !store.disposable)
    };
    // Every store points to one that it belongs with, as long as there is one; the last stands for the group.
    let mut with: BTreeMap<&ComponentId, &ComponentId> = BTreeMap::new();
    for workload in workloads.values() {
        let mut used = workload.uses.iter().map(|used| &used.store).filter(free);
        let Some(first) = used.next() else { continue };
        for store in used {
            let (first, other) = (last(&with, first), last(&with, store));
            if other != first {
                with.insert(other, first);
            }
        }
    }
    // A group bears the name of the first workload that has one to give.
    let mut named: BTreeMap<&ComponentId, &ComponentId> = BTreeMap::new();
    for (name, workload) in workloads {
        let store = workload.uses.iter().map(|used| &used.store).find(free);
        if let Some(store) = store.filter(|_| !groups.contains_key(name.as_str())) {
            named.entry(last(&with, store)).or_insert(name);
        }
    }
    let mut sets: BTreeMap<&ComponentId, BTreeSet<&ComponentId>> = BTreeMap::new();
    for store in with.keys() {
        let of = last(&with, store);
        sets.entry(of).or_default().extend([*store, of]);
    }
    let mut made = Vec::new();
    for (of, set) in sets {
        let name = named
            .get(of)
            .map_or(of.as_str(), |workload| workload.as_str());
        let stores = set.into_iter().cloned().collect();
        made.push((
            name.to_owned(),
            Group {
                stores,
                on_skew: OnSkew::Report,
                check: None,
            },
        ));
    }
    for (mut name, group) in made {
        while groups.contains_key(name.as_str()) && name.len() < crate::MAX_NAME {
            name.push('_');
        }
        groups.extend(GroupId::new(name).ok().map(|name| (name, group)));
    }
}

fn last<'a>(
    with: &BTreeMap<&'a ComponentId, &'a ComponentId>,
    store: &'a ComponentId,
) -> &'a ComponentId {
    let mut at = store;
    while let Some(next) = with.get(at) {
        at = next;
    }
    at
}
