//! What people decide: approvals, acceptances, questions, pauses, retries, skips, cancels; and what is refused to them.

use std::collections::BTreeMap;

use crate::world::{Fault, Host, World, created, join, name, runbook, small_move, step};
use mainstay_engine::{
    Answer, Approval, Bugs, Created, Effect, Event, Illegal, Run, RunPhase, StepState,
};
use mainstay_model::{
    Acceptance, Body, Direction, Epoch, EpochPlan, Fence, LossBound, MoveMode, Necessity,
    OnFailure, Phase, Position, Predicate, Question, RecoveryPoint, Runbook, RunbookHash, Span,
    StepId, StoreBound, Subject, Timestamp, Wanted,
};

fn refused(host: &mut Host, event: &Event) -> &'static str {
    let before = host.run.clone();
    let illegal = host.run.handle(event, host.now).unwrap_err();
    assert!(
        host.run == before,
        "a refused event changes nothing: {event:?}"
    );
    illegal.code()
}

fn retried(step: u32) -> Event {
    Event::Retried {
        step: StepId(step),
        by: name("bob"),
    }
}

fn skipped(step: u32) -> Event {
    Event::Skipped {
        step: StepId(step),
        by: name("bob"),
        reason: "done by hand".to_owned(),
    }
}

fn cancelled() -> Event {
    Event::Cancelled {
        by: name("bob"),
        reason: "enough".to_owned(),
    }
}

fn approved(by: &str, runbook: &Runbook, until: Timestamp) -> Event {
    Event::Approved {
        by: name(by),
        runbook: runbook.hash().unwrap(),
        until,
    }
}

fn with(runbook: &Runbook, approval: Approval, bugs: Bugs) -> Host {
    Host::with(
        runbook,
        Created {
            approval,
            ..created(runbook)
        },
        World::default(),
        bugs,
    )
}

fn faulty(step: u32, direction: Direction, attempts: u32, fault: Fault) -> World {
    let mut world = World::default();
    for attempt in 1..=attempts {
        world
            .faults
            .insert((StepId(step), direction, attempt), fault);
    }
    world
}

#[test]
fn i26_an_approval_is_another_persons_for_this_runbook_and_for_a_while() {
    let book = small_move();
    let mut host = with(&book, Approval::Needed, Bugs::NONE);
    assert_eq!(host.rest(), RunPhase::AwaitingApproval);
    assert!(host.world.acted.is_empty());
    let later = host.now + Span::from_secs(60);
    assert_eq!(
        refused(&mut host, &approved("ann", &book, later)),
        "own-approval"
    );
    let now = host.now;
    assert_eq!(
        refused(&mut host, &approved("bob", &book, now)),
        "approval-expired"
    );
    let other = Event::Approved {
        by: name("bob"),
        runbook: RunbookHash("0".repeat(64)),
        until: later,
    };
    assert_eq!(refused(&mut host, &other), "approval-for-other-runbook");
    host.handle(&approved("bob", &book, later));
    assert_eq!(host.rest(), RunPhase::Succeeded);
}

#[test]
fn i26_an_approval_that_runs_out_stops_what_has_not_begun() {
    let book = small_move();
    let mut host = with(&book, Approval::Needed, Bugs::NONE);
    let until = host.now + Span(1);
    host.handle(&approved("bob", &book, until));
    host.now = until + Span(1);
    assert_eq!(host.rest(), RunPhase::AwaitingApproval);
    assert!(host.world.acted.is_empty());
    let later = host.now + Span::from_secs(60);
    host.handle(&approved("eve", &book, later));
    assert_eq!(host.rest(), RunPhase::Succeeded);
}

fn point(taken_at: i64, lsn: u64) -> RecoveryPoint {
    RecoveryPoint {
        source: name("a"),
        taken_at: Timestamp(taken_at),
        position: Position::Lsn(lsn),
    }
}

