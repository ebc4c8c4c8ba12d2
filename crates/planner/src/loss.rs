//! What a forced move may lose, and whether somebody accepted that (I9, I13).
//! Must not know steps.

use std::collections::BTreeMap;

use mainstay_model::{
    Acceptance, ComponentId, Kinds, LossBound, LossMode, PersonId, PlanFile, Position,
    RecoveryPoint, Sample, SiteId, Span, StoreBound, Timestamp,
};

use crate::{
    Code, Observed, Refusal,
    target::Moves,
    topology::{self},
};

/// What would be lost if these stores had to do without the given site now: for each store source time and bytes,
/// and for each group its skew. Never below the true loss: what is not known is infinite, and age counts as loss.
#[must_use]
pub fn loss_bound(
    file: &PlanFile,
    kinds: &Kinds,
    observed: &Observed,
    stores: &BTreeMap<ComponentId, (SiteId, SiteId)>,
) -> LossBound {
    let bounds: BTreeMap<ComponentId, StoreBound> = stores
        .iter()
        .filter(|(name, _)| !has_nothing_to_lose(file, kinds, name))
        .map(|(name, (from, to))| (name.clone(), store_bound(observed, name, from, to)))
        .collect();
    let worst = bounds.values().map(|bound| bound.time).max();
    LossBound {
        at: observed.now,
        worst: worst.unwrap_or(Span::ZERO),
        skew: skew(file, &bounds),
        stores: bounds,
    }
}

fn has_nothing_to_lose(file: &PlanFile, kinds: &Kinds, name: &ComponentId) -> bool {
    file.stores.get(name).is_some_and(|store| {
        let kind = kinds.get(store.declared.kind.as_str());
        store.disposable
            || kind.is_some_and(|kind| kind.traits(&store.declared).loss == LossMode::Disposable)
    })
}

fn store_bound(observed: &Observed, name: &ComponentId, from: &SiteId, to: &SiteId) -> StoreBound {
    let now = observed.stores.get(name);
    let sample = now.and_then(|now| now.at.get(to));
    let Some((sample, recovery)) = sample.and_then(|sample| Some((sample, point(sample, from)?)))
    else {
        let time = if observed.bugs.has("loss-unknown-is-zero") {
            Span::ZERO
        } else {
            Span::MAX
        };
        return StoreBound {
            recovery: None,
            time,
            bytes: None,
        };
    };
    let fenced = now.and_then(|now| Some((now.epoch, now.fenced.get(from)?)));
    let until = match fenced {
        Some((epoch, fence)) if fence.below > epoch => fence.at.min(observed.now),
        _ if observed.bugs.has("loss-until-sample") => sample.at,
        _ => observed.now,
    };
    let facts = sample.facts().and_then(|facts| facts.store.as_ref());
    let age = age(&recovery, sample.at, until, observed.now);
    StoreBound {
        time: observed.clocks.at_most(to, age),
        bytes: facts.and_then(|facts| facts.behind_bytes),
        recovery: Some(recovery),
    }
}

/// The recovery point of a sample, if it is one of that source.
pub(crate) fn point(sample: &Sample, source: &SiteId) -> Option<RecoveryPoint> {
    let recovery = sample.facts()?.store.as_ref()?.recovery.as_ref()?;
    (recovery.source == *source).then(|| recovery.clone())
}

/// Source time from the recovery point to the end. A recovery point cannot be younger than the look that found it;
/// one that lies in the future was dated by another clock, and then nothing is known.
fn age(recovery: &RecoveryPoint, seen: Timestamp, until: Timestamp, now: Timestamp) -> Span {
    let taken = recovery.taken_at.min(seen);
    if taken > now {
        return Span::MAX;
    }
    until.since(taken)
}

/// The greatest difference between recovery points in one group; infinite when one of several is unknown.
fn skew(file: &PlanFile, bounds: &BTreeMap<ComponentId, StoreBound>) -> Span {
    let mut worst = Span::ZERO;
    for (_, stores) in topology::groups(file) {
        let points: Vec<_> = stores.iter().filter_map(|name| bounds.get(*name)).collect();
        let known = points.iter().filter_map(|bound| bound.recovery.as_ref());
        let taken: Vec<Timestamp> = known.map(|point| point.taken_at).collect();
        let group = match (taken.iter().min(), taken.iter().max()) {
            _ if points.len() < 2 => Span::ZERO,
            (Some(first), Some(last)) if taken.len() == points.len() => last.since(*first),
            _ => Span::MAX,
        };
        worst = worst.max(group);
    }
    worst
}

