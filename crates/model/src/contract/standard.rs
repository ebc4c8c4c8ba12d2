//! The rules that most kinds share: which step each phase means for each class, and when a goal holds.
//! Must not know any kind; a kind that differs overrides these.

use super::{
    declared::{Class, Declared},
    facts::{Access, Facts, Health, Sample, StoreFacts, Tri},
    goal::{Goal, Predicate, Scope, Subject, Wanted},
    kind::{Move, MoveMode},
    runbook::EpochPlan,
    step::{Action, Body, Draft, Fence, Necessity, Op, Phase, Question, Skew, Undo},
};
use crate::{Epoch, SiteId, Span, Timestamp};

/// Decides a goal over the standard facts.
#[must_use]
pub fn holds(goal: &Goal, sample: &Sample, now: Timestamp) -> Tri {
    let Some(facts) = sample.facts() else {
        return match goal.is {
            Predicate::Reachable => Tri::DoesNot,
            _ => Tri::CannotTell,
        };
    };
    match &goal.is {
        Predicate::Reachable => Tri::Holds,
        Predicate::Exists => known(facts.exists, |exists| exists),
        Predicate::Absent => known(facts.exists, |exists| !exists),
        Predicate::Held => workload(facts, |w| w.held, |held| held),
        Predicate::Released => workload(facts, |w| w.held, |held| !held),
        Predicate::Ready(count) => workload(facts, |w| w.ready, |ready| ready >= *count),
        Predicate::Stopped => workload(facts, |w| w.running, |running| running == 0),
        Predicate::Routed { weights, epoch } => known(facts.route.as_ref(), |route| {
            route.weights == *weights && route.epoch == *epoch
        }),
        Predicate::Healthy => known(facts.health.as_ref(), |health| *health == Health::Passed),
        Predicate::Reconciled(epoch) => known(facts.reconciled, |at| at == *epoch),
        Predicate::FencedBelow(epoch) => fenced_below(facts, *epoch),
        Predicate::Custom { .. } => Tri::CannotTell,
        about_a_store => match &facts.store {
            Some(store) => store_holds(about_a_store, store, &goal.scope.site, now),
            None => Tri::CannotTell,
        },
    }
}

fn known<T>(fact: Option<T>, test: impl FnOnce(T) -> bool) -> Tri {
    fact.map_or(Tri::CannotTell, |fact| test(fact).into())
}

fn workload<T>(
    facts: &Facts,
    pick: impl FnOnce(&super::facts::WorkloadFacts) -> Option<T>,
    test: impl FnOnce(T) -> bool,
) -> Tri {
    known(facts.workload.as_ref().and_then(pick), test)
}

fn fenced_below(facts: &Facts, epoch: Epoch) -> Tri {
    let by_fence = known(facts.fence.as_ref(), |fence| fence.below >= epoch);
    let by_mark = facts.store.as_ref().map(|store| {
        store.access != Access::Open && store.mark.as_ref().is_some_and(|mark| mark.epoch >= epoch)
    });
    match (by_fence, by_mark) {
        (Tri::Holds, _) | (_, Some(true)) => Tri::Holds,
        (Tri::DoesNot, _) | (_, Some(false)) => Tri::DoesNot,
        (Tri::CannotTell, None) => Tri::CannotTell,
    }
}

fn store_holds(is: &Predicate, store: &StoreFacts, site: &SiteId, now: Timestamp) -> Tri {
    let mark = store.mark.as_ref();
    match is {
        Predicate::Open(epoch) => (store.access == Access::Open
            && mark.is_some_and(|mark| mark.epoch == *epoch && mark.owner == *site))
        .into(),
        Predicate::Sealed(epoch) => match store.access {
            Access::Open | Access::Empty => Tri::DoesNot,
            // A stopped store may come back open; only what is seen to refuse is sealed.
            Access::Stopped => Tri::CannotTell,
            Access::Sealed | Access::Replica => {
                mark.is_some_and(|mark| mark.epoch >= *epoch).into()
            }
        },
        Predicate::CaughtUp(Wanted::Position(wanted)) => {
            let reached = store.recovery.as_ref().map(|point| &point.position);
            known(
                reached.and_then(|reached| reached.covers(wanted)),
                |covers| covers,
            )
        }
        Predicate::Copies { of, within } => match (&store.recovery, store.access) {
            (Some(point), Access::Replica) => {
                (point.source == *of && now.since(point.taken_at) <= *within).into()
            }
            (None, Access::Replica) | (_, Access::Open | Access::Sealed | Access::Empty) => {
                Tri::DoesNot
            }
            (_, Access::Stopped) => Tri::CannotTell,
        },
        Predicate::Untouched(epoch) => match (mark, store.written) {
            (Some(mark), _) if mark.epoch < *epoch => Tri::Holds,
            (_, written) => known(written, |written| !written),
        },
        _ => Tri::CannotTell,
    }
}