/// A failover of one store, with its acceptance.
fn failover(limit: Span, until: Timestamp, accepted: RecoveryPoint) -> Runbook {
    let store: mainstay_model::ComponentId = name("c0");
    let bound = StoreBound {
        recovery: Some(point(900_000, 70)),
        time: Span::from_secs(4),
        bytes: None,
    };
    let mut book = runbook(
        vec![step(0, Phase::Promote, &[]), join(1, Phase::Commit, &[0])],
        OnFailure::Hold,
    );
    book.mode = MoveMode::Failover;
    book.loss = Some(LossBound {
        at: Timestamp(1_000_000),
        stores: BTreeMap::from([(store.clone(), bound)]),
        worst: Span::from_secs(4),
        skew: Span::from_secs(1),
    });
    book.acceptance = Some(Acceptance {
        limit,
        by: name("ann"),
        at: Timestamp(1_000_000),
        until,
        points: BTreeMap::from([(store, Some(accepted))]),
    });
    book
}

fn promotes(book: &Runbook, bugs: Bugs) -> bool {
    let mut host = with(book, Approval::NotNeeded, bugs);
    let phase = host.rest();
    let acted = !host.world.acted.is_empty();
    assert_eq!(
        phase,
        if acted {
            RunPhase::Succeeded
        } else {
            RunPhase::Stuck
        }
    );
    if !acted {
        assert_eq!(
            host.run.step(StepId(0)).unwrap().code,
            Some("acceptance-void")
        );
    }
    acted
}

/// Acceptances that do not cover the failover, each with the planted bug that would not see it.
fn bad_acceptances() -> Vec<(&'static str, Runbook)> {
    let (limit, until) = (Span::from_secs(5), Timestamp(60_000_000));
    let mut missing = failover(limit, until, point(900_000, 70));
    missing.acceptance = None;
    let mut unnamed = failover(limit, until, point(900_000, 70));
    unnamed.acceptance.as_mut().unwrap().points.clear();
    vec![
        (
            "acceptance-never-expires",
            failover(limit, Timestamp(1_000_000), point(900_000, 70)),
        ),
        (
            "acceptance-covers-anything",
            failover(Span::from_secs(3), until, point(900_000, 70)),
        ),
        (
            "acceptance-covers-anything",
            failover(limit, until, point(950_000, 70)),
        ),
        (
            "acceptance-covers-anything",
            failover(limit, until, point(900_000, 71)),
        ),
        ("acceptance-covers-anything", unnamed),
        ("promote-without-acceptance", missing),
    ]
}

#[test]
fn i9_a_failover_promotes_only_under_an_acceptance_that_covers_it() {
    let good = failover(
        Span::from_secs(5),
        Timestamp(60_000_000),
        point(900_000, 70),
    );
    assert!(promotes(&good, Bugs::NONE));
    for (bug, book) in bad_acceptances() {
        assert!(!promotes(&book, Bugs::NONE), "{bug}");
    }
}

#[cfg(feature = "planted-bugs")]
#[test]
fn planted_bugs_about_people_are_caught() {
    for (bug, book) in bad_acceptances() {
        assert!(promotes(&book, Bugs::named(bug).unwrap()), "{bug}");
    }
    let book = small_move();
    let other = RunbookHash(String::new());
    let (past, future) = (Timestamp(0), Timestamp(i64::MAX));
    let cases = [
        (
            "own-approval-counts",
            Event::Approved {
                by: name("ann"),
                runbook: book.hash().unwrap(),
                until: future,
            },
        ),
        (
            "approval-for-any-runbook",
            Event::Approved {
                by: name("bob"),
                runbook: other,
                until: future,
            },
        ),
        ("approval-never-expires", approved("bob", &book, past)),
    ];
    for (bug, event) in cases {
        let mut host = with(&book, Approval::Needed, Bugs::named(bug).unwrap());
        host.handle(&event);
        assert_eq!(host.rest(), RunPhase::Succeeded, "{bug}");
    }
    let mut fenced = small_move();
    fenced.steps[0].fence = Some(Fence {
        store: name("c0"),
        epoch: Epoch(1),
    });
    for (bugs, token) in [
        (Bugs::NONE, true),
        (Bugs::named("act-without-token").unwrap(), false),
    ] {
        let mut host = with(&fenced, Approval::NotNeeded, bugs);
        host.rest();
        assert_eq!(host.tokens[0].1.is_some(), token);
    }
}

