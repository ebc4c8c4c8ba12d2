//! Whole runs in the small world: the happy way, every step failing, every step repeated, every step undone.

use crate::world::{Fault, Host, World, created, name, runbook, small_move, step};
use mainstay_engine::{
    ActOutcome, Effect, Event, Evidence, ObservedGoals, Run, RunPhase, StepState,
};
use mainstay_model::{
    Direction, EffectId, ExecutorEpoch, OnFailure, Output, Phase, Runbook, Span, StepId, Timestamp,
    Undo,
};

const ACTS: [u32; 9] = [0, 1, 2, 3, 4, 5, 6, 8, 9];

fn faulty(
    step: u32,
    direction: Direction,
    attempts: std::ops::RangeInclusive<u32>,
    fault: Fault,
) -> World {
    let mut world = World::default();
    for attempt in attempts {
        world
            .faults
            .insert((StepId(step), direction, attempt), fault);
    }
    world
}

#[test]
fn a_run_does_every_step_once_and_in_order() {
    let mut host = Host::new(&small_move(), World::default());
    assert_eq!(host.rest(), RunPhase::Succeeded);
    assert_eq!(host.ended, [RunPhase::Succeeded]);
    assert_eq!(host.world.done.len(), ACTS.len());
    assert!(host.world.acted.values().all(|times| *times == 1));
    for step in &small_move().steps {
        let place = |id: StepId| host.world.log.iter().position(|(step, _)| *step == id);
        for before in &step.after {
            assert!(place(*before) <= place(step.id) || place(step.id).is_none());
        }
    }
}

#[test]
fn what_holds_already_is_not_done_again() {
    let mut world = World::default();
    world.done.extend([StepId(1), StepId(3)]);
    let mut host = Host::new(&small_move(), world);
    assert_eq!(host.rest(), RunPhase::Succeeded);
    assert_eq!(host.run.step(StepId(1)).unwrap().state, StepState::Already);
    assert!(!host.world.acted.keys().any(|id| id.step == StepId(1)));
}

#[test]
fn i22_failing_every_step_before_commit_leaves_nothing_behind() {
    for failing in ACTS.into_iter().filter(|id| *id < 7) {
        for fault in [Fault::Refused, Fault::MayPass, Fault::Lies] {
            let world = faulty(failing, Direction::Forward, 1..=9, fault);
            let mut host = Host::new(&small_move(), world);
            assert_eq!(host.rest(), RunPhase::Retreated, "{failing} {fault:?}");
            assert!(
                host.world.done.is_empty(),
                "{failing} {fault:?}: {:?}",
                host.world.done
            );
            let undone: Vec<_> = host
                .world
                .log
                .iter()
                .filter(|(_, way)| *way == Direction::Undo)
                .collect();
            let place = |id: u32| undone.iter().position(|(step, _)| *step == StepId(id));
            for step in &small_move().steps {
                for before in &step.after {
                    if let (Some(first), Some(second)) = (place(step.id.0), place(before.0)) {
                        assert!(first < second, "{before:?} was undone before {:?}", step.id);
                    }
                }
            }
        }
    }
}

#[test]
fn after_commit_a_failure_goes_forward_only() {
    let world = faulty(8, Direction::Forward, 1..=1, Fault::Refused);
    let mut host = Host::new(&small_move(), world);
    assert_eq!(host.rest(), RunPhase::Stuck);
    assert!(
        host.world
            .log
            .iter()
            .all(|(_, way)| *way == Direction::Forward)
    );
    let refused = host.run.handle(
        &Event::Retreated {
            by: name("ann"),
            reason: "why not".to_owned(),
        },
        host.now,
    );
    assert_eq!(refused.unwrap_err().code(), "already-committed");
    host.handle(&Event::Retried {
        step: StepId(8),
        by: name("ann"),
    });
    assert_eq!(host.rest(), RunPhase::Succeeded);
}

#[test]
fn an_advisory_failure_is_an_exception() {
    let world = faulty(9, Direction::Forward, 1..=9, Fault::Refused);
    let mut host = Host::new(&small_move(), world);
    assert_eq!(host.rest(), RunPhase::SucceededWithExceptions);
}

#[test]
fn a_failure_holds_where_there_is_nothing_to_go_back_to() {
    let mut book = small_move();
    book.on_failure = OnFailure::Hold;
    let world = faulty(5, Direction::Forward, 1..=1, Fault::Refused);
    let mut host = Host::new(&book, world);
    assert_eq!(host.rest(), RunPhase::Stuck);
    host.handle(&Event::Retried {
        step: StepId(5),
        by: name("ann"),
    });
    assert_eq!(host.rest(), RunPhase::Succeeded);
}

