//! Whether a step may act now: a standing approval (I26), and for a promote in a failover a standing acceptance (I9).
//! Must not know how either was obtained.

use mainstay_model::{Acceptance, LossBound, MoveMode, Output, Phase, RecoveryPoint, Step};

use super::state::{Commit, RunState, Turn};
use crate::{Approval, bugs::Bug, machine::Permit};

impl RunState {
    /// Whether a step may record its intent.
    pub(crate) fn permit(&self, step: &Step, seen: &Output, turn: &Turn<'_>) -> Permit {
        if !self.is_approved(turn) {
            return Permit::Wait;
        }
        if step.phase == Phase::Promote && turn.runbook.mode == MoveMode::Failover {
            let runbook = turn.runbook;
            let good = match (&runbook.acceptance, &runbook.loss) {
                (Some(acceptance), Some(loss)) => {
                    let current =
                        turn.now < acceptance.until || self.bugs.has(Bug::AcceptanceNeverExpires);
                    let covered = covers(acceptance, loss) && still_reached(acceptance, step, seen)
                        || self.bugs.has(Bug::AcceptanceCoversAnything);
                    current && covered
                }
                _ => self.bugs.has(Bug::PromoteWithoutAcceptance),
            };
            if !good {
                return Permit::NoAcceptance;
            }
        }
        Permit::Go
    }

    fn is_approved(&self, turn: &Turn<'_>) -> bool {
        self.created.approval == Approval::NotNeeded
            || self.commit == Commit::Behind
            || self.approved.as_ref().is_some_and(|(_, until)| {
                turn.now < *until || self.bugs.has(Bug::ApprovalNeverExpires)
            })
    }
}

/// Whether the acceptance covers each store's loss, the skew, and the very recovery points that the runbook uses.
fn covers(acceptance: &Acceptance, loss: &LossBound) -> bool {
    let within = loss.worst <= acceptance.limit && loss.skew <= acceptance.limit;
    within
        && loss.stores.iter().all(|(store, bound)| {
            let accepted = acceptance.points.get(store);
            bound.time <= acceptance.limit
                && accepted
                    .is_some_and(|accepted| not_worse(bound.recovery.as_ref(), accepted.as_ref()))
        })
}

fn not_worse(used: Option<&RecoveryPoint>, accepted: Option<&RecoveryPoint>) -> bool {
    match (used, accepted) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(used), Some(accepted)) => {
            used.source == accepted.source
                && used.taken_at >= accepted.taken_at
                && used.position.covers(&accepted.position) != Some(false)
        }
    }
}

/// Whether what was seen just now still includes the accepted recovery point, as far as that can be compared. A copy
/// that the loss cut short has other content than any recovery point; what it had proven before stays proven.
fn still_reached(acceptance: &Acceptance, step: &Step, seen: &Output) -> bool {
    let accepted = step
        .subject
        .component()
        .and_then(|store| acceptance.points.get(store)?.as_ref());
    if let Some(reached) = accepted.and_then(|accepted| seen.recovers(accepted)) {
        return reached;
    }
    match (accepted, &seen.position) {
        (Some(accepted), Some(now)) => now.covers(&accepted.position) != Some(false),
        _ => true,
    }
}