#[test]
fn a_pause_starts_nothing_and_lets_finish_what_runs() {
    let mut host = Host::new(&small_move(), World::default());
    host.turn();
    assert_eq!(host.run.step(StepId(0)).unwrap().state, StepState::Started);
    host.handle(&Event::Paused { by: name("bob") });
    assert_eq!(host.rest(), RunPhase::Paused);
    assert_eq!(
        host.run.step(StepId(0)).unwrap().state,
        StepState::Succeeded
    );
    assert_eq!(host.world.done.len(), 1);
    assert_eq!(
        refused(&mut host, &Event::Paused { by: name("bob") }),
        "already-paused"
    );
    host.handle(&Event::Unpaused { by: name("bob") });
    assert_eq!(host.rest(), RunPhase::Succeeded);
    assert_eq!(
        refused(&mut host, &Event::Unpaused { by: name("bob") }),
        "run-over"
    );
}

#[test]
fn a_paused_run_does_not_try_again() {
    let mut host = Host::new(
        &small_move(),
        faulty(0, Direction::Forward, 1, Fault::MayPass),
    );
    host.turn();
    host.handle(&Event::Paused { by: name("bob") });
    assert_eq!(host.rest(), RunPhase::Paused);
    assert_eq!(host.world.acted.len(), 1);
    host.handle(&Event::Unpaused { by: name("bob") });
    assert_eq!(host.rest(), RunPhase::Succeeded);
}

#[test]
fn a_question_waits_for_its_answer() {
    let mut ask = step(0, Phase::Provision, &[]);
    ask.goals.clear();
    ask.body = Body::Ask(Question {
        text: "is it there?".to_owned(),
        yes: "it is".to_owned(),
    });
    let book = runbook(vec![ask, join(1, Phase::Commit, &[0])], OnFailure::Hold);
    let mut host = with(&book, Approval::NotNeeded, Bugs::NONE);
    assert_eq!(host.rest(), RunPhase::Stuck);
    assert_eq!(host.run.questions().next().unwrap().1.text, "is it there?");
    let answered = |answer| Event::Answered {
        step: StepId(0),
        by: name("bob"),
        answer,
    };
    host.handle(&answered(Answer::No {
        why: "not yet".to_owned(),
    }));
    assert_eq!(host.rest(), RunPhase::Stuck);
    assert_eq!(
        refused(&mut host, &answered(Answer::Yes)),
        "answer-not-awaited"
    );
    host.handle(&retried(0));
    assert_eq!(host.rest(), RunPhase::Stuck);
    host.handle(&answered(Answer::Yes));
    assert_eq!(host.rest(), RunPhase::Succeeded);
}

#[test]
fn what_ownership_depends_on_cannot_be_skipped() {
    for phase in [
        Phase::Seal,
        Phase::Fence,
        Phase::CatchUp,
        Phase::Promote,
        Phase::Commit,
        Phase::Hold,
        Phase::Gate,
    ] {
        let book = runbook(vec![step(0, phase, &[])], OnFailure::Hold);
        let world = faulty(0, Direction::Forward, 9, Fault::Refused);
        let mut host = Host::new(&book, world);
        assert_eq!(host.rest(), RunPhase::Stuck);
        assert_eq!(
            refused(&mut host, &skipped(0)),
            "step-not-skippable",
            "{phase}"
        );
    }
    let book = runbook(
        vec![step(0, Phase::Verify, &[]), step(1, Phase::Commit, &[0])],
        OnFailure::Hold,
    );
    let mut host = Host::new(&book, faulty(0, Direction::Forward, 9, Fault::Refused));
    host.rest();
    let silent = Event::Skipped {
        step: StepId(0),
        by: name("bob"),
        reason: " ".to_owned(),
    };
    assert_eq!(refused(&mut host, &silent), "reason-missing");
    assert_eq!(refused(&mut host, &skipped(1)), "nothing-to-decide");
    host.handle(&skipped(0));
    assert_eq!(host.rest(), RunPhase::SucceededWithExceptions);
}

