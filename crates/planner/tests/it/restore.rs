//! Stores that go back to an earlier state, where they are.

use mainstay_model::*;
use mainstay_planner::{render::tree, *};

use super::common::*;

fn offsite() -> RepositoryId {
    RepositoryId::new("offsite").unwrap()
}

/// The orders system, whose ledger is saved.
fn saved() -> PlanFile {
    let mut file = orders();
    file.stores.get_mut("ledger").unwrap().backup = vec![Backup {
        every: Span::from_secs(3600),
        to: offsite(),
        keep: Keep::default(),
        pitr: None,
        test: Span::MAX,
        validate: None,
    }];
    file
}

fn back(store: &str, from: &str) -> Request {
    let past = Past {
        from: RepositoryId::new(from).unwrap(),
        target: RecoveryTarget::Time(Timestamp(1_000_000)),
    };
    Request::restore([(id(store), past)].into())
}

fn planned(file: &PlanFile, observed: &Observed) -> Planned {
    plan(file, &kinds(), observed, &back("ledger", "offsite")).unwrap()
}

#[test]
fn what_is_there_is_saved_before_the_earlier_state_takes_its_place() {
    let file = saved();
    let planned = planned(&file, &all_at(&file, "prod"));
    insta::assert_snapshot!(tree(&planned), @r"
    restore of orders: 19 steps
    ├─ gate
    │  ├─ 0 site prod  ~100ms
    │  ├─ 1 site witness  ~100ms
    │  ├─ 2 ledger at prod  ~100ms
    │  └─ 3 all of it  < 0 1 2
    ├─ hold
    │  └─ 4 jobs at prod  ~200ms  < 3
    ├─ quiesce
    │  ├─ 5 web at prod  ~200ms  < 4
    │  ├─ 6 jobs at prod  ~200ms  < 4
    │  └─ 7 all of it  < 5 6
    ├─ seal
    │  └─ 8 ledger at prod  ~200ms  < 7
    ├─ salvage
    │  └─ 9 ledger at prod  ~5s  < 8
    ├─ catch-up
    │  └─ 10 ledger at prod  ~5s  < 9
    ├─ promote
    │  └─ 11 ledger at prod  ~200ms  < 10
    ├─ commit
    │  └─ 12 commit: no way back from here  < 11
    ├─ rebind
    │  ├─ 13 jobs at prod  ~2s  < 12
    │  └─ 14 web at prod  ~2s  < 12
    ├─ verify
    │  ├─ 15 jobs at prod  ~200ms  < 13
    │  ├─ 16 web at prod  ~200ms  < 14
    │  └─ 17 all of it  < 15 16
    └─ release
       └─ 18 jobs at prod  ~200ms  < 17
    time  ~13s300ms of 15m (met)
    loss  0s of 5m (met)
    ");
}

#[test]
fn a_retreat_brings_back_what_there_was_and_opens_it_at_a_new_epoch() {
    let file = saved();
    let runbook = planned(&file, &all_at(&file, "prod")).runbook;
    assert_eq!(runbook.on_failure, OnFailure::Retreat);
    let epochs = runbook.epochs["ledger"];
    let undo = |phase: Phase| {
        let ours =
            |step: &&Step| step.phase == phase && step.subject.component() == Some(&id("ledger"));
        let step = runbook.steps.iter().rev().find(ours).unwrap();
        match &step.undo {
            Undo::Act { action, .. } => Some(action.op.clone()),
            _ => None,
        }
    };
    assert_eq!(undo(Phase::Seal), Some(Op::Unseal(epochs.retreat)));
    let newest = RecoveryTarget::Newest;
    assert_eq!(
        undo(Phase::CatchUp),
        Some(Op::Restore {
            from: offsite(),
            target: newest
        })
    );
    assert_eq!(undo(Phase::Promote), Some(Op::Seal(epochs.to)));
    // Its only undo is none: what was saved stays.
    assert_eq!(undo(Phase::Salvage), None);
}

#[test]
fn the_proof_refuses_a_restore_that_somebody_could_write_under() {
    let file = saved();
    let good = planned(&file, &all_at(&file, "prod")).runbook;
    assert!(prove(&good, &file).is_ok());
    // Sealed before its users stopped.
    let mut bad = good.clone();
    let stopped = std::mem::replace(&mut bad.steps[8].after, vec![StepId(3)]);
    bad.steps[9].after.extend(stopped);
    assert_eq!(prove(&bad, &file).unwrap_err().invariant, "I10");
    // Opened again before the earlier state is there.
    let mut bad = good.clone();
    let promote = bad
        .steps
        .iter_mut()
        .find(|step| step.phase == Phase::Promote);
    promote.unwrap().after.clear();
    assert!(prove(&bad, &file).is_err());
    // Opened again at the old epoch.
    let mut bad = good;
    let promote = bad
        .steps
        .iter_mut()
        .find(|step| step.phase == Phase::Promote);
    let promote = promote.unwrap();
    let old = bad.epochs["ledger"].from;
    if let Body::Act(action) = &mut promote.body {
        action.op = Op::Promote(old);
    }
    promote.fence.as_mut().unwrap().epoch = old;
    assert_eq!(prove(&bad, &file).unwrap_err().invariant, "I2");
}

#[test]
fn what_cannot_go_back_is_refused() {
    let file = saved();
    let refused = |file: &PlanFile, observed: &Observed, request: &Request| {
        let refusals = plan(file, &kinds(), observed, request).unwrap_err();
        refusals.list[0].code
    };
    let observed = all_at(&file, "prod");
    let code = |store, from| refused(&file, &observed, &back(store, from));
    assert_eq!(code("ledger", "elsewhere"), Code::NothingToPromote);
    assert_eq!(code("attachments", "offsite"), Code::NothingToPromote);
    assert_eq!(code("web", "offsite"), Code::UnknownComponent);
    assert_eq!(code("nobody", "offsite"), Code::UnknownComponent);
    let mut silent = all_at(&file, "prod");
    dead(&mut silent, "prod");
    let request = back("ledger", "offsite");
    assert_eq!(refused(&file, &silent, &request), Code::SiteSilent);
}
