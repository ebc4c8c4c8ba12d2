//! I1, I2, I3, I4 and I10: one writer, growing epochs with their tokens, nobody promoted before the source is shut out
//! and its whole group is equal.
//! Must not know retreats.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_model::{Body, ComponentId, Epoch, MoveMode, Op, Predicate, SiteId, StepId, Writers};

use super::{Race, Shut, meaning::StoreActs, prove::Case};
use crate::{target::active, topology};

/// All rules about stores.
pub(crate) fn check(case: &Case<'_>) -> Result<(), Race> {
    for (name, acts) in &case.reading.stores {
        tokens(case, name, acts)?;
        let declared = case.file.stores.get(*name);
        if declared.is_none_or(|store| store.writers != Writers::Many) {
            one_writer(case, name, acts)?;
        }
        if planned(case) {
            quiesced(case, name, acts)?;
        }
    }
    if planned(case) {
        groups(case)?;
    }
    Ok(())
}

/// Whether nothing may be lost that was not given up by name.
fn planned(case: &Case<'_>) -> bool {
    matches!(case.runbook.mode, MoveMode::Switchover | MoveMode::Restore)
}

/// The sites where a component is active before the run.
pub(crate) fn initial<'a>(case: &'a Case<'_>, name: &ComponentId) -> Vec<&'a SiteId> {
    let weights = case.runbook.before.get(name);
    weights.into_iter().flat_map(active).collect()
}

/// Every effect carries its epoch, every enabling a new one, and no order presents an old token after a newer one.
fn tokens(case: &Case<'_>, name: &ComponentId, acts: &StoreActs<'_>) -> Result<(), Race> {
    let from = case.runbook.epochs.get(name).map(|epochs| epochs.from);
    for (id, site, epoch) in &acts.enables {
        let carried = case.step(*id).fence.as_ref();
        if carried.is_none_or(|fence| fence.store != *name || fence.epoch != *epoch) {
            return Err(case.wrong("I3", *id, "it does not carry its epoch as fencing token"));
        }
        if from.is_none_or(|from| *epoch <= from) {
            return Err(case.wrong("I2", *id, "it enables writes at an epoch that is not new"));
        }
        let other = acts.enables.iter();
        let mut same = other.filter(|(_, at, e)| e == epoch && at != site);
        if let Some((other, ..)) = same.next() {
            return Err(case.race("I2", *id, *other, "both enable writes at the same epoch"));
        }
    }
    for (id, _) in &acts.tokens {
        if let Body::Act(action) = &case.step(*id).body
            && let Op::Seal(epoch) = action.op
            && case
                .step(*id)
                .fence
                .as_ref()
                .is_some_and(|f| f.epoch != epoch)
        {
            return Err(case.wrong("I3", *id, "its token is not the epoch that it seals"));
        }
    }
    in_order(
        case,
        &acts.tokens,
        "I3",
        "an old token would come after a newer one",
    )
}

/// Lower numbers surely come before higher ones.
pub(crate) fn in_order(
    case: &Case<'_>,
    numbered: &[(StepId, Epoch)],
    invariant: &str,
    how: &str,
) -> Result<(), Race> {
    let mut by_number: BTreeMap<Epoch, Vec<StepId>> = BTreeMap::new();
    for (id, epoch) in numbered {
        by_number.entry(*epoch).or_default().push(*id);
    }
    let classes: Vec<&Vec<StepId>> = by_number.values().collect();
    for pair in classes.windows(2) {
        for low in pair[0] {
            for high in pair[1] {
                if !case.order.before(*low, *high) {
                    return Err(case.race(invariant, *high, *low, how));
                }
            }
        }
    }
    Ok(())
}

/// A site that may write: from the start of the run or from the start of a step.
#[derive(Clone, Copy)]
struct Writer<'a> {
    since: Option<StepId>,
    site: &'a SiteId,
    epoch: Epoch,
}