#[test]
fn repeating_and_losing_every_step_still_ends_well() {
    for step in ACTS {
        for fault in [
            Fault::MayPass,
            Fault::Happened,
            Fault::Lost,
            Fault::Silent,
            Fault::Long(5),
        ] {
            let mut host = Host::new(
                &small_move(),
                faulty(step, Direction::Forward, 1..=1, fault),
            );
            assert_eq!(host.rest(), RunPhase::Succeeded, "{step} {fault:?}");
            assert!(host.world.acted.values().all(|times| *times == 1));
        }
    }
}

#[test]
fn i17_a_crash_after_every_entry_reaches_the_same_end() {
    for step in ACTS {
        for fault in [
            None,
            Some(Fault::MayPass),
            Some(Fault::Happened),
            Some(Fault::Refused),
            Some(Fault::Long(2)),
        ] {
            let world = || match fault {
                None => World::default(),
                Some(fault) => faulty(step, Direction::Forward, 1..=1, fault),
            };
            let mut whole = Host::new(&small_move(), world());
            let end = whole.rest();
            let length = whole.journal.len();
            for cut in 1..=length {
                let mut host = Host::new(&small_move(), world());
                host.dies_at = Some(cut);
                host.rest();
                host.crash(cut, 2);
                // A step that only failed once succeeds when the crash lost that failure; then no retreat was needed.
                let after = host.rest();
                assert_eq!(host.broken, std::collections::BTreeSet::new());
                let fine =
                    after == end || fault == Some(Fault::Refused) && after == RunPhase::Succeeded;
                assert!(
                    fine,
                    "{step} {fault:?} cut {cut}: {after:?} instead of {end:?}"
                );
                if after == end {
                    assert_eq!(
                        host.world.done, whole.world.done,
                        "{step} {fault:?} cut {cut}"
                    );
                }
                assert!(host.world.acted.values().all(|times| *times == 1), "I14");
            }
        }
    }
}

#[test]
fn failing_to_undo_every_step_asks_a_person_and_ends_after_a_retry() {
    for failing in ACTS.into_iter().filter(|id| *id < 6) {
        for fault in [Fault::Refused, Fault::Lies, Fault::Silent] {
            let mut world = faulty(failing, Direction::Undo, 1..=1, fault);
            world
                .faults
                .insert((StepId(6), Direction::Forward, 1), Fault::Refused);
            let mut host = Host::new(&small_move(), world);
            let mut phase = host.rest();
            if phase == RunPhase::Stuck {
                let state = host.run.step(StepId(failing)).unwrap().state;
                assert!(matches!(state, StepState::UndoFailed { .. }), "{state:?}");
                // What the step stands on is not undone before it.
                let before = &small_move().steps[failing as usize].after;
                assert!(before.iter().all(|id| host.world.done.contains(id)));
                host.handle(&Event::Retried {
                    step: StepId(failing),
                    by: name("ann"),
                });
                phase = host.rest();
            }
            assert_eq!(phase, RunPhase::Retreated, "{failing} {fault:?}");
            assert!(host.world.done.is_empty());
            assert_eq!(host.broken, std::collections::BTreeSet::new());
        }
    }
}

/// One step after another would take ten thousand rounds; a scan of all steps for each event, a hundred million visits.
#[test]
fn ten_thousand_steps_are_no_burden() {
    let steps = (0..10_000_u32).map(|id| {
        let before = [id.checked_sub(64), id.checked_sub(65)];
        let before: Vec<u32> = before.into_iter().flatten().collect();
        step(id, Phase::Activate, &before)
    });
    let book = runbook(steps.collect(), OnFailure::Retreat);
    let mut run = Run::create(book.clone(), created(&book), Timestamp(0)).unwrap();
    let mut done = std::collections::BTreeSet::new();
    let (mut bytes, mut most) = (0, 0);
    while run.resting().is_none() {
        let entries = run.take_entries();
        bytes += entries.iter().map(|entry| entry.bytes.len()).sum::<usize>();
        if let Some(last) = entries.last() {
            run.durable(last.seq);
        }
        let effects = run.take_effects();
        most = most.max(effects.len());
        for effect in effects {
            if let Some(event) = quick_answer(&effect, &mut done) {
                run.handle(&event, Timestamp(0)).unwrap();
            }
        }
    }
    assert_eq!(run.phase(), RunPhase::Succeeded);
    assert_eq!(done.len(), 10_000);
    assert!(most <= 64, "{most} at once");
    assert!(bytes < 10_000 * 1_000, "{bytes} bytes of journal");
}

