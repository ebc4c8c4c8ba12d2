//! Whether data is protected at all, and whether the intervals of the file can keep its objectives.
//! Must not know kinds; what they measure is known only later.

use std::collections::BTreeMap;

use super::sites::{domain, role};
use crate::{
    Diagnostics, Span,
    diagnostic::{code, quote},
    plan::{
        defaults,
        draft::Draft,
        file::{CopyOffline, Role, Standby, Writers},
        shape::{ObjectivesShape, StoreShape, UseShape},
    },
};

/// Checks copies, backups, objectives and groups.
pub(super) fn check(draft: &Draft<'_>, out: &mut Diagnostics) {
    for (name, item) in &draft.stores {
        let Some(store) = &item.value else { continue };
        let lives = store.writers.unwrap_or(Writers::One) != Writers::One;
        if store.disposable.is_some() || lives {
            continue;
        }
        if store.copy.is_none() && store.backup.is_empty() {
            let message = format!(
                "{} has neither a copy nor a backup: what it holds dies with its site",
                quote(name)
            );
            let help = "give it `copy: {}` or `backup: [...]`, or write `disposable: rebuild`";
            out.error(
                code::UNPROTECTED,
                item.entry.key_place,
                message,
                help.to_owned(),
            );
            continue;
        }
        rpo(draft, name, store, out);
    }
    rto(draft, out);
    repositories(draft, out);
    grouped_twice(draft, out);
    serves_nothing(draft, out);
    cold(draft, out);
    leases(draft, out);
}

/// The most time between two states that survive the site, as declared; none when the kind decides.
fn interval(store: &StoreShape) -> Option<(Span, &'static [&'static str])> {
    let copied = match &store.copy {
        Some(copy) if copy.offline != Some(CopyOffline::Both) => match copy.every {
            Some(every) => Some((every, &["copy", "every"][..])),
            None => return None,
        },
        // Copied only while both ends stand still: a lost site takes everything since the last move.
        _ => None,
    };
    let backed = store
        .backup
        .iter()
        .map(|backup| (backup.every, &["backup"][..]));
    let offline: &[&str] = &["copy", "offline"];
    copied
        .into_iter()
        .chain(backed)
        .min_by_key(|(every, _)| *every)
        .or(Some((Span::MAX, offline)))
}

fn rpo(draft: &Draft<'_>, name: &str, store: &StoreShape, out: &mut Diagnostics) {
    let Some((every, field)) = interval(store) else {
        return;
    };
    let promised = store
        .objectives
        .rpo
        .unwrap_or(defaults::objectives(draft.objectives).rpo);
    if every <= promised {
        return;
    }
    let mut path = vec!["stores", name];
    path.extend(field);
    let place = match field {
        ["backup"] => draft
            .root
            .place_at(&["stores", name, "backup", "0", "every"]),
        _ => draft.root.place_at(&path),
    };
    let message = if every.is_unbounded() {
        format!(
            "{} is copied only during moves, but at most {promised} of it may be lost",
            quote(name)
        )
    } else {
        format!(
            "{} is saved every {every}, but at most {promised} of it may be lost",
            quote(name)
        )
    };
    let help = if every.is_unbounded() {
        "add a backup with a shorter interval, or give the store `objectives: { rpo: ... }` that it can keep".to_owned()
    } else {
        format!(
            "save it at least every {promised}, or write `objectives: {{ rpo: {every} }}` at the store"
        )
    };
    out.error(code::RPO, place, message, help);
}

/// Noticing, waiting out leases and caches: what a forced move takes before it does anything.
fn rto(draft: &Draft<'_>, out: &mut Diagnostics) {
    let promised = |own: ObjectivesShape| {
        own.rto
            .unwrap_or(defaults::objectives(draft.objectives).rto)
    };
    let noticed = draft.detect.as_ref().map_or(Span::ZERO, |detect| {
        detect.every.saturating_add(detect.confirm)
    });
    let mut behind: BTreeMap<&str, Span> = BTreeMap::new();
    for item in draft.routes.values() {
        let Some(route) = &item.value else { continue };
        for served in &route.serves {
            let ttl = behind.entry(served.as_str()).or_default();
            *ttl = (*ttl).max(route.ttl.unwrap_or(Span::ZERO));
        }
    }
    for (name, item) in &draft.workloads {
        let Some(workload) = &item.value else {
            continue;
        };
        let leases = workload.uses.iter().filter_map(|one| {
            let (UseShape::Store(store)
            | UseShape::Via(crate::plan::shape::ViaShape { store, .. })) = one;
            draft.stores.get(store.as_str())?.value.as_ref()?.lease
        });
        let lease = leases.max().unwrap_or(Span::ZERO);
        let ttl = behind.get(name).copied().unwrap_or(Span::ZERO);
        let sum = noticed.saturating_add(lease).saturating_add(ttl);
        let promised = promised(workload.objectives);
        if sum <= promised {
            continue;
        }
        let parts = [
            ("noticing", noticed),
            ("a lease", lease),
            ("what clients may have cached", ttl),
        ];
        let parts: Vec<String> = (parts.iter())
            .filter(|(_, span)| *span > Span::ZERO)
            .map(|(what, span)| format!("{span} for {what}"))
            .collect();
        let message = format!(
            "{} is promised back within {promised}, but a failover takes at least {sum}: {}",
            quote(name),
            parts.join(", ")
        );
        let help = "shorten `detect.every`, `detect.confirm`, the lease or the route's `ttl`, or promise a longer `rto`";
        out.error(code::RTO, item.entry.key_place, message, help.to_owned());
    }
}

