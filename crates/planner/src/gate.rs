//! Preconditions that can be judged before a runbook exists: hard ones refuse, advisory ones warn.
//! Must not know steps. What only a dead site could answer is advisory in a failover.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_model::{Access, ComponentId, Kinds, MoveMode, OnLoss, PlanFile, SiteId, StoreFacts};

use crate::{
    Code, Observed, Refusal,
    target::{Moves, StoreMove},
};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Reasons to refuse.
    pub(crate) refusals: Vec<Refusal>,
    /// Reasons to warn.
    pub(crate) warnings: Vec<Refusal>,
}

/// Every component's kind is known.
pub(crate) fn kinds_known(file: &PlanFile, kinds: &Kinds) -> Vec<Refusal> {
    let stores = file.stores.values().map(|store| &store.declared);
    let workloads = file.workloads.values().map(|workload| &workload.declared);
    let routes = file.routes.values().map(|route| &route.declared);
    let all = stores.chain(workloads).chain(routes);
    all.filter(|declared| kinds.get(declared.kind.as_str()).is_none())
        .map(|declared| {
            let evidence = format!("{} is of kind {}", declared.name, declared.kind);
            Refusal::new(Code::UnknownKind, evidence)
        })
        .collect()
}

/// Agents, quarantine, marks and copies.
pub(crate) fn check(file: &PlanFile, observed: &Observed, moves: &Moves, mode: MoveMode) -> Found {
    let mut found = Found::default();
    let (mut from, mut to) = (BTreeSet::new(), BTreeSet::new());
    for store in moves.stores.values() {
        from.insert(&store.from);
        to.insert(&store.to);
    }
    for workload in moves.workloads.values() {
        from.extend(workload.leaving.iter().chain(&workload.staying));
        to.extend(&workload.arriving);
    }
    for site in &to {
        if !observed.answers(site) {
            let flag = format!("mainstay agent --site {site}");
            found.refusals.push(silent(site).unless(flag));
        }
        if observed.quarantined(site) {
            let evidence = format!("{site} was fenced and is not a proven copy yet");
            let flag = format!("mainstay reprotect {site}");
            let refusal = Refusal::new(Code::SiteQuarantined, evidence);
            found.refusals.push(refusal.unless(flag));
        }
    }
    for site in from.into_iter().filter(|site| !observed.answers(site)) {
        if mode == MoveMode::Failover {
            found.warnings.push(silent(site));
            continue;
        }
        let flag = match to.first().filter(|to| **to != site) {
            Some(to) => format!("mainstay plan failover --to {to}"),
            None => format!("mainstay agent --site {site}"),
        };
        found.refusals.push(silent(site).unless(flag));
    }
    for (name, store) in &moves.stores {
        ownership(observed, name, store, &mut found);
        copies(file, observed, (name, store), mode, &mut found);
    }
    if mode == MoveMode::Failover {
        found.warnings.extend(could_hand_over(observed, moves));
    }
    found
}

/// Sites that a forced move would leave though their stores can still be read: the move does not copy the rest.
fn could_hand_over(observed: &Observed, moves: &Moves) -> Vec<Refusal> {
    let mut readable: BTreeMap<(&SiteId, &SiteId), Vec<&str>> = BTreeMap::new();
    for (name, store) in &moves.stores {
        let seen = facts(observed, name, &store.from).map(|facts| facts.access);
        let there = matches!(seen, Some(Access::Open | Access::Sealed));
        if there && observed.answers(&store.from) {
            let ends = (&store.from, &store.to);
            readable.entry(ends).or_default().push(name.as_str());
        }
    }
    let warning = |((from, to), names): ((&SiteId, &SiteId), Vec<&str>)| {
        let names = names.join(" and ");
        let evidence =
            format!("{from} answers, {names} can be read there: a switchover loses nothing");
        let flag = format!("mainstay switchover --to {to}");
        Refusal::new(Code::SourceAnswers, evidence).unless(flag)
    };
    readable.into_iter().map(warning).collect()
}