fn one_writer(case: &Case<'_>, name: &ComponentId, acts: &StoreActs<'_>) -> Result<(), Race> {
    if acts.enables.is_empty() {
        return Ok(());
    }
    let epochs = case.runbook.epochs.get(name);
    let from = epochs.map_or(Epoch(0), |epochs| epochs.from);
    let first = initial(case, name).into_iter().map(|site| Writer {
        since: None,
        site,
        epoch: from,
    });
    let later = acts.enables.iter().map(|(id, site, epoch)| Writer {
        since: Some(*id),
        site,
        epoch: *epoch,
    });
    let writers: Vec<Writer<'_>> = first.chain(later).collect();
    for (at, a) in writers.iter().enumerate() {
        for b in &writers[at + 1..] {
            if a.site != b.site {
                never_both(case, name, acts, *a, *b)?;
            }
        }
    }
    for (id, site, epoch) in &acts.enables {
        proof_is_required(case, name, acts, (*id, site, *epoch))?;
    }
    Ok(())
}

/// Between two writers at different sites the first is surely shut out.
fn never_both(
    case: &Case<'_>,
    name: &ComponentId,
    acts: &StoreActs<'_>,
    a: Writer<'_>,
    b: Writer<'_>,
) -> Result<(), Race> {
    let shut_between = |first: Writer<'_>, second: Writer<'_>| {
        let Some(then) = second.since else {
            return false;
        };
        acts.shuts.iter().any(|(shut, site, how)| {
            let begun = first
                .since
                .is_none_or(|since| case.order.before(since, *shut));
            *site == first.site
                && how.covers(first.epoch)
                && begun
                && case.order.before(*shut, then)
        })
    };
    if shut_between(a, b) || shut_between(b, a) {
        return Ok(());
    }
    let Some(then) = b.since.or(a.since) else {
        return Ok(());
    };
    let (old, new) = if b.since.is_some() { (a, b) } else { (b, a) };
    let shut = acts
        .shuts
        .iter()
        .find(|(_, site, how)| *site == old.site && how.covers(old.epoch));
    let how = format!(
        "{name} could be writable at {} and at {}",
        old.site, new.site
    );
    Err(match shut {
        Some((shut, ..)) if *shut != then => case.race("I1", then, *shut, &how),
        _ => {
            let how = format!("nothing shuts out {} first: {how}", old.site);
            case.wrong("I4", then, &how)
        }
    })
}

/// A promote looks once more, right before it acts, that every other site is shut out.
fn proof_is_required(
    case: &Case<'_>,
    name: &ComponentId,
    acts: &StoreActs<'_>,
    (id, at, epoch): (StepId, &SiteId, Epoch),
) -> Result<(), Race> {
    let from = case
        .runbook
        .epochs
        .get(name)
        .map_or(Epoch(0), |epochs| epochs.from);
    for site in initial(case, name) {
        let seen = case.step(id).requires.iter().any(|goal| {
            let here = goal.scope.site == *site && goal.scope.subject.component() == Some(name);
            here && match goal.is {
                Predicate::Sealed(sealed) => sealed >= from,
                Predicate::FencedBelow(below) => below >= epoch,
                _ => false,
            }
        });
        let vouched = acts.shuts.iter().any(|(shut, of, how)| {
            *of == site && *how == Shut::Vouched && case.order.before(*shut, id)
        });
        if site != at && !seen && !vouched {
            let how = format!("it does not require proof that {site} is shut out");
            return Err(case.wrong("I4", id, &how));
        }
    }
    Ok(())
}

/// When a store is sealed for a planned move, none of its users works any more.
fn quiesced(case: &Case<'_>, name: &ComponentId, acts: &StoreActs<'_>) -> Result<(), Race> {
    let seals = acts.shuts.iter().filter(|(id, _, how)| {
        matches!(how, Shut::UpTo(_)) && matches!(case.step(*id).body, Body::Act(_))
    });
    for (seal, ..) in seals {
        for user in case.users.get(name).into_iter().flatten() {
            never_works(case, user, *seal)?;
        }
    }
    Ok(())
}