/// A backup beside the data falls with it.
fn repositories(draft: &Draft<'_>, out: &mut Diagnostics) {
    let placement = defaults::placement(draft);
    let mut kept: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, item) in &draft.stores {
        for backup in item.value.iter().flat_map(|store| &store.backup) {
            kept.entry(backup.to.as_str()).or_default().push(name);
        }
    }
    for (name, item) in &draft.repositories {
        let Some(own) = item
            .value
            .as_ref()
            .and_then(|repository| repository.domain.as_deref())
        else {
            continue;
        };
        let data = |site: &&&str| {
            role(draft, site) == Some(Role::Data) && domain(draft, site) == Some(own)
        };
        let Some(site) = draft.sites.keys().find(data) else {
            continue;
        };
        let active = |store: &&&str| {
            placement
                .get(**store)
                .is_some_and(|weights| weights.contains_key(*site))
        };
        let here = kept.get(name).and_then(|stores| stores.iter().find(active));
        let place = draft.root.place_at(&["repositories", name, "domain"]);
        let help = "keep backups in a failure domain of their own";
        if let Some(store) = here {
            let message = format!(
                "{} is in the failure domain of {}, where {} is active: they fall together",
                quote(name),
                quote(site),
                quote(store)
            );
            out.error(code::BACKUP_DOMAIN, place, message, help.to_owned());
        } else {
            let message = format!(
                "{} is in the failure domain of {}",
                quote(name),
                quote(site)
            );
            out.warning(code::BACKUP_DOMAIN, place, message, help.to_owned());
        }
    }
}

fn grouped_twice(draft: &Draft<'_>, out: &mut Diagnostics) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, item) in &draft.groups {
        for (index, store) in item
            .value
            .iter()
            .flat_map(|group| group.stores.iter().enumerate())
        {
            let Some(other) = seen.insert(store.as_str(), name) else {
                continue;
            };
            let place = draft
                .root
                .place_at(&["groups", name, "stores", &index.to_string()]);
            let message = format!(
                "{} is in the group {} already",
                quote(store.as_str()),
                quote(other)
            );
            let help = "make one group of the two, or take it out of one";
            out.error(code::GROUPED_TWICE, place, message, help.to_owned());
        }
    }
}

fn serves_nothing(draft: &Draft<'_>, out: &mut Diagnostics) {
    for (name, item) in &draft.routes {
        if item
            .value
            .as_ref()
            .is_some_and(|route| route.serves.is_empty())
        {
            let message = format!(
                "{} serves nothing: no move would ever shift it",
                quote(name)
            );
            let help = "write `serves: [...]` with the workloads or stores behind it";
            out.error(
                code::SERVES_NOTHING,
                item.entry.key_place,
                message,
                help.to_owned(),
            );
        }
    }
}

/// What does not exist must be created by someone.
fn cold(draft: &Draft<'_>, out: &mut Diagnostics) {
    let stores = draft
        .stores
        .values()
        .map(|item| (item.entry, item.value.as_ref().and_then(|it| it.standby)));
    let workloads = draft
        .workloads
        .values()
        .map(|item| (item.entry, item.value.as_ref().and_then(|it| it.standby)));
    for (entry, standby) in stores.chain(workloads) {
        let own = entry.value.get("provision").is_some();
        let at = entry.value.get("at").map_or(&[][..], crate::Node::entries);
        let provided = own || at.iter().any(|site| site.value.get("provision").is_some());
        if standby == Some(Standby::Cold) && !provided {
            let place = entry.value.place_at(&["standby"]);
            let message = format!(
                "{} does not exist at the other site, and nothing says how to create it",
                quote(&entry.key)
            );
            let help = "write `provision: {...}`, if its kind has it, or `standby: warm` and deploy it beforehand";
            out.error(code::NO_PROVISION, place, message, help.to_owned());
        }
    }
}

fn leases(draft: &Draft<'_>, out: &mut Diagnostics) {
    let witness = draft
        .sites
        .keys()
        .any(|site| role(draft, site) == Some(Role::Witness));
    if witness || draft.sites.values().any(|site| site.value.is_none()) {
        return;
    }
    for (name, item) in &draft.stores {
        if item
            .value
            .as_ref()
            .is_some_and(|store| store.lease.is_some())
        {
            let place = draft.root.place_at(&["stores", name, "lease"]);
            let message = "a lease is granted by a witness, and there is none";
            let help = "declare a third site with `role: witness` in a failure domain of its own";
            out.error(code::NO_WITNESS, place, message, help.to_owned());
        }
    }
}
