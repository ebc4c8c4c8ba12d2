//! Random runbooks in random trouble, with crashes: the run machine's invariants by their numbers.

use std::collections::BTreeSet;

use crate::world::{Fault, Host, World, created, is_over, join, runbook, step};
use mainstay_engine::{Bugs, Created, Limits, RunPhase, StepState};
use mainstay_model::{
    Body, Direction, Necessity, OnFailure, Output, OutputRef, Phase, Runbook, Step, StepId, Undo,
};
use proptest::prelude::*;

/// One step before or after the commit.
#[derive(Debug, Clone)]
struct Plan {
    /// Which of the earlier steps it waits for.
    after: u8,
    necessity: Necessity,
    /// What goes wrong with all its attempts.
    forward: Option<Fault>,
    back: Option<Fault>,
    blind: bool,
    check: bool,
    /// It has no goals: only what its agent says of it is known.
    mute: bool,
}

#[derive(Debug, Clone)]
struct Scenario {
    plans: Vec<Plan>,
    commit_at: usize,
    concurrency: u32,
    on_failure: OnFailure,
    lag: usize,
    crashes: Vec<usize>,
}

fn fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        6 => Just(None),
        1 => Just(Some(Fault::MayPass)),
        1 => Just(Some(Fault::Refused)),
        1 => Just(Some(Fault::Happened)),
        1 => Just(Some(Fault::Lost)),
        1 => Just(Some(Fault::Silent)),
        1 => Just(Some(Fault::Lies)),
        1 => (0..4_u32).prop_map(|polls| Some(Fault::Long(polls))),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let necessity = prop_oneof![4 => Just(Necessity::Required), 1 => Just(Necessity::Advisory)];
    (
        any::<u8>(),
        necessity,
        fault(),
        fault(),
        prop::bool::weighted(0.08),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.15),
    )
        .prop_map(
            |(after, necessity, forward, back, blind, check, mute)| Plan {
                after,
                necessity,
                // Whoever lies about what nobody can see is not found out.
                forward: forward.filter(|fault| !mute || *fault != Fault::Lies),
                back: back.filter(|fault| !mute || *fault != Fault::Lies),
                blind: blind && !mute,
                check,
                mute: mute && !check,
            },
        )
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let hold = prop_oneof![3 => Just(OnFailure::Retreat), 1 => Just(OnFailure::Hold)];
    (
        prop::collection::vec(plan(), 1..8),
        0..8_usize,
        1..4_u32,
        hold,
        0..4_usize,
        prop::collection::vec(1..40_usize, 0..3),
    )
        .prop_map(
            |(plans, commit, concurrency, on_failure, lag, crashes)| Scenario {
                commit_at: commit.min(plans.len()),
                plans,
                concurrency,
                on_failure,
                lag,
                crashes,
            },
        )
}

impl Scenario {
    fn runbook(&self) -> Runbook {
        let mut steps: Vec<Step> = Vec::new();
        for (place, plan) in self.plans.iter().enumerate() {
            if place == self.commit_at {
                let id = u32::try_from(steps.len()).unwrap();
                let before: Vec<u32> = (0..id).collect();
                steps.push(join(id, Phase::Commit, &before));
            }
            let id = u32::try_from(steps.len()).unwrap();
            let committed =
                (place >= self.commit_at).then(|| u32::try_from(self.commit_at).unwrap());
            let earlier = (0..id).filter(|n| plan.after & (1 << n) != 0 || Some(*n) == committed);
            let phase = if committed.is_some() {
                Phase::Shift
            } else {
                Phase::Activate
            };
            let mut made = step(id, phase, &earlier.collect::<Vec<_>>());
            made.necessity = plan.necessity;
            made.inputs = made
                .after
                .iter()
                .map(|step| OutputRef { step: *step })
                .collect();
            if plan.check {
                made.body = Body::Check;
                made.undo = Undo::Nothing;
            }
            if plan.mute {
                made.goals.clear();
                if let Undo::Act { goals, .. } = &mut made.undo {
                    goals.clear();
                }
            }
            steps.push(made);
        }
        runbook(steps, self.on_failure)
    }

    fn created(&self, runbook: &Runbook) -> Created {
        Created {
            limits: Limits {
                concurrency: self.concurrency,
                retries: 2,
            },
            ..created(runbook)
        }
    }

    fn world(&self) -> World {
        let mut world = World::default();
        for (place, plan) in self.plans.iter().enumerate() {
            let id = StepId(u32::try_from(place + usize::from(place >= self.commit_at)).unwrap());
            for (direction, fault) in [
                (Direction::Forward, plan.forward),
                (Direction::Undo, plan.back),
            ] {
                for attempt in 1..20 {
                    if let Some(fault) = fault {
                        world.faults.insert((id, direction, attempt), fault);
                    }
                }
            }
            if plan.blind {
                world.blind.insert(id);
            }
            if plan.check && plan.forward.is_none() {
                world.done.insert(id);
            }
        }
        world
    }

