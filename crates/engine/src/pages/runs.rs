//! Every event of people, executors and time in every phase of a run, tried on real runs.
//! Must not describe steps.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mainstay_model::{
    Body, ExecutorEpoch, MoveMode, Necessity, OnFailure, PersonId, Phase, Question,
    RUNBOOK_VERSION, Runbook, RunbookHash, SiteId, Span, Step, StepId, Subject, Timestamp, Undo,
};

use crate::{Answer, Approval, Created, Event, Limits, Run, RunPhase};

const NOW: Timestamp = Timestamp(1_000_000);
const LATER: Timestamp = Timestamp(100_000_000);

/// The section about runs.
pub(super) fn page() -> String {
    let mut page = String::from(
        "## A run\n\n\
         Each row is a real run that was brought into a phase and given the event. The runbooks have a gate that asks a \
         person, and a commit after it.\n\n\
         | phase | event | becomes | refused with |\n|---|---|---|---|\n",
    );
    for (name, run) in runs() {
        for (event_name, event) in events(&run) {
            let mut run = run.clone();
            let (becomes, refused) = match run.handle(&event, LATER) {
                Ok(()) => (phase(run.phase()), String::new()),
                Err(illegal) => (String::new(), format!("`{}`", illegal.code())),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(page, "| {name} | {event_name} | {becomes} | {refused} |");
        }
    }
    page
}

fn phase(phase: RunPhase) -> String {
    format!("`{phase:?}`")
}

/// A run in each phase.
pub(super) fn runs() -> Vec<(String, Run)> {
    try_runs().unwrap_or_default()
}

fn try_runs() -> Option<Vec<(String, Run)>> {
    let (ann, bob): (PersonId, PersonId) = ("ann".parse().ok()?, "bob".parse().ok()?);
    let ask = step(0, Phase::Gate, question())?;
    let check = step(0, Phase::Gate, Body::Check)?;
    let commit = |id| step(id, Phase::Commit, Body::Join);
    let (first, last) = (commit(0)?, commit(1)?);
    let after = step(1, Phase::Shift, question())?;
    let (retreat, now) = (OnFailure::Retreat, Approval::NotNeeded);
    let asks = vec![ask, last.clone()];
    let waiting = run(asks.clone(), retreat, Approval::Needed)?;
    let running = run(vec![check, last], retreat, now)?;
    let asking = run(asks.clone(), retreat, now)?;
    let held = run(asks, OnFailure::Hold, now)?;
    let committed = run(vec![first, after], retreat, now)?;
    let reason = || "it was agreed".to_owned();
    let answered = |answer| Event::Answered {
        step: StepId(0),
        by: ann.clone(),
        answer,
    };
    let (yes, no) = (
        answered(Answer::Yes),
        answered(Answer::No { why: reason() }),
    );
    let paused = Event::Paused { by: ann.clone() };
    let back = Event::Retreated {
        by: ann.clone(),
        reason: reason(),
    };
    let cancel = Event::Cancelled {
        by: bob,
        reason: reason(),
    };
    let skip = Event::Skipped {
        step: StepId(1),
        by: ann.clone(),
        reason: reason(),
    };
    let made = [
        ("AwaitingApproval", waiting, None),
        ("Running", running.clone(), None),
        ("Paused", running, Some(paused)),
        ("Stuck, a question is open", asking.clone(), None),
        ("Stuck, a required step failed", held, Some(no)),
        ("Stuck, after commit", committed.clone(), None),
        ("Succeeded", asking.clone(), Some(yes)),
        ("SucceededWithExceptions", committed, Some(skip)),
        ("Retreated", asking.clone(), Some(back)),
        ("Cancelled", asking, Some(cancel)),
    ];
    let mut runs = Vec::new();
    for (name, mut run, event) in made {
        if let Some(event) = event {
            run.handle(&event, NOW).ok()?;
        }
        runs.push((name.to_owned(), run));
    }
    runs.push(retreating()?);
    Some(runs)
}

/// A run whose undoing is under way.
fn retreating() -> Option<(String, Run)> {
    use crate::{ActOutcome, Evidence, Look, ObservedGoals};
    use mainstay_model::{Action, Direction, Goal, Op, Output, Predicate, Scope, Tri};
    let site: SiteId = "prod".parse().ok()?;
    let driver = "process".parse().ok()?;
    let scope = Scope {
        driver,
        subject: Subject::System,
        site: site.clone(),
        from: site.clone(),
    };
    let action = |op| Action {
        driver: scope.driver.clone(),
        subject: Subject::System,
        site: site.clone(),
        op,
    };
    let goal = |is| Goal {
        scope: scope.clone(),
        is,
    };
    let mut stop = step(0, Phase::Quiesce, Body::Act(action(Op::Stop)))?;
    stop.goals = vec![goal(Predicate::Stopped)];
    stop.undo = Undo::Act {
        action: action(Op::Start),
        goals: vec![goal(Predicate::Ready(1))],
    };
    let steps = vec![stop, step(1, Phase::Commit, Body::Join)?];
    let mut run = run(steps, OnFailure::Retreat, Approval::NotNeeded)?;
    let seen = Event::Observed {
        step: StepId(0),
        direction: Direction::Forward,
        attempt: 1,
        look: Look::Before,
        seen: ObservedGoals {
            requires: Vec::new(),
            goals: vec![Evidence {
                answer: Tri::DoesNot,
                why: "it runs".to_owned(),
            }],
            output: Output::default(),
        },
    };
    let failed = Event::Acted {
        step: StepId(0),
        direction: Direction::Forward,
        attempt: 1,
        outcome: ActOutcome::NotDone {
            code: "example".to_owned(),
            what: "it did not stop".to_owned(),
            retry: false,
        },
    };
    run.handle(&seen, NOW).ok()?;
    run.handle(&failed, NOW).ok()?;
    Some(("Retreating".to_owned(), run))
}

fn events(run: &Run) -> Vec<(&'static str, Event)> {
    try_events(run).unwrap_or_default()
}

fn try_events(run: &Run) -> Option<Vec<(&'static str, Event)>> {
    let (ann, bob): (PersonId, PersonId) = ("ann".parse().ok()?, "bob".parse().ok()?);
    let pinned = run.created().runbook.clone();
    let until = Timestamp(1_000_000_000);
    let step = run
        .steps()
        .find(|step| step.waits_for_person)
        .map_or(StepId(0), |step| step.id);
    let reason = "it was agreed".to_owned();
    let approved = |by: &PersonId, runbook: &RunbookHash, until| Event::Approved {
        by: by.clone(),
        runbook: runbook.clone(),
        until,
    };
    let resumed = |executor| Event::Resumed {
        executor: ExecutorEpoch(executor),
        by: ann.clone(),
    };
    let answered = |answer| Event::Answered {
        step,
        by: ann.clone(),
        answer,
    };
    let no = Answer::No {
        why: reason.clone(),
    };
    let by = || ann.clone();
    let other = RunbookHash(String::new());
    Some(vec![
        ("created again", Event::Created(run.created().clone())),
        ("approved", approved(&bob, &pinned, until)),
        ("approved by the requester", approved(&ann, &pinned, until)),
        (
            "approved for another runbook",
            approved(&bob, &other, until),
        ),
        (
            "approved until a time that is over",
            approved(&bob, &pinned, NOW),
        ),
        ("resumed", resumed(2)),
        ("resumed by an old executor", resumed(1)),
        ("answered yes", answered(Answer::Yes)),
        ("answered no", answered(no)),
        ("paused", Event::Paused { by: by() }),
        ("unpaused", Event::Unpaused { by: by() }),
        ("retried", Event::Retried { step, by: by() }),
        (
            "skipped",
            Event::Skipped {
                step,
                by: by(),
                reason: reason.clone(),
            },
        ),
        (
            "retreat asked for",
            Event::Retreated {
                by: by(),
                reason: reason.clone(),
            },
        ),
        ("cancelled", Event::Cancelled { by: by(), reason }),
        ("ticked", Event::Ticked),
    ])
}

fn question() -> Body {
    Body::Ask(Question {
        text: "is everybody told?".to_owned(),
        yes: "everybody is told".to_owned(),
    })
}

fn step(id: u32, phase: Phase, body: Body) -> Option<Step> {
    let site: SiteId = "prod".parse().ok()?;
    Some(Step {
        id: StepId(id),
        phase,
        subject: Subject::System,
        site: site.clone(),
        at: site,
        after: (0..id).map(StepId).collect(),
        requires: Vec::new(),
        goals: Vec::new(),
        inputs: Vec::new(),
        body,
        undo: Undo::Nothing,
        fence: None,
        necessity: Necessity::Required,
        timeout: Span::from_secs(10),
        estimate: Span::ZERO,
    })
}

fn run(steps: Vec<Step>, on_failure: OnFailure, approval: Approval) -> Option<Run> {
    let runbook = Runbook {
        version: RUNBOOK_VERSION,
        system: "example".to_owned(),
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
    };
    let created = Created {
        run: "example".parse().ok()?,
        parent: None,
        runbook: runbook.hash().ok()?,
        by: "ann".parse().ok()?,
        executor: ExecutorEpoch(1),
        approval,
        limits: Limits::default(),
        once: Vec::new(),
    };
    Run::create(runbook, created, NOW).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_of_a_run_is_on_the_page() {
        let phases: Vec<_> = runs().iter().map(|(_, run)| run.phase()).collect();
        for phase in [
            RunPhase::AwaitingApproval,
            RunPhase::Running,
            RunPhase::Paused,
            RunPhase::Retreating,
            RunPhase::Stuck,
            RunPhase::Succeeded,
            RunPhase::SucceededWithExceptions,
            RunPhase::Retreated,
            RunPhase::Cancelled,
        ] {
            assert!(phases.contains(&phase), "{phase:?}");
        }
        for (name, run) in runs() {
            assert!(name.starts_with(&format!("{:?}", run.phase())), "{name}");
        }
    }
}
