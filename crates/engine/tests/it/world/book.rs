//! Small runbooks.

use std::collections::BTreeMap;

use mainstay_engine::{Approval, Created, Limits};
use mainstay_model::{
    Action, Body, ExecutorEpoch, Goal, MoveMode, Necessity, OnFailure, Op, Phase, Predicate,
    RUNBOOK_VERSION, Runbook, Scope, SiteId, Span, Step, StepId, Subject, Undo,
};

pub fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

fn goal(id: u32, what: &str) -> Goal {
    Goal {
        scope: Scope {
            driver: name("fake"),
            subject: Subject::Component(name(&format!("c{id}"))),
            site: name("b"),
            from: name("b"),
        },
        is: Predicate::Custom {
            name: what.to_owned(),
            args: BTreeMap::from([("step".to_owned(), id.to_string())]),
        },
    }
}

fn action(id: u32, what: &str) -> Action {
    Action {
        driver: name("fake"),
        subject: Subject::Component(name(&format!("c{id}"))),
        site: name("b"),
        op: Op::Custom {
            name: what.to_owned(),
            args: BTreeMap::new(),
        },
    }
}

/// A step that acts, has a goal, and can be undone.
pub fn step(id: u32, phase: Phase, after: &[u32]) -> Step {
    let site: SiteId = name("b");
    Step {
        id: StepId(id),
        phase,
        subject: Subject::Component(name(&format!("c{id}"))),
        site: site.clone(),
        at: site,
        after: after.iter().map(|id| StepId(*id)).collect(),
        requires: Vec::new(),
        goals: vec![goal(id, "done")],
        inputs: Vec::new(),
        body: Body::Act(action(id, "do")),
        undo: Undo::Act {
            action: action(id, "undo"),
            goals: vec![goal(id, "undone")],
        },
        fence: None,
        necessity: Necessity::Required,
        timeout: Span::from_secs(10),
        estimate: Span::from_secs(1),
    }
}

pub fn join(id: u32, phase: Phase, after: &[u32]) -> Step {
    Step {
        goals: Vec::new(),
        body: Body::Join,
        undo: Undo::Nothing,
        subject: Subject::System,
        ..step(id, phase, after)
    }
}

pub fn runbook(steps: Vec<Step>, on_failure: OnFailure) -> Runbook {
    Runbook {
        version: RUNBOOK_VERSION,
        system: "test".to_owned(),
        plan_hash: String::new(),
        mode: MoveMode::Switchover,
        before: BTreeMap::new(),
        target: BTreeMap::new(),
        leaves: Vec::new(),
        epochs: BTreeMap::new(),
        loss: None,
        acceptance: None,
        discards: None,
        on_failure,
        estimate: Span::ZERO,
        steps,
    }
}

/// A small move: two stores of one group in parallel, commit, then traffic and an advisory sweep.
pub fn small_move() -> Runbook {
    let mut sweep = step(9, Phase::Sweep, &[8]);
    sweep.necessity = Necessity::Advisory;
    sweep.undo = Undo::Nothing;
    runbook(
        vec![
            step(0, Phase::Quiesce, &[]),
            step(1, Phase::Seal, &[0]),
            step(2, Phase::Seal, &[0]),
            step(3, Phase::CatchUp, &[1]),
            step(4, Phase::CatchUp, &[2]),
            step(5, Phase::Promote, &[3, 4]),
            step(6, Phase::Activate, &[5]),
            join(7, Phase::Commit, &[6]),
            step(8, Phase::Shift, &[7]),
            sweep,
        ],
        OnFailure::Retreat,
    )
}

pub fn created(runbook: &Runbook) -> Created {
    Created {
        run: name("r1"),
        parent: None,
        runbook: runbook.hash().unwrap(),
        by: name("ann"),
        executor: ExecutorEpoch(1),
        approval: Approval::NotNeeded,
        limits: Limits::default(),
        once: Vec::new(),
    }
}
