//! When a route is as wanted, for every kind of route.
//! Must not know how a route is changed.

use mainstay_model::{Goal, Predicate, Sample, Timestamp, Tri, Weights, standard_holds};

/// The weights are the wanted ones, by `same`, under the wanted epoch; and nothing that does not fit the plan file was
/// seen (`odd` is the key of [`mainstay_model::Facts::extra`] that says so).
pub(crate) fn routed(
    goal: &Goal,
    sample: &Sample,
    now: Timestamp,
    odd: &str,
    same: impl FnOnce(&Weights, &Weights) -> bool,
) -> Tri {
    let Predicate::Routed { weights, epoch } = &goal.is else {
        return standard_holds(goal, sample, now);
    };
    let Some(facts) = sample.facts() else {
        return Tri::CannotTell;
    };
    let Some(route) = &facts.route else {
        return Tri::CannotTell;
    };
    let as_wanted =
        same(&route.weights, weights) && route.epoch == *epoch && !facts.extra.contains_key(odd);
    as_wanted.into()
}
