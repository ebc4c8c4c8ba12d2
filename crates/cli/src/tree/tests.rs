//! How a run looks: whole, and cut down to a few rows.

use std::collections::BTreeMap;

use mainstay_control::dispatch::StepNow;
use mainstay_engine::{RunPhase, StepState};
use mainstay_model::{
    Body, ComponentId, Direction, MoveMode, Necessity, OnFailure, Phase, Runbook, SiteId, Span,
    Step, StepId, Subject, Timestamp, Undo,
};

use super::{Detail, Picture};
use crate::output::Output;

const BEGAN: Timestamp = Timestamp(1_000_000_000);

fn at(millis: u64) -> Timestamp {
    BEGAN + Span(millis * 1_000)
}

fn step(id: u32, phase: Phase, body: Body) -> Step {
    let site = SiteId::new("dr").unwrap();
    let subject = match phase {
        Phase::Commit => Subject::System,
        _ => Subject::Component(ComponentId::new("ledger").unwrap()),
    };
    Step {
        id: StepId(id),
        phase,
        subject,
        site: site.clone(),
        at: site,
        after: Vec::new(),
        requires: Vec::new(),
        goals: Vec::new(),
        inputs: Vec::new(),
        body,
        undo: Undo::Nothing,
        fence: None,
        necessity: Necessity::Required,
        timeout: Span::from_secs(60),
        estimate: Span::from_secs(2),
    }
}

fn runbook() -> Runbook {
    let phases = [
        Phase::Gate,
        Phase::Hold,
        Phase::Seal,
        Phase::CatchUp,
        Phase::Promote,
        Phase::Commit,
        Phase::Shift,
    ];
    let mut steps = Vec::new();
    for phase in phases {
        let body = if phase == Phase::Commit {
            Body::Join
        } else {
            Body::Check
        };
        let id = u32::try_from(steps.len()).unwrap();
        steps.push(step(id, phase, body));
    }
    Runbook {
        version: 1,
        system: "orders".to_owned(),
        plan_hash: String::new(),
        mode: MoveMode::Switchover,
        before: BTreeMap::new(),
        target: BTreeMap::new(),
        leaves: Vec::new(),
        epochs: BTreeMap::new(),
        loss: None,
        acceptance: None,
        discards: None,
        on_failure: OnFailure::Retreat,
        estimate: Span::from_secs(8),
        steps,
    }
}

fn now(id: u32, state: StepState, started: u64, ended: Option<u64>, note: &str) -> StepNow {
    StepNow {
        id: StepId(id),
        active: ended.is_none(),
        waits_for_person: state == StepState::AwaitingPerson,
        state,
        direction: Direction::Forward,
        started: Some(at(started)),
        ended: ended.map(at),
        note: note.to_owned(),
    }
}

fn midway(runbook: &Runbook) -> Picture<'_> {
    let mut picture = Picture::new("r-1", runbook, BEGAN, Span::from_secs(60));
    picture.take(&now(0, StepState::Succeeded, 0, Some(120), ""));
    picture.take(&now(1, StepState::Already, 120, Some(130), ""));
    picture.take(&now(2, StepState::Succeeded, 130, Some(400), ""));
    picture.take(&now(3, StepState::Started, 400, None, "62 %"));
    picture
}

fn drawn(picture: &Picture<'_>, millis: u64, detail: Detail) -> String {
    let plain = Output::new(false, false);
    picture.lines(at(millis), detail, &plain).join("\n")
}

#[test]
fn a_run_under_way_shows_what_moves_and_what_is_left_of_the_rto() {
    let runbook = runbook();
    insta::assert_snapshot!(drawn(&midway(&runbook), 1_400, Detail::Rows(20)), @r"
    run r-1 is running
    ✓ gate             1 of 1       0.12s
    ✓ hold             1 of 1       0.01s
    ✓ seal             1 of 1       0.27s
    ▸ catch-up         0 of 1       1.00s
         3 ledger at dr                   started      1.00s of ~2.00s  62 %
    · promote          0 of 1
    · commit           0 of 1
    · shift            0 of 1
    elapsed 1.40s of ~8.00s; RTO 1m: 58.60s left
    ");
}

#[test]
fn a_small_terminal_gets_what_matters_now() {
    let runbook = runbook();
    for rows in 4..12 {
        let text = drawn(&midway(&runbook), 1_400, Detail::Rows(rows));
        assert!(text.lines().count() <= rows, "{rows} rows:\n{text}");
    }
    insta::assert_snapshot!(drawn(&midway(&runbook), 1_400, Detail::Rows(6)), @r"
    run r-1 is running
    ✓ 3 phases done
    ▸ catch-up         0 of 1       1.00s
         3 ledger at dr                   started      1.00s of ~2.00s  62 %
    · 3 phases to come
    elapsed 1.40s of ~8.00s; RTO 1m: 58.60s left
    ");
}

#[test]
fn a_step_that_asks_stays_in_sight_and_time_that_has_run_out_is_said() {
    let runbook = runbook();
    let mut picture = midway(&runbook);
    picture.take(&now(
        3,
        StepState::AwaitingPerson,
        400,
        None,
        "was the copy finished?",
    ));
    picture.set_phase(RunPhase::Stuck);
    insta::assert_snapshot!(drawn(&picture, 75_000, Detail::Rows(7)), @r"
    run r-1 is stuck and waits for a person
    ✓ 2 phases done
    ✓ seal             1 of 1       0.27s
    ! catch-up         0 of 1      1m 14s
         3 ledger at dr                   asks         1m 14s of ~2.00s  was the copy finished?
    · 3 phases to come
    elapsed 1m 15s of ~8.00s; RTO 1m: missed by 15.00s
    ");
}

#[test]
fn a_finished_run_shows_every_step() {
    let runbook = runbook();
    let mut picture = midway(&runbook);
    for id in 3..7 {
        let (start, end) = (u64::from(id) * 400, u64::from(id) * 400 + 300);
        picture.take(&now(id, StepState::Succeeded, start, Some(end), ""));
    }
    picture.commit();
    picture.set_phase(RunPhase::Succeeded);
    insta::assert_snapshot!(drawn(&picture, 99_000, Detail::All), @r"
    run r-1 succeeded
    ✓ gate             1 of 1       0.12s
         0 ledger at dr                   done         0.12s
    ✓ hold             1 of 1       0.01s
         1 ledger at dr                   already so   0.01s
    ✓ seal             1 of 1       0.27s
         2 ledger at dr                   done         0.27s
    ✓ catch-up         1 of 1       0.30s
         3 ledger at dr                   done         0.30s
    ✓ promote          1 of 1       0.30s
         4 ledger at dr                   done         0.30s
    ✓ commit           1 of 1       0.30s
         5 commit: no way back from here
    ✓ shift            1 of 1       0.30s
         6 ledger at dr                   done         0.30s
    elapsed 2.70s of ~8.00s; RTO 1m: met
    ");
}