/// Both ends of a reprotect answer, and the owner is who Mainstay thinks it is.
pub(crate) fn check_reprotect(observed: &Observed, site: &SiteId, moves: &Moves) -> Vec<Refusal> {
    let owners = moves.stores.values().map(|store| &store.from);
    let sites: BTreeSet<&SiteId> = owners.chain([site]).collect();
    let silent_sites = sites.into_iter().filter(|site| !observed.answers(site));
    let mut refusals: Vec<Refusal> = silent_sites.map(silent).collect();
    for (name, store) in &moves.stores {
        if store.epochs.from.0 == 0 {
            let refusal = Refusal::new(Code::NotAdopted, format!("{name} was never owned"));
            refusals.push(refusal.unless(format!("mainstay adopt {name}")));
        }
    }
    refusals
}

fn silent(site: &SiteId) -> Refusal {
    Refusal::new(
        Code::SiteSilent,
        format!("the agent of {site} does not answer"),
    )
}

fn facts<'a>(observed: &'a Observed, name: &ComponentId, site: &SiteId) -> Option<&'a StoreFacts> {
    let sample = observed.stores.get(name)?.at.get(site)?;
    sample.facts()?.store.as_ref()
}

/// The mark at the store is the one that Mainstay left there.
fn ownership(observed: &Observed, name: &ComponentId, store: &StoreMove, found: &mut Found) {
    let flag = format!("mainstay adopt {name}");
    if store.epochs.from.0 == 0 {
        let refusal = Refusal::new(Code::NotAdopted, format!("{name} was never owned"));
        found.refusals.push(refusal.unless(&flag));
        return;
    }
    for site in [&store.from, &store.to] {
        let Some(facts) = facts(observed, name, site) else {
            continue;
        };
        let newer = facts
            .mark
            .as_ref()
            .filter(|mark| mark.epoch > store.epochs.from);
        let elsewhere = facts.access == Access::Open && *site == store.to && store.to != store.from;
        if newer.is_some() || elsewhere {
            let evidence = match newer {
                Some(mark) => format!(
                    "{name} at {site} is at epoch {} of {}, expected {} of {}",
                    mark.epoch, mark.owner, store.epochs.from, store.from
                ),
                None => format!("{name} takes writes at {site}, expected at {}", store.from),
            };
            let refusal = Refusal::new(Code::MovedExternally, evidence);
            found.refusals.push(refusal.unless(&flag));
        }
    }
}

/// The destination has something to promote.
fn copies(
    file: &PlanFile,
    observed: &Observed,
    (name, store): (&ComponentId, &StoreMove),
    mode: MoveMode,
    found: &mut Found,
) {
    let Some(declared) = file.stores.get(name).filter(|store| !store.disposable) else {
        return;
    };
    if mode == MoveMode::Restore {
        // What it goes back to is in a repository; whether it is there shows when it is brought.
        return;
    }
    let at_target = facts(observed, name, &store.to);
    let point = at_target.and_then(|facts| facts.recovery.as_ref());
    let copied = point.is_some_and(|point| point.source == store.from);
    let nothing = at_target.is_none_or(|facts| facts.access == Access::Empty);
    if mode == MoveMode::Switchover {
        if declared.copy.is_none() {
            let evidence = format!("{name} has no copy at {}, only backups or none", store.to);
            found
                .refusals
                .push(Refusal::new(Code::CopyMissing, evidence));
        } else if !copied {
            let evidence = format!(
                "{name} at {} is not a proven copy of {}",
                store.to, store.from
            );
            let flag = format!("mainstay reprotect {}", store.to);
            found
                .refusals
                .push(Refusal::new(Code::CopyMissing, evidence).unless(flag));
        }
        return;
    }
    let restorable = declared.copy.is_none() && !declared.backup.is_empty();
    if copied || restorable {
        return;
    }
    let evidence = format!(
        "{name} has no recovery point of {} at {}",
        store.from, store.to
    );
    let refusal = Refusal::new(Code::NothingToPromote, evidence);
    if nothing && declared.on_loss == OnLoss::Refuse {
        let flag = "on_loss: start-empty";
        found.refusals.push(refusal.unless(flag));
    } else {
        found.warnings.push(refusal);
    }
}
