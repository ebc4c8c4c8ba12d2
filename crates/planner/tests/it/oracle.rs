//! The safety proof against the oracle: on computed runbooks and on spoilt ones they say the same, both ways.

use std::collections::BTreeMap;

use mainstay_model::*;
use mainstay_planner::{
    oracle::{Found, MAX_STEPS, explore},
    *,
};
use proptest::prelude::*;

use super::common::*;

/// A runbook without some of its steps; what waited for them waits for what they waited for.
fn without(runbook: &Runbook, gone: impl Fn(&Step) -> bool) -> Runbook {
    let mut replaced: BTreeMap<StepId, Vec<StepId>> = BTreeMap::new();
    let mut steps: Vec<Step> = Vec::new();
    for step in &runbook.steps {
        let mut after: Vec<StepId> = (step.after.iter())
            .flat_map(|before| replaced[before].clone())
            .collect();
        after.sort_unstable();
        after.dedup();
        if gone(step) {
            replaced.insert(step.id, after);
            continue;
        }
        let id = StepId(u32::try_from(steps.len()).unwrap());
        replaced.insert(step.id, vec![id]);
        let mut step = step.clone();
        (step.id, step.after) = (id, after);
        renumber(&mut step, &replaced);
        steps.push(step);
    }
    Runbook {
        steps,
        ..runbook.clone()
    }
}

fn renumber(step: &mut Step, numbers: &BTreeMap<StepId, Vec<StepId>>) {
    let new = |old: StepId| {
        numbers
            .get(&old)
            .and_then(|new| new.first().copied())
            .unwrap_or(old)
    };
    for goal in &mut step.goals {
        if let Predicate::CaughtUp(Wanted::Output(output)) = &mut goal.is {
            output.step = new(output.step);
        }
    }
    for input in &mut step.inputs {
        input.step = new(input.step);
    }
}

fn small(planned: &Planned, also: &[Phase]) -> Runbook {
    let idle = |step: &Step| {
        let look = matches!(step.body, Body::Join | Body::Check);
        let keep = matches!(step.phase, Phase::Commit | Phase::Protect | Phase::CatchUp);
        (look && !keep) || also.contains(&step.phase)
    };
    let runbook = without(&planned.runbook, idle);
    assert!(runbook.steps.len() <= MAX_STEPS, "{}", lines(&runbook));
    runbook
}

fn one_store() -> PlanFile {
    let mut file = empty();
    add_store(&mut file, "ledger");
    add_workload(&mut file, "web", &["ledger"], &[]);
    add_route(&mut file, "app", &["web"]);
    file
}

fn group_of_two() -> PlanFile {
    let mut file = empty();
    add_store(&mut file, "ledger");
    add_store(&mut file, "attachments");
    add_workload(&mut file, "web", &["ledger", "attachments"], &[]);
    file
}

fn with_scheduler() -> PlanFile {
    let mut file = empty();
    add_store(&mut file, "ledger");
    add_scheduler(&mut file, "jobs", &["ledger"]);
    file
}

fn scheduler_alone() -> PlanFile {
    let mut file = empty();
    add_scheduler(&mut file, "jobs", &[]);
    add_route(&mut file, "app", &["jobs"]);
    file
}

fn with_store_route() -> PlanFile {
    let mut file = empty();
    add_store(&mut file, "ledger");
    add_route(&mut file, "ledger-name", &["ledger"]);
    file
}

fn both_sites() -> (PlanFile, Observed) {
    let mut file = one_store();
    let both = Weights::from([(site("prod"), 50), (site("dr"), 50)]);
    file.placement.insert(id("web"), both.clone());
    let mut observed = all_at(&file, "prod");
    observed.placement.insert(id("web"), both.clone());
    observed.routes.get_mut("app").unwrap().weights = both;
    (file, observed)
}

fn dead_prod(file: &PlanFile) -> Observed {
    let mut observed = all_at(file, "prod");
    dead(&mut observed, "prod");
    observed
}

