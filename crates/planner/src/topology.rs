//! Who uses what, who is in front of whom, who starts after whom: the plan file, turned round.
//! Must not know placements or moves.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_model::{ComponentId, GroupId, PlanFile};

use crate::{Code, Refusal};

/// Names, by a name they belong to.
pub(crate) type Index<'a> = BTreeMap<&'a ComponentId, Vec<&'a ComponentId>>;

/// The plan file's relations, each in both directions.
#[derive(Debug)]
pub(crate) struct Topology<'a> {
    /// Store to the workloads that use it.
    pub(crate) users: Index<'a>,
    /// Store or workload to the routes in front of it.
    pub(crate) fronts: Index<'a>,
    /// Workload to those that start after it.
    pub(crate) followers: Index<'a>,
    /// Workloads in start order.
    pub(crate) start_order: Vec<&'a ComponentId>,
}

impl<'a> Topology<'a> {
    /// Turns the plan file round.
    pub(crate) fn of(file: &'a PlanFile) -> Result<Self, Refusal> {
        let (mut fronts, mut followers) = (Index::new(), Index::new());
        for (name, workload) in &file.workloads {
            for earlier in &workload.after {
                followers.entry(earlier).or_default().push(name);
            }
        }
        for (name, route) in &file.routes {
            for served in &route.serves {
                fronts.entry(served).or_default().push(name);
            }
        }
        let start_order = start_order(file, &followers)?;
        Ok(Self {
            users: users(file),
            fronts,
            followers,
            start_order,
        })
    }

    /// The workloads that use a store.
    pub(crate) fn users_of(&self, store: &ComponentId) -> &[&'a ComponentId] {
        self.users.get(store).map_or(&[], Vec::as_slice)
    }

    /// The routes in front of a component.
    pub(crate) fn fronts_of(&self, component: &ComponentId) -> &[&'a ComponentId] {
        self.fronts.get(component).map_or(&[], Vec::as_slice)
    }

    /// The workloads that start after one.
    pub(crate) fn followers_of(&self, workload: &ComponentId) -> &[&'a ComponentId] {
        self.followers.get(workload).map_or(&[], Vec::as_slice)
    }
}

/// Store to the workloads that use it.
pub(crate) fn users(file: &PlanFile) -> Index<'_> {
    let mut users = Index::new();
    for (name, workload) in &file.workloads {
        let stores: BTreeSet<_> = workload.uses.iter().map(|used| &used.store).collect();
        for store in stores {
            users.entry(store).or_default().push(name);
        }
    }
    users
}

/// Kahn's algorithm; among workloads that may start together, by name.
fn start_order<'a>(
    file: &'a PlanFile,
    followers: &Index<'a>,
) -> Result<Vec<&'a ComponentId>, Refusal> {
    let mut waits: BTreeMap<&ComponentId, usize> = file
        .workloads
        .iter()
        .map(|(name, workload)| (name, workload.after.len()))
        .collect();
    let mut free: BTreeSet<&ComponentId> = waits
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(name, _)| *name)
        .collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(name) = free.pop_first() {
        order.push(name);
        for follower in followers.get(name).into_iter().flatten() {
            if let Some(count) = waits.get_mut(follower) {
                *count -= 1;
                if *count == 0 {
                    free.insert(follower);
                }
            }
        }
    }
    if order.len() == file.workloads.len() {
        return Ok(order);
    }
    let stuck: Vec<_> = waits
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, _)| name.as_str())
        .take(8)
        .collect();
    Err(Refusal::new(
        Code::StartOrderCycle,
        format!("these wait for each other: {}", stuck.join(", ")),
    ))
}

/// The groups of a plan file: the declared ones, and for each workload one of those of its stores that no
/// declared group names.
pub(crate) fn groups(file: &PlanFile) -> Vec<(Option<&GroupId>, Vec<&ComponentId>)> {
    let mut groups: Vec<(Option<&GroupId>, Vec<&ComponentId>)> = file
        .groups
        .iter()
        .map(|(name, group)| (Some(name), group.stores.iter().collect()))
        .collect();
    let named: BTreeSet<&ComponentId> = groups
        .iter()
        .flat_map(|(_, stores)| stores.iter().copied())
        .collect();
    let together: BTreeSet<Vec<&ComponentId>> = file
        .workloads
        .values()
        .map(|workload| {
            let stores: BTreeSet<&ComponentId> = workload
                .uses
                .iter()
                .map(|used| &used.store)
                .filter(|store| !named.contains(store))
                .collect();
            stores.into_iter().collect::<Vec<_>>()
        })
        .filter(|stores| stores.len() > 1)
        .collect();
    groups.extend(together.into_iter().map(|stores| (None, stores)));
    groups
}

/// Sets of stores that are connected by groups, restricted to those that `keep` accepts. Each such store is in one.
pub(crate) fn clusters(
    file: &PlanFile,
    keep: impl Fn(&ComponentId) -> bool,
) -> Vec<Vec<&ComponentId>> {
    let stores: Vec<&ComponentId> = file.stores.keys().filter(|name| keep(name)).collect();
    let place: BTreeMap<&ComponentId, usize> = stores
        .iter()
        .enumerate()
        .map(|(at, name)| (*name, at))
        .collect();
    let mut parent: Vec<usize> = (0..stores.len()).collect();
    for (_, members) in groups(file) {
        let mut places = members.iter().filter_map(|name| place.get(name).copied());
        if let Some(first) = places.next() {
            for other in places {
                let (a, b) = (root(&mut parent, first), root(&mut parent, other));
                parent[a.max(b)] = a.min(b);
            }
        }
    }
    let mut sets: BTreeMap<usize, Vec<&ComponentId>> = BTreeMap::new();
    for (at, name) in stores.iter().enumerate() {
        sets.entry(root(&mut parent, at)).or_default().push(name);
    }
    sets.into_values().collect()
}

fn root(parent: &mut [usize], mut at: usize) -> usize {
    while parent[at] != at {
        parent[at] = parent[parent[at]];
        at = parent[at];
    }
    at
}