/// An acceptance of what a bound shows, up to a limit.
#[must_use]
pub fn accept(bound: &LossBound, limit: Span, by: PersonId, until: Timestamp) -> Acceptance {
    let points = bound.stores.iter();
    Acceptance {
        limit,
        by,
        at: bound.at,
        until,
        points: points
            .map(|(name, bound)| (name.clone(), bound.recovery.clone()))
            .collect(),
    }
}

/// The loss of the stores that a plan moves.
pub(crate) fn of_moves(
    file: &PlanFile,
    kinds: &Kinds,
    observed: &Observed,
    moves: &Moves,
) -> LossBound {
    let stores = moves.stores.iter();
    let stores = stores.map(|(name, it)| (name.clone(), (it.from.clone(), it.to.clone())));
    loss_bound(file, kinds, observed, &stores.collect())
}

/// Why that acceptance does not cover that bound; empty when it does.
pub(crate) fn check(
    observed: &Observed,
    moves: &Moves,
    bound: &LossBound,
    acceptance: Option<&Acceptance>,
) -> Vec<Refusal> {
    let flag = format!("--accept-loss {}", bound.worst);
    let Some(acceptance) = acceptance else {
        let evidence = format!("it may lose {}: {}", bound.worst, words(bound));
        return vec![Refusal::new(Code::LossNotAccepted, evidence).unless(flag)];
    };
    let mut refusals = Vec::new();
    if acceptance.until < observed.now && !observed.bugs.has("accept-expired") {
        let evidence = format!(
            "it was good until {}, now is {}",
            acceptance.until, bound.at
        );
        refusals.push(Refusal::new(Code::AcceptanceExpired, evidence).unless(flag.clone()));
    }
    for (name, now) in &bound.stores {
        if observed.bugs.has("accept-worse-point") {
            continue;
        }
        let accepted = acceptance.points.get(name);
        let shown = match accepted {
            None if acceptance.limit.is_unbounded() => Span::MAX,
            None => {
                let evidence = format!("{name} was not shown when the loss was accepted");
                refusals.push(Refusal::new(Code::LossNotAccepted, evidence).unless(&flag));
                continue;
            }
            Some(None) => Span::MAX,
            Some(Some(then)) => {
                if is_worse(then, now.recovery.as_ref()) {
                    let evidence = format!("{name} had one of {} then", then.taken_at);
                    refusals.push(Refusal::new(Code::RecoveryPointWorse, evidence).unless(&flag));
                }
                let age = acceptance.at.since(then.taken_at);
                let to = moves.stores.get(name).map(|it| &it.to);
                to.map_or(age, |to| observed.clocks.at_most(to, age))
            }
        };
        // An old acceptance is measured by what was shown then; later only the recovery points count.
        if shown.min(now.time) > acceptance.limit {
            let evidence = format!(
                "{name} may lose {}, accepted {}",
                now.time, acceptance.limit
            );
            refusals.push(Refusal::new(Code::LossAboveAcceptance, evidence).unless(&flag));
        }
    }
    refusals
}

/// Whether the recovery point that is there now lacks something that the accepted one had.
pub(crate) fn is_worse(then: &RecoveryPoint, now: Option<&RecoveryPoint>) -> bool {
    let Some(now) = now else {
        return true;
    };
    let ordered = !matches!(then.position, Position::Digest(_));
    let lacks = ordered && now.position.covers(&then.position) == Some(false);
    now.source != then.source || now.taken_at < then.taken_at || lacks
}

fn words(bound: &LossBound) -> String {
    let stores = bound.stores.iter().map(|(name, store)| {
        let since = match &store.recovery {
            Some(point) => format!("recovery point {}", point.taken_at),
            None => "no recovery point".to_owned(),
        };
        let bytes = store.bytes.map(|bytes| format!(", {bytes} bytes behind"));
        format!(
            "{name} {} ({since}{})",
            store.time,
            bytes.unwrap_or_default()
        )
    });
    let mut words: Vec<String> = stores.collect();
    if bound.skew > Span::ZERO {
        words.push(format!("skew {}", bound.skew));
    }
    if words.is_empty() {
        words.push("no store has anything to lose".to_owned());
    }
    words.join("; ")
}