/// Computed runbooks of every sort, small enough to be searched.
fn bases() -> Vec<(PlanFile, Runbook)> {
    let mut bases = Vec::new();
    let to_dr = Request::switchover(site("dr"));
    for (file, also) in [
        (one_store(), &[Phase::Sweep][..]),
        (group_of_two(), &[Phase::Sweep]),
        (with_scheduler(), &[Phase::Sweep]),
        (scheduler_alone(), &[]),
        (with_store_route(), &[]),
    ] {
        let planned = planned(&file, &all_at(&file, "prod"), &to_dr);
        bases.push((file, small(&planned, also)));
    }
    let (file, observed) = both_sites();
    let planned = plan(&file, &kinds(), &observed, &to_dr).unwrap();
    bases.push((file, small(&planned, &[Phase::Sweep])));
    for file in [one_store(), with_scheduler(), scheduler_alone()] {
        let planned = failover(&file, &dead_prod(&file), "dr");
        bases.push((file, small(&planned, &[])));
    }
    let mut file = with_scheduler();
    file.stores.get_mut("ledger").unwrap().lease = None;
    let planned = failover(&file, &dead_prod(&file), "dr");
    bases.push((file, small(&planned, &[])));
    let file = one_store();
    let mut observed = all_at(&file, "dr");
    observed.stores.get_mut("ledger").unwrap().protection = Protection::NotProtected;
    let planned = plan(
        &file,
        &kinds(),
        &observed,
        &Request::reprotect(site("prod")),
    )
    .unwrap();
    bases.push((file, small(&planned, &[])));
    bases
}

/// One way to spoil a runbook. The numbers pick the place, modulo what there is.
#[derive(Debug, Clone)]
enum Spoil {
    DropEdge(usize, usize),
    AddEdge(usize, usize),
    DropStep(usize),
    CutOutStep(usize),
    Swap(usize, usize),
    Duplicate(usize),
    Within(usize, Within),
}

/// One way to spoil a step.
#[derive(Debug, Clone)]
enum Within {
    Epoch(i8),
    TokenOnly(i8),
    UndoEpoch(i8),
    NoUndo,
    NoWayBack,
    NoToken,
    NoRequires,
    Advisory,
    EmptyRoute,
}

fn spoils() -> impl Strategy<Value = Spoil> {
    let at = 0_usize..12;
    let by = prop_oneof![Just(-2_i8), Just(-1), Just(1), Just(2)];
    let within = prop_oneof![
        by.clone().prop_map(Within::Epoch),
        by.clone().prop_map(Within::TokenOnly),
        by.prop_map(Within::UndoEpoch),
        Just(Within::NoUndo),
        Just(Within::NoWayBack),
        Just(Within::NoToken),
        Just(Within::NoRequires),
        Just(Within::Advisory),
        Just(Within::EmptyRoute),
    ];
    prop_oneof![
        4 => (at.clone(), 0_usize..4).prop_map(|(a, b)| Spoil::DropEdge(a, b)),
        1 => (at.clone(), at.clone()).prop_map(|(a, b)| Spoil::AddEdge(a, b)),
        2 => at.clone().prop_map(Spoil::DropStep),
        2 => at.clone().prop_map(Spoil::CutOutStep),
        2 => (at.clone(), at.clone()).prop_map(|(a, b)| Spoil::Swap(a, b)),
        2 => at.clone().prop_map(Spoil::Duplicate),
        9 => (at, within).prop_map(|(a, how)| Spoil::Within(a, how)),
    ]
}

fn moved(epoch: Epoch, by: i8) -> Epoch {
    Epoch(epoch.0.saturating_add_signed(by.into()))
}

fn move_op(op: &mut Op, by: i8) {
    match op {
        Op::Seal(e) | Op::Unseal(e) | Op::Fence(e) | Op::Promote(e) | Op::Demote(e) => {
            *e = moved(*e, by);
        }
        Op::Route { epoch, .. } => *epoch = moved(*epoch, by),
        _ => {}
    }
}

fn move_goals(goals: &mut [Goal], by: i8) {
    for goal in goals {
        match &mut goal.is {
            Predicate::Open(e) | Predicate::Sealed(e) | Predicate::FencedBelow(e) => {
                *e = moved(*e, by);
            }
            Predicate::Routed { epoch, .. } => *epoch = moved(*epoch, by),
            _ => {}
        }
    }
}

