//! What follows from a step's end for the state: who owns a store, where things are active, how long it took.
//! Must not know how a step was carried out.

use mainstay_engine::{RunPhase, StepState, StepView};
use mainstay_model::{
    Action, Body, ComponentId, Direction, MoveMode, Op, Phase, Runbook, SiteId, Step, Undo,
};

use crate::state::{Change, Spent};

/// What follows once a step has come to rest in a new state.
pub(super) fn of_step(step: &Step, view: &StepView<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    let reached = matches!(view.state, StepState::Succeeded | StepState::Already);
    if view.direction == Direction::Forward && reached {
        if let Body::Act(action) = &step.body {
            changes.extend(opened(action));
        }
        if step.phase == Phase::Promote {
            changes.extend(component(step).map(Change::Unprotected));
        }
        if step.phase == Phase::Protect {
            changes.extend(component(step).map(Change::Protected));
        }
        changes.extend(spent(step, view).map(Change::Spent));
    }
    if view.state == StepState::Undone {
        if let Undo::Act { action, .. } = &step.undo {
            changes.extend(opened(action));
        }
        if step.phase == Phase::Promote {
            // It was not a copy for a while, and does not become one by itself.
            changes.extend(component(step).map(Change::Unprotected));
        }
    }
    changes
}

fn component(step: &Step) -> Option<ComponentId> {
    step.subject.component().cloned()
}

fn opened(action: &Action) -> Option<Change> {
    let store = action.subject.component()?.clone();
    match &action.op {
        Op::Promote(epoch) | Op::Unseal(epoch) => Some(Change::Opened {
            store,
            site: action.site.clone(),
            epoch: *epoch,
        }),
        _ => None,
    }
}

/// Only what was really done tells how long it takes.
fn spent(step: &Step, view: &StepView<'_>) -> Option<Spent> {
    let (started, ended) = (view.started?, view.ended?);
    let acted = matches!(step.body, Body::Act(_) | Body::Check);
    (view.state == StepState::Succeeded && acted).then_some(Spent {
        phase: step.phase,
        component: component(step)?,
        site: step.site.clone(),
        took: ended.since(started),
    })
}

/// What follows once the point of no return is behind a run.
pub(super) fn of_commit(runbook: &Runbook) -> Vec<Change> {
    let placed = runbook
        .target
        .iter()
        .map(|(component, weights)| Change::Placed {
            component: component.clone(),
            weights: weights.clone(),
        });
    let forced = runbook.mode == MoveMode::Failover;
    let left = runbook.leaves.iter().filter(|_| forced);
    placed
        .chain(left.cloned().map(Change::Quarantined))
        .collect()
}

/// What follows once a run has ended well.
pub(super) fn of_end(runbook: &Runbook, phase: RunPhase) -> Vec<Change> {
    let well = matches!(
        phase,
        RunPhase::Succeeded | RunPhase::SucceededWithExceptions
    );
    if !well || runbook.mode != MoveMode::Reprotect {
        return Vec::new();
    }
    let rebuilt = runbook
        .steps
        .iter()
        .filter(|step| matches!(step.phase, Phase::Rebuild | Phase::Protect));
    let mut sites: Vec<SiteId> = rebuilt.map(|step| step.site.clone()).collect();
    sites.sort();
    sites.dedup();
    sites.into_iter().map(Change::InService).collect()
}