fn quick_answer(effect: &Effect, done: &mut std::collections::BTreeSet<StepId>) -> Option<Event> {
    match effect {
        Effect::Observe {
            step,
            direction,
            attempt,
            look,
            ..
        } => Some(Event::Observed {
            step: *step,
            direction: *direction,
            attempt: *attempt,
            look: *look,
            seen: ObservedGoals {
                requires: Vec::new(),
                goals: vec![Evidence {
                    answer: done.contains(step).into(),
                    why: String::new(),
                }],
                output: Output::default(),
            },
        }),
        Effect::Act { id, .. } => {
            done.insert(id.step);
            Some(Event::Acted {
                step: id.step,
                direction: id.direction,
                attempt: id.attempt,
                outcome: ActOutcome::Done(Output::default()),
            })
        }
        _ => None,
    }
}

/// A copy may take hours; that nobody answers for it is known much sooner, and the users are stopped meanwhile.
#[test]
fn silence_turns_a_planned_move_round_long_before_the_steps_own_time_is_over() {
    let hours = Span::from_secs(4 * 3600);
    let rests = |step: u32, fault: Fault, on_failure: OnFailure| {
        let mut book = small_move();
        book.on_failure = on_failure;
        let long = &mut book.steps[step as usize];
        (long.timeout, long.undo) = (hours, Undo::Nothing);
        let mut world = faulty(step, Direction::Forward, 1..=9, fault);
        world.blind.insert(StepId(step));
        let mut host = Host::new(&book, world);
        let began = host.now;
        let phase = host.rest();
        assert!(host.broken.is_empty(), "{:?}", host.broken);
        (phase, host.now.since(began))
    };
    for fault in [Fault::Happened, Fault::Lies, Fault::Lost] {
        let (phase, took) = rests(3, fault, OnFailure::Retreat);
        assert_eq!(phase, RunPhase::Retreated, "{fault:?}");
        assert!(took < Span::from_secs(120), "{fault:?}: {took}");
    }
    // Where there is no way back, there is nothing to gain by giving up.
    for (step, on_failure) in [(3, OnFailure::Hold), (8, OnFailure::Retreat)] {
        let (phase, took) = rests(step, Fault::Lost, on_failure);
        assert_eq!(phase, RunPhase::Stuck);
        assert!(took >= hours, "{took}");
    }
}

/// A step whose end nobody can see.
fn unseen_step() -> Runbook {
    let mut book = small_move();
    book.steps[1].goals.clear();
    book.steps[1].undo = Undo::Nothing;
    book
}

#[test]
fn what_nobody_can_see_is_asked_after_at_the_agent() {
    for (fault, attempts) in [(Fault::Happened, 1), (Fault::Lost, 2)] {
        let mut world = World::default();
        world
            .faults
            .insert((StepId(1), Direction::Forward, 1), fault);
        let mut host = Host::new(&unseen_step(), world);
        assert_eq!(host.rest(), RunPhase::Succeeded);
        assert_eq!(host.run.step(StepId(1)).unwrap().attempts, attempts);
        let log = host.world.log.iter();
        assert_eq!(log.filter(|(step, _)| *step == StepId(1)).count(), 1);
        assert!(host.broken.is_empty(), "{:?}", host.broken);
    }
}

#[test]
fn a_new_executor_asks_the_agent_what_became_of_what_nobody_can_see() {
    for happened in [true, false] {
        let mut host = Host::new(&unseen_step(), World::default());
        let acting = |host: &Host| host.run.step(StepId(1)).unwrap().attempts == 1;
        while !acting(&host) {
            assert!(host.turn());
        }
        let first = EffectId {
            run: name("r1"),
            step: StepId(1),
            direction: Direction::Forward,
            attempt: 1,
            executor: ExecutorEpoch(1),
        };
        if happened {
            host.world.act(&first);
        }
        host.crash(usize::MAX, 2);
        assert_eq!(host.run.step(StepId(1)).unwrap().state, StepState::Unknown);
        assert_eq!(host.rest(), RunPhase::Succeeded);
        let log = host.world.log.iter();
        assert_eq!(log.filter(|(step, _)| *step == StepId(1)).count(), 1);
        assert!(host.broken.is_empty(), "{:?}", host.broken);
    }
}