/// Spoils the order, or what there is to order.
fn spoil(runbook: &mut Runbook, spoil: &Spoil) {
    let count = runbook.steps.len();
    let pick = |at: &usize| at % count;
    let steps = &mut runbook.steps;
    match spoil {
        Spoil::DropEdge(step, edge) => {
            let after = &mut steps[pick(step)].after;
            if !after.is_empty() {
                after.remove(edge % after.len());
            }
        }
        Spoil::AddEdge(a, b) => {
            let (a, b) = (pick(a).min(pick(b)), pick(a).max(pick(b)));
            let before = steps[a].id;
            if a != b && !steps[b].after.contains(&before) {
                steps[b].after.push(before);
            }
        }
        Spoil::DropStep(step) => {
            let gone = steps[pick(step)].id;
            for step in steps.iter_mut() {
                step.after.retain(|before| *before != gone);
            }
            *runbook = without(runbook, |step| step.id == gone);
        }
        Spoil::CutOutStep(step) => {
            let gone = steps[pick(step)].id;
            *runbook = without(runbook, |step| step.id == gone);
        }
        Spoil::Swap(a, b) => {
            let (a, b) = (pick(a), pick(b));
            steps.swap(a, b);
            let (left, right) = (steps[a].clone(), steps[b].clone());
            (steps[a].id, steps[a].after) = (right.id, right.after);
            (steps[b].id, steps[b].after) = (left.id, left.after);
        }
        Spoil::Duplicate(step) => {
            let mut copy = steps[pick(step)].clone();
            copy.id = StepId(u32::try_from(count).unwrap());
            steps.push(copy);
        }
        Spoil::Within(step, how) => spoil_step(&mut steps[pick(step)], how),
    }
}

/// Spoils one step.
fn spoil_step(step: &mut Step, how: &Within) {
    match how {
        Within::Epoch(by) => {
            if let Body::Act(action) = &mut step.body {
                move_op(&mut action.op, *by);
            }
            move_goals(&mut step.goals, *by);
            if let Some(fence) = &mut step.fence {
                fence.epoch = moved(fence.epoch, *by);
            }
        }
        Within::TokenOnly(by) => {
            if let Some(fence) = &mut step.fence {
                fence.epoch = moved(fence.epoch, *by);
            }
        }
        Within::UndoEpoch(by) => {
            if let Undo::Act { action, goals } = &mut step.undo {
                move_op(&mut action.op, *by);
                move_goals(goals, *by);
            }
        }
        Within::NoUndo => step.undo = Undo::Nothing,
        Within::NoWayBack => step.undo = Undo::Irreversible,
        Within::NoToken => step.fence = None,
        Within::NoRequires => step.requires.clear(),
        Within::Advisory => step.necessity = Necessity::Advisory,
        Within::EmptyRoute => {
            if let Body::Act(action) = &mut step.body
                && let Op::Route { weights, .. } = &mut action.op
            {
                weights.clear();
            }
        }
    }
}

#[test]
fn computed_runbooks_are_safe_in_every_order() {
    for (file, runbook) in bases() {
        let explored = explore(&runbook, &file);
        assert_eq!(explored.found, Found::Safe, "{}", lines(&runbook));
        prove(&runbook, &file).unwrap_or_else(|race| panic!("{race}\n{}", lines(&runbook)));
    }
}

/// A duplicate may make a runbook one step too large; then there is nothing to compare.
fn agree(file: &PlanFile, runbook: &Runbook) -> Result<(), TestCaseError> {
    let explored = explore(runbook, file);
    if explored.found == Found::TooLarge {
        return Ok(());
    }
    let proof = prove(runbook, file);
    let same = proof.is_ok() == (explored.found == Found::Safe);
    let steps = serde_json::to_string(&runbook.steps).unwrap();
    prop_assert!(
        same,
        "{:?} {:?}\n{}\n{steps}",
        explored.found,
        proof,
        lines(runbook)
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn proof_and_oracle_agree_on_spoilt_runbooks(
        base in 0_usize..11,
        spoilt in proptest::collection::vec(spoils(), 1..4),
    ) {
        let (file, mut runbook) = bases().swap_remove(base);
        for how in &spoilt {
            spoil(&mut runbook, how);
        }
        agree(&file, &runbook)?;
    }
}
