//! What waits for what: start order, and routes in front of stores. A circle can never start.
//! Must not know sites or kinds.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ComponentId, Diagnostics,
    diagnostic::{code, quote},
    plan::{draft::Draft, shape::UseShape},
};

/// Finds workloads that wait for each other, and routes that do not lead to the store that is used through them.
pub(super) fn check(draft: &Draft<'_>, out: &mut Diagnostics) {
    via(draft, out);
    let mut waits: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, item) in &draft.workloads {
        let Some(workload) = &item.value else {
            continue;
        };
        let through = workload.uses.iter().filter_map(|one| match one {
            UseShape::Via(it) => it.via.as_ref(),
            UseShape::Store(_) => None,
        });
        let all = workload.after.iter().chain(through);
        waits.insert(name, all.map(ComponentId::as_str).collect());
    }
    for (name, item) in &draft.routes {
        let served = item.value.iter().flat_map(|route| &route.serves);
        waits.insert(name, served.map(ComponentId::as_str).collect());
    }
    for circle in circles(&waits) {
        let Some(first) = circle.first() else {
            continue;
        };
        let round: Vec<String> = circle
            .iter()
            .chain([first])
            .map(|name| quote(name))
            .collect();
        let message = format!("these wait for each other: {}", round.join(", then "));
        let field = if draft.workloads.contains_key(first) {
            ("workloads", "after")
        } else {
            ("routes", "serves")
        };
        let place = draft.root.place_at(&[field.0, first, field.1]);
        let help = "none of them could start: take one of the names out of `after` or `via`";
        out.error(code::ORDER_CYCLE, place, message, help.to_owned());
    }
}

/// A store is used through a route that serves it.
fn via(draft: &Draft<'_>, out: &mut Diagnostics) {
    for (name, item) in &draft.workloads {
        let uses = item
            .value
            .iter()
            .flat_map(|workload| workload.uses.iter().enumerate());
        for (index, one) in uses {
            let UseShape::Via(one) = one else { continue };
            let Some(via) = &one.via else { continue };
            let route = draft
                .routes
                .get(via.as_str())
                .and_then(|route| route.value.as_ref());
            let Some(route) = route.filter(|route| !route.serves.contains(&one.store)) else {
                continue;
            };
            let place =
                draft
                    .root
                    .place_at(&["workloads", name, "uses", &index.to_string(), "via"]);
            let message = format!(
                "{} is used through {}, which does not serve it",
                quote(one.store.as_str()),
                quote(via.as_str())
            );
            let help = match &route.serves[..] {
                [] => format!("write `serves: [{}]` at the route", one.store),
                _ => format!("add {} to what the route serves", quote(one.store.as_str())),
            };
            out.error(code::VIA, place, message, help);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Open,
    Done,
}

/// Circles of a graph, each name in one at most: a depth-first search without recursion.
fn circles<'a>(waits: &BTreeMap<&'a str, Vec<&'a str>>) -> Vec<Vec<&'a str>> {
    let mut marks: BTreeMap<&str, Mark> = BTreeMap::new();
    let mut reported: BTreeSet<&str> = BTreeSet::new();
    let mut found = Vec::new();
    for start in waits.keys() {
        if marks.contains_key(start) {
            continue;
        }
        let mut path: Vec<(&str, usize)> = vec![(start, 0)];
        marks.insert(start, Mark::Open);
        while let Some((name, next)) = path.last_mut() {
            let target = waits.get(name).and_then(|all| all.get(*next)).copied();
            *next += 1;
            match target.map(|target| (target, marks.get(target).copied())) {
                None => {
                    marks.insert(name, Mark::Done);
                    path.pop();
                }
                Some((target, None)) if waits.contains_key(target) => {
                    marks.insert(target, Mark::Open);
                    path.push((target, 0));
                }
                Some((target, Some(Mark::Open))) if !reported.contains(target) => {
                    let from = path
                        .iter()
                        .position(|(name, _)| *name == target)
                        .unwrap_or(0);
                    let circle: Vec<&str> = path[from..].iter().map(|(name, _)| *name).collect();
                    reported.extend(circle.iter().copied());
                    found.push(circle);
                }
                Some(_) => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_circle_is_found_and_nothing_else() {
        let graph = BTreeMap::from([
            ("a", vec!["b", "x"]),
            ("b", vec!["c"]),
            ("c", vec!["a", "d"]),
            ("d", vec![]),
            ("e", vec!["e"]),
            ("f", vec!["d", "a"]),
        ]);
        assert_eq!(circles(&graph), [vec!["a", "b", "c"], vec!["e"]]);
    }

    #[test]
    fn a_long_chain_is_no_deep_recursion() {
        let names: Vec<String> = (0..100_000).map(|n| format!("{n:06}")).collect();
        let pairs = names
            .windows(2)
            .map(|pair| (pair[0].as_str(), vec![pair[1].as_str()]));
        assert!(circles(&pairs.collect()).is_empty());
    }
}