#[test]
fn a_run_is_cancelled_only_if_it_changed_nothing_or_is_stuck() {
    let mut fresh = Host::new(&small_move(), World::default());
    fresh.handle(&cancelled());
    assert_eq!(fresh.rest(), RunPhase::Cancelled);
    let mut busy = Host::new(&small_move(), World::default());
    busy.turn();
    assert_eq!(refused(&mut busy, &cancelled()), "not-cancellable");
    // A retreat that is stuck may be given up.
    let mut world = faulty(3, Direction::Forward, 9, Fault::Refused);
    world
        .faults
        .extend(faulty(1, Direction::Undo, 9, Fault::Refused).faults);
    let mut stuck = Host::new(&small_move(), world);
    assert_eq!(stuck.rest(), RunPhase::Stuck);
    assert!(matches!(
        stuck.run.step(StepId(1)).unwrap().state,
        StepState::UndoFailed { .. }
    ));
    assert_eq!(refused(&mut stuck, &skipped(1)), "step-not-skippable");
    stuck.handle(&cancelled());
    assert_eq!(stuck.rest(), RunPhase::Cancelled);
}

#[test]
fn a_newer_owner_stops_the_run() {
    let mut host = Host::new(
        &small_move(),
        faulty(5, Direction::Forward, 9, Fault::Stale),
    );
    assert_eq!(host.rest(), RunPhase::Stuck);
    assert_eq!(host.run.step(StepId(5)).unwrap().code, Some("stale-epoch"));
    let undone = host
        .world
        .log
        .iter()
        .any(|(_, way)| *way == Direction::Undo);
    assert!(!undone, "somebody newer owns it: nothing is undone");
    assert_eq!(refused(&mut host, &retried(5)), "run-superseded");
    let back = Event::Retreated {
        by: name("bob"),
        reason: "back".to_owned(),
    };
    assert_eq!(refused(&mut host, &back), "run-superseded");
    host.handle(&cancelled());
}

#[test]
fn i15_what_must_happen_once_is_asked_for_when_it_is_not_seen() {
    let mut book = runbook(vec![step(0, Phase::RecoverSource, &[])], OnFailure::Hold);
    book.steps[0].necessity = Necessity::Required;
    let once = Created {
        once: vec![StepId(0)],
        ..created(&book)
    };
    let mut host = Host::with(
        &book,
        once,
        faulty(0, Direction::Forward, 1, Fault::Lost),
        Bugs::NONE,
    );
    assert_eq!(host.rest(), RunPhase::Stuck);
    assert_eq!(
        host.run.step(StepId(0)).unwrap().state,
        StepState::AwaitingPerson
    );
    assert_eq!(host.world.acted.len(), 1);
    assert!(
        host.run
            .questions()
            .next()
            .unwrap()
            .1
            .text
            .contains("did it?")
    );
    // Without that promise it is simply done again.
    let mut host = Host::new(&book, faulty(0, Direction::Forward, 1, Fault::Lost));
    assert_eq!(host.rest(), RunPhase::Succeeded);
}

