//! I21: a route's epochs grow in every order, and it is never left empty.
//! Must not know what is behind a route.

use mainstay_model::{Epoch, StepId};

use super::{Race, prove::Case, stores::in_order};

/// Every route that some step changes.
pub(crate) fn check(case: &Case<'_>) -> Result<(), Race> {
    for changes in case.reading.routes.values() {
        for (id, weights, _) in changes {
            if weights.values().all(|weight| *weight == 0) {
                return Err(case.wrong("I21", *id, "it would leave the route empty"));
            }
        }
        for (at, (id, _, epoch)) in changes.iter().enumerate() {
            let mut same = changes[at + 1..]
                .iter()
                .filter(|(_, _, other)| other == epoch);
            if let Some((other, ..)) = same.next() {
                return Err(case.race("I21", *id, *other, "both write the same epoch"));
            }
        }
        let numbered: Vec<(StepId, Epoch)> = changes.iter().map(|(id, _, e)| (*id, *e)).collect();
        in_order(
            case,
            &numbered,
            "I21",
            "an older plan could overwrite a newer one",
        )?;
    }
    Ok(())
}