/// The steps of a phase for a component of a standard class. See the design's table of phases.
#[must_use]
pub fn lower(declared: &Declared, phase: Phase, mv: &Move) -> Vec<Draft> {
    let draft = match declared.class {
        Class::Store => lower_store(declared, phase, mv),
        Class::Workload => lower_workload(declared, phase, mv),
        Class::Route => lower_route(declared, phase, mv),
    };
    draft.into_iter().collect()
}

/// Builds the drafts of one component.
struct Maker<'a> {
    declared: &'a Declared,
    site: &'a SiteId,
    at: &'a SiteId,
}

impl Maker<'_> {
    fn goal(&self, is: Predicate) -> Goal {
        Goal {
            scope: Scope {
                driver: self.declared.kind.clone(),
                subject: Subject::Component(self.declared.name.clone()),
                site: self.site.clone(),
                from: self.at.clone(),
            },
            is,
        }
    }

    fn action(&self, op: Op) -> Action {
        Action {
            driver: self.declared.kind.clone(),
            subject: Subject::Component(self.declared.name.clone()),
            site: self.site.clone(),
            op,
        }
    }

    fn act(&self, op: Op, goal: Predicate, estimate: Span) -> Draft {
        Draft {
            site: self.site.clone(),
            at: self.at.clone(),
            requires: Vec::new(),
            goals: vec![self.goal(goal)],
            body: Body::Act(self.action(op)),
            undo: Undo::Nothing,
            fence: None,
            necessity: Necessity::Required,
            timeout: None,
            estimate,
        }
    }

    fn undo(&self, op: Op, goals: Vec<Predicate>) -> Undo {
        Undo::Act {
            action: self.action(op),
            goals: goals.into_iter().map(|is| self.goal(is)).collect(),
        }
    }

    fn fenced(&self, epoch: Epoch, mut draft: Draft) -> Draft {
        draft.fence = Some(Fence {
            store: self.declared.name.clone(),
            epoch,
        });
        draft
    }
}

const SHORT: Span = Span::from_millis(200);
const START: Span = Span::from_secs(2);
const COPY: Span = Span::from_secs(5);
/// Stands in for the action of a step that only looks, until its body is made a check.
const LOOK: Op = Op::Reconcile {
    skew: Skew::Refused,
};

fn lower_store(declared: &Declared, phase: Phase, mv: &Move) -> Option<Draft> {
    let epochs = mv.epochs?;
    let here = Maker {
        declared,
        site: &mv.site,
        at: &mv.site,
    };
    let draft = match phase {
        Phase::Provision => here.act(Op::Provision, Predicate::Exists, COPY),
        Phase::Seal => {
            let draft = here.act(Op::Seal(epochs.from), Predicate::Sealed(epochs.from), SHORT);
            let undo = here.undo(
                Op::Unseal(epochs.retreat),
                vec![Predicate::Open(epochs.retreat)],
            );
            here.fenced(epochs.from, Draft { undo, ..draft })
        }
        Phase::Fence => lower_fence(declared, mv, epochs.to),
        Phase::CatchUp => {
            let wanted = Wanted::Output(mv.sealed_by?);
            here.act(
                Op::CatchUp {
                    from: mv.from.clone()?,
                },
                Predicate::CaughtUp(wanted),
                COPY,
            )
        }
        Phase::Promote if mv.mode == MoveMode::Restore => lower_reopen(&here, epochs),
        Phase::Promote => lower_promote(&here, epochs),
        Phase::Salvage => {
            let draft = here.act(
                Op::Salvage {
                    owner: mv.from.clone()?,
                },
                Predicate::Healthy,
                COPY,
            );
            Draft {
                goals: Vec::new(),
                undo: Undo::Nothing,
                ..draft
            }
        }
        Phase::Rebuild => {
            let of = mv.from.clone()?;
            let goal = Predicate::Copies {
                of: of.clone(),
                within: Span::MAX,
            };
            here.fenced(epochs.from, here.act(Op::Rebuild { from: of }, goal, COPY))
        }
        Phase::Protect => {
            let goal = Predicate::Copies {
                of: mv.from.clone()?,
                within: Span::MAX,
            };
            Draft {
                body: Body::Check,
                ..here.act(LOOK, goal, SHORT)
            }
        }
        _ => return None,
    };
    Some(draft)
}

/// Writable at a new epoch; taken back only while nothing was written there.
fn lower_promote(here: &Maker, epochs: EpochPlan) -> Draft {
    let draft = here.act(Op::Promote(epochs.to), Predicate::Open(epochs.to), SHORT);
    let goals = vec![
        Predicate::FencedBelow(epochs.retreat),
        Predicate::Untouched(epochs.to),
    ];
    let undo = here.undo(Op::Demote(epochs.retreat), goals);
    here.fenced(epochs.to, Draft { undo, ..draft })
}

/// The same where the store stays: it is sealed again at that epoch, and the undo of its first seal opens it.
fn lower_reopen(here: &Maker, epochs: EpochPlan) -> Draft {
    let draft = here.act(Op::Promote(epochs.to), Predicate::Open(epochs.to), SHORT);
    let goals = vec![
        Predicate::Sealed(epochs.to),
        Predicate::Untouched(epochs.to),
    ];
    let undo = here.undo(Op::Seal(epochs.to), goals);
    here.fenced(epochs.to, Draft { undo, ..draft })
}