    fn start(&self, bugs: Bugs) -> Host {
        let runbook = self.runbook();
        let mut host = Host::with(&runbook, self.created(&runbook), self.world(), bugs);
        host.lag = self.lag;
        host
    }

    /// Plays it through and returns the numbers of the invariants that were broken.
    fn play(&self, bugs: Bugs) -> BTreeSet<&'static str> {
        let mut whole = self.start(bugs);
        let end = whole.rest();
        let mut broken = self.judge(&mut whole, end);
        let mut host = self.start(bugs);
        for (executor, crash) in (2..).zip(&self.crashes) {
            host.dies_at = Some(host.journal.len() + crash);
            host.rest();
            if !host.is_dead() {
                break;
            }
            host.crash(usize::MAX, executor);
            if host.broken.contains("I17") {
                break;
            }
        }
        host.dies_at = None;
        let after = host.rest();
        broken.extend(self.judge(&mut host, after));
        let told = !self.plans.iter().any(|plan| plan.blind);
        let same = after == end
            && (!told || host.world.done == whole.world.done && outputs(&host) == outputs(&whole));
        if !same && self.has_one_order() {
            broken.insert("I17");
        }
        broken
    }

    /// Whether the answers of the world decide the end alone. Where steps run beside one that fails, it also depends on
    /// how far they have come by then.
    fn has_one_order(&self) -> bool {
        let fails = |plan: &Plan| match plan.forward {
            None | Some(Fault::Happened | Fault::Long(_)) => plan.blind,
            Some(_) => true,
        };
        self.concurrency == 1 || !self.plans.iter().any(fails)
    }

    fn judge(&self, host: &mut Host, end: RunPhase) -> BTreeSet<&'static str> {
        let mut broken = std::mem::take(&mut host.broken);
        let checks: BTreeSet<StepId> = self.world().done;
        let done: Vec<_> = host.world.done.difference(&checks).collect();
        if end == RunPhase::Retreated && !done.is_empty() {
            broken.insert("I22");
        }
        if end == RunPhase::Stuck && !host.run.steps().any(|step| step.waits_for_person) {
            broken.insert("I22");
        }
        for step in host.run.steps() {
            let acts = matches!(host.run.runbook().steps[step.id.index()].body, Body::Act(_));
            let claims = matches!(step.state, StepState::Succeeded | StepState::Already);
            if is_over(end)
                && acts
                && claims
                && !host.world.done.contains(&step.id)
                && end != RunPhase::Retreated
            {
                broken.insert("I15");
            }
        }
        if !is_over(end) && end != RunPhase::Stuck {
            broken.insert("I29");
        }
        broken
    }
}

fn outputs(host: &Host) -> Vec<Output> {
    host.run.steps().map(|step| step.output.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i14_i15_i16_i17_i20_i22_i29_hold_in_random_trouble(scenario in scenario()) {
        prop_assert_eq!(scenario.play(Bugs::NONE), BTreeSet::new());
    }
}

/// The whole run hears the answer to an undo of what never happened; the one that dies looks instead, and sees the
/// goal hold. A driver that keeps the contract does not refuse what holds already, so both end alike.
#[test]
fn i17_a_crash_before_the_undo_of_what_never_happened() {
    let plan = Plan {
        after: 0,
        necessity: Necessity::Required,
        forward: None,
        back: None,
        blind: false,
        check: false,
        mute: false,
    };
    let scenario = Scenario {
        plans: vec![
            Plan {
                forward: Some(Fault::Happened),
                ..plan.clone()
            },
            plan.clone(),
            Plan {
                forward: Some(Fault::Lost),
                back: Some(Fault::Refused),
                ..plan
            },
        ],
        commit_at: 3,
        concurrency: 1,
        on_failure: OnFailure::Retreat,
        lag: 0,
        crashes: vec![10, 4],
    };
    assert_eq!(scenario.play(Bugs::NONE), BTreeSet::new());
}

#[cfg(feature = "planted-bugs")]
#[test]
fn planted_run_bugs_are_caught() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    for name in [
        "act-again-on-resume",
        "attempt-not-counted",
        "retry-blindly",
        "unseen-is-done",
        "act-before-durable",
        "durable-off-by-one",
        "replay-skips-ticks",
        "replay-forgets-outputs",
        "executor-kept",
        "retreat-forgets-unknown",
        "retreat-in-any-order",
        "undo-unseen",
        "no-timeouts",
        "looks-forever",
    ] {
        let bugs = Bugs::named(name).unwrap();
        let (_, number) = mainstay_engine::bugs::ALL
            .iter()
            .map(|(number, name)| (name, number))
            .find(|(known, _)| **known == name)
            .unwrap();
        let mut runner = TestRunner::deterministic();
        let found = (0..1_000).any(|_| {
            let scenario = scenario().new_tree(&mut runner).unwrap().current();
            scenario.play(bugs).contains(number)
        });
        assert!(found, "{name} breaks {number} and nobody saw it");
    }
}