/// No instance of the workload may be working when that step starts.
fn never_works(case: &Case<'_>, name: &ComponentId, step: StepId) -> Result<(), Race> {
    let acts = case.reading.workloads.get(name);
    let works = acts.map_or(&[][..], |acts| acts.works.as_slice());
    let rests = acts.map_or(&[][..], |acts| acts.rests.as_slice());
    let first = initial(case, name).into_iter().map(|site| (None, site));
    let later = works.iter().map(|(id, site)| (Some(*id), *site));
    for (since, site) in first.chain(later) {
        if since.is_some_and(|since| since == step || case.order.before(step, since)) {
            continue;
        }
        let mut here = rests.iter().filter(|(_, at)| *at == site);
        let at_rest = here.clone().any(|(rest, _)| {
            since.is_none_or(|since| case.order.before(since, *rest))
                && case.order.before(*rest, step)
        });
        if !at_rest {
            let how = format!("{name} may still write from {site}");
            return Err(match (here.next(), since) {
                (Some((rest, _)), _) if *rest != step => case.race("I10", step, *rest, &how),
                (_, Some(since)) => case.race("I10", step, since, &how),
                _ => case.wrong(
                    "I10",
                    step,
                    &format!("nothing stops {name} at {site} first"),
                ),
            });
        }
    }
    Ok(())
}

/// A group is promoted when each of its stores was caught up after its seal.
fn groups(case: &Case<'_>) -> Result<(), Race> {
    let moving: BTreeSet<&ComponentId> = case.runbook.epochs.keys().collect();
    let mut alone = moving.clone();
    for (_, stores) in topology::groups(case.file) {
        let stores: Vec<&ComponentId> = stores.into_iter().filter(|s| moving.contains(s)).collect();
        for name in &stores {
            alone.remove(name);
        }
        group(case, &stores)?;
    }
    for name in alone {
        group(case, &[name])?;
    }
    Ok(())
}

fn group(case: &Case<'_>, stores: &[&ComponentId]) -> Result<(), Race> {
    let acts = |name: &ComponentId| case.reading.stores.get(name);
    let mut ready: Vec<(&ComponentId, Vec<StepId>)> = Vec::new();
    for name in stores {
        if case
            .file
            .stores
            .get(*name)
            .is_none_or(|store| !store.disposable)
        {
            let copied = acts(name).map_or_else(Vec::new, |acts| after_a_seal(case, acts));
            ready.push((name, copied));
        }
    }
    let enables = stores.iter().filter_map(|name| acts(name));
    let enables: Vec<StepId> = enables
        .flat_map(|acts| acts.enables.iter().map(|e| e.0))
        .collect();
    let caught_up = |(_, copied): &(&ComponentId, Vec<StepId>), by: StepId| {
        copied
            .iter()
            .any(|copied| case.order.before_or_same(*copied, by))
    };
    // One step that waits for all of them answers for every promote behind it.
    let gates = enables
        .first()
        .map_or(&[][..], |first| &case.step(*first).after);
    let gate = gates
        .iter()
        .find(|gate| ready.iter().all(|store| caught_up(store, **gate)));
    for promote in enables {
        if gate.is_some_and(|gate| case.order.before(*gate, promote)) {
            continue;
        }
        let late = ready.iter().find(|(_, copied)| {
            !copied
                .iter()
                .any(|copied| case.order.before(*copied, promote))
        });
        if let Some((name, copied)) = late {
            let how = format!("{name} is promoted with its group only when it is equal");
            return Err(match copied.iter().find(|copied| **copied != promote) {
                Some(copied) => case.race("I10", promote, *copied, &how),
                None => case.wrong(
                    "I10",
                    promote,
                    &format!("nothing catches {name} up after its seal"),
                ),
            });
        }
    }
    Ok(())
}

/// The catch-ups that reach what a seal left.
fn after_a_seal(case: &Case<'_>, acts: &StoreActs<'_>) -> Vec<StepId> {
    let sealed = |of: &StepId, copy: StepId| {
        acts.shuts.iter().any(|(shut, ..)| shut == of) && case.order.before(*of, copy)
    };
    let copies = acts.catch_ups.iter();
    copies
        .filter(|(copy, of)| of.iter().any(|of| sealed(of, *copy)))
        .map(|(copy, _)| *copy)
        .collect()
}