/// Shutting out the writers of a store at a site that cannot seal it.
fn lower_fence(declared: &Declared, mv: &Move, below: Epoch) -> Draft {
    let from = if mv
        .fencer
        .as_ref()
        .is_some_and(|fencer| fencer.as_str() == "agent")
    {
        &mv.site
    } else {
        &mv.control
    };
    let here = Maker {
        declared,
        site: &mv.site,
        at: from,
    };
    let mut draft = here.act(Op::Fence(below), Predicate::FencedBelow(below), START);
    draft.undo = Undo::Irreversible;
    match &mv.fencer {
        Some(fencer) => {
            for goal in &mut draft.goals {
                goal.scope.driver = fencer.clone();
            }
            if let Body::Act(action) = &mut draft.body {
                action.driver = fencer.clone();
            }
            here.fenced(below, draft)
        }
        None => Draft {
            goals: Vec::new(),
            body: Body::Ask(Question {
                text: format!(
                    "nothing can prove that {} no longer takes writes at {}: is that site powered off or cut off?",
                    declared.name, mv.site
                ),
                yes: format!(
                    "a person vouches that nobody writes to {} at {}",
                    declared.name, mv.site
                ),
            }),
            ..draft
        },
    }
}

/// How many instances the kind's options ask for at a site.
fn replicas(declared: &Declared, site: &SiteId) -> u32 {
    let wanted = declared
        .at
        .get(site)
        .and_then(|at| at.get("replicas"))
        .and_then(serde_json::Value::as_u64);
    u32::try_from(wanted.unwrap_or(1)).unwrap_or(u32::MAX)
}

fn lower_workload(declared: &Declared, phase: Phase, mv: &Move) -> Option<Draft> {
    let here = Maker {
        declared,
        site: &mv.site,
        at: &mv.site,
    };
    let ready = Predicate::Ready(replicas(declared, &mv.site));
    let draft = match phase {
        Phase::Provision => here.act(Op::Provision, Predicate::Exists, START),
        Phase::Hold => {
            let undo = here.undo(Op::Release, vec![Predicate::Released]);
            Draft {
                undo,
                ..here.act(Op::Hold, Predicate::Held, SHORT)
            }
        }
        Phase::Quiesce => {
            let undo = here.undo(Op::Start, vec![ready]);
            Draft {
                undo,
                ..here.act(Op::Stop, Predicate::Stopped, SHORT)
            }
        }
        Phase::Fence => here.act(Op::Stop, Predicate::Stopped, SHORT),
        Phase::Reconcile => lower_reconcile(&here, mv)?,
        Phase::Rebind => here.act(Op::Rebind, ready, START),
        Phase::Activate => {
            let undo = here.undo(Op::Stop, vec![Predicate::Stopped]);
            Draft {
                undo,
                ..here.act(Op::Start, ready, START)
            }
        }
        Phase::Verify => Draft {
            body: Body::Check,
            ..here.act(LOOK, Predicate::Healthy, SHORT)
        },
        Phase::Release => {
            let undo = here.undo(Op::Hold, vec![Predicate::Held]);
            Draft {
                undo,
                ..here.act(Op::Release, Predicate::Released, SHORT)
            }
        }
        Phase::Sweep => Draft {
            goals: Vec::new(),
            necessity: Necessity::Advisory,
            ..here.act(Op::Sweep, Predicate::Reachable, SHORT)
        },
        _ => return None,
    };
    Some(draft)
}

/// After a planned move everything fits together; after a forced one, what does not is recorded as lost.
fn lower_reconcile(here: &Maker, mv: &Move) -> Option<Draft> {
    let skew = match mv.mode {
        MoveMode::Failover | MoveMode::Restore => Skew::Reported,
        MoveMode::Switchover | MoveMode::Reprotect => Skew::Refused,
    };
    let goal = Predicate::Reconciled(mv.epochs?.to);
    Some(here.act(Op::Reconcile { skew }, goal, SHORT))
}

fn lower_route(declared: &Declared, phase: Phase, mv: &Move) -> Option<Draft> {
    if !matches!(phase, Phase::Drain | Phase::Shift) {
        return None;
    }
    let (epoch, weights) = mv.route.clone()?;
    // A route is never left empty: with nowhere else to go, traffic stays until the shift.
    if weights.values().all(|weight| *weight == 0) {
        return None;
    }
    let here = Maker {
        declared,
        site: &mv.site,
        at: &mv.control,
    };
    let goal = Predicate::Routed {
        weights: weights.clone(),
        epoch,
    };
    let mut draft = here.act(Op::Route { weights, epoch }, goal, SHORT);
    if let (Some(before), Some(epochs)) = (mv.route_before.clone(), mv.epochs) {
        let back = Predicate::Routed {
            weights: before.clone(),
            epoch: epochs.retreat,
        };
        draft.undo = here.undo(
            Op::Route {
                weights: before,
                epoch: epochs.retreat,
            },
            vec![back],
        );
    }
    Some(draft)
}
