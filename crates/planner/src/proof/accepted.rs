//! I9: a forced move carries an acceptance of every recovery point that it may fall back to.
//! Must not know who accepted, or why.

use mainstay_model::{MoveMode, StepId};

use super::{Race, prove::Case};
use crate::loss::is_worse;

/// The acceptance against the loss bound that is written beside it.
pub(crate) fn check(case: &Case<'_>) -> Result<(), Race> {
    if case.runbook.mode != MoveMode::Failover {
        return Ok(());
    }
    let refuse = |how: String| Race {
        invariant: "I9".to_owned(),
        early: None::<StepId>,
        late: None,
        how,
        order: Vec::new(),
    };
    let (Some(loss), Some(acceptance)) = (&case.runbook.loss, &case.runbook.acceptance) else {
        return Err(refuse("a forced move without an acceptance".to_owned()));
    };
    if acceptance.until < loss.at {
        return Err(refuse(format!(
            "the acceptance ran out at {}",
            acceptance.until
        )));
    }
    for (name, bound) in &loss.stores {
        match acceptance.points.get(name) {
            None if acceptance.limit.is_unbounded() => {}
            None => return Err(refuse(format!("{name} is not in the acceptance"))),
            Some(Some(then)) if is_worse(then, bound.recovery.as_ref()) => {
                let how = format!("the recovery point of {name} is worse than the accepted one");
                return Err(refuse(how));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