#[test]
fn i22_a_retreat_undoes_a_promote_at_its_own_epoch_before_the_seal() {
    let mut seal = step(0, Phase::Seal, &[]);
    let mut promote = step(1, Phase::Promote, &[]);
    for (step, epoch) in [(&mut seal, 1), (&mut promote, 2)] {
        step.subject = Subject::Component(name("ledger"));
        step.fence = Some(Fence {
            store: name("ledger"),
            epoch: Epoch(epoch),
        });
    }
    // The runbook forgot the edge; the machine keeps the order all the same.
    let mut book = runbook(
        vec![seal, promote, step(2, Phase::Verify, &[0, 1])],
        OnFailure::Retreat,
    );
    let plan = EpochPlan {
        from: Epoch(1),
        to: Epoch(2),
        retreat: Epoch(3),
    };
    book.epochs.insert(name("ledger"), plan);
    let mut host = Host::new(&book, faulty(2, Direction::Forward, 9, Fault::Refused));
    assert_eq!(host.rest(), RunPhase::Retreated);
    let undone: Vec<_> = host
        .world
        .log
        .iter()
        .filter(|(_, way)| *way == Direction::Undo)
        .map(|(step, _)| step.0)
        .collect();
    let (seal, promote) = (
        undone.iter().position(|n| *n == 0),
        undone.iter().position(|n| *n == 1),
    );
    assert!(promote < seal && promote.is_some(), "{undone:?}");
    let tokens: Vec<_> = host
        .tokens
        .iter()
        .filter(|(id, _)| id.direction == Direction::Undo && id.step != StepId(2))
        .collect();
    assert!(
        tokens
            .iter()
            .all(|(_, fence)| fence.as_ref().is_some_and(|fence| fence.epoch == Epoch(3))),
        "{tokens:?}"
    );
}

#[test]
fn an_earlier_steps_position_is_put_into_the_goal() {
    let mut copy = step(1, Phase::CatchUp, &[0]);
    copy.goals[0].is = Predicate::CaughtUp(Wanted::Output(mainstay_model::OutputRef {
        step: StepId(0),
    }));
    let book = runbook(vec![step(0, Phase::Seal, &[]), copy], OnFailure::Hold);
    for position in [Some(Position::Lsn(42)), None] {
        let mut run = Run::create(book.clone(), created(&book), Timestamp(0)).unwrap();
        let seen = |answer, position| mainstay_engine::ObservedGoals {
            requires: Vec::new(),
            goals: vec![mainstay_engine::Evidence {
                answer,
                why: String::new(),
            }],
            output: mainstay_model::Output {
                position,
                values: BTreeMap::new(),
            },
        };
        let observed = |step, seen| Event::Observed {
            step: StepId(step),
            direction: Direction::Forward,
            attempt: 1,
            look: mainstay_engine::Look::Before,
            seen,
        };
        run.take_effects();
        run.handle(
            &observed(0, seen(mainstay_model::Tri::Holds, position.clone())),
            Timestamp(1),
        )
        .unwrap();
        let Some(Effect::Observe { goals, .. }) = run.take_effects().pop() else {
            panic!("no look")
        };
        match &position {
            Some(position) => assert_eq!(
                goals[0].is,
                Predicate::CaughtUp(Wanted::Position(position.clone()))
            ),
            None => assert_eq!(goals[0].is, book.steps[1].goals[0].is),
        }
        // Whatever the host says about a goal that cannot be told, it does not hold.
        run.handle(
            &observed(1, seen(mainstay_model::Tri::Holds, None)),
            Timestamp(2),
        )
        .unwrap();
        let state = run.step(StepId(1)).unwrap().state;
        assert_eq!(
            state,
            if position.is_some() {
                StepState::Already
            } else {
                StepState::Started
            }
        );
    }
}

#[test]
fn strange_answers_are_refused() {
    let mut host = Host::new(&small_move(), World::default());
    let acted = |step, attempt| Event::Acted {
        step: StepId(step),
        direction: Direction::Forward,
        attempt,
        outcome: mainstay_engine::ActOutcome::Done(mainstay_model::Output::default()),
    };
    assert_eq!(refused(&mut host, &acted(77, 1)), "no-such-step");
    assert_eq!(refused(&mut host, &acted(0, 1)), "answer-not-awaited");
    let short = Event::Observed {
        step: StepId(0),
        direction: Direction::Forward,
        attempt: 1,
        look: mainstay_engine::Look::Before,
        seen: mainstay_engine::ObservedGoals {
            requires: Vec::new(),
            goals: Vec::new(),
            output: mainstay_model::Output::default(),
        },
    };
    assert_eq!(refused(&mut host, &short), "answer-for-other-goals");
    assert_eq!(refused(&mut host, &Event::Ticked), "nothing-due");
    assert_eq!(Illegal::NothingDue.code(), "nothing-due");
}
