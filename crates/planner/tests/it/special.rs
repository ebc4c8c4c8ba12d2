//! Moves with something special: cold standby, reprotect, offline copies, a move planned halfway, a team's own steps.

use mainstay_model::*;
use mainstay_planner::{render::tree, *};

use super::common::*;

#[test]
fn cold_standby_is_provisioned_and_restored() {
    let mut file = orders();
    file.workloads.get_mut("web").unwrap().standby = Standby::Cold;
    let repository = RepositoryId::new("offsite").unwrap();
    let store = file.stores.get_mut("attachments").unwrap();
    store.standby = Standby::Cold;
    store.copy = None;
    store.backup = vec![Backup {
        every: Span::from_secs(3600),
        to: repository,
        keep: Keep::default(),
        pitr: None,
        test: Span::MAX,
        validate: None,
    }];
    let mut observed = all_at(&file, "prod");
    observed.stores.get_mut("attachments").unwrap().at.clear();
    dead(&mut observed, "prod");
    let planned = failover(&file, &observed, "dr");
    assert_eq!(planned.forecast.loss, Span::MAX);
    insta::assert_snapshot!(tree(&planned), @r"
    failover of orders, leaving prod: 22 steps
    ├─ gate
    │  ├─ 0 site dr  ~100ms
    │  ├─ 1 site witness  ~100ms
    │  ├─ 2 ledger at dr  ~100ms
    │  └─ 3 all of it  < 0 1 2
    ├─ provision
    │  ├─ 4 attachments at dr  ~5s  < 3
    │  ├─ 5 web at dr  ~2s  < 3
    │  └─ 6 all of it  < 4 5
    ├─ hold
    │  └─ 7 jobs at dr  ~200ms  < 6
    ├─ fence
    │  ├─ 8 attachments at prod  ~3s  < 3
    │  └─ 9 ledger at prod  ~3s  < 3
    ├─ catch-up
    │  ├─ 10 attachments at dr  ~1m  < 8
    │  └─ 11 all of it  < 9 10
    ├─ promote
    │  ├─ 12 attachments at dr  ~200ms  < 7 11
    │  └─ 13 ledger at dr  ~200ms  < 7 11
    ├─ reconcile
    │  └─ 14 all of it  < 12 13
    ├─ activate
    │  ├─ 15 jobs at dr  ~2s  < 14
    │  └─ 16 web at dr  ~2s  < 5 14
    ├─ verify
    │  ├─ 17 jobs at dr  ~200ms  < 15
    │  └─ 18 web at dr  ~200ms  < 16
    ├─ commit
    │  └─ 19 commit: no way back from here  < 17 18
    ├─ shift
    │  └─ 20 app at dr  ~200ms  < 19
    └─ release
       └─ 21 jobs at dr  ~200ms  < 20
    time  ~1m6s of 15m (met)
    loss  unbounded of 5m (MISSED)
    note  the agent of prod does not answer
    ");
}

#[test]
fn a_groups_check_may_only_report_after_a_forced_move_that_says_so() {
    let check = |on_skew: OnSkew, forced: bool| {
        let mut file = orders();
        let group = file.groups.values_mut().next().unwrap();
        (group.on_skew, group.check) = (on_skew, Some(id("web")));
        let mut observed = all_at(&file, "prod");
        let planned = if forced {
            dead(&mut observed, "prod");
            failover(&file, &observed, "dr")
        } else {
            planned(&file, &observed, &Request::switchover(site("dr")))
        };
        let runbook = planned.runbook;
        let mut steps = runbook.steps.iter();
        let step = steps.find(|step| matches!(step.subject, Subject::Group(_)));
        let step = step.expect("the group's check is a step").clone();
        let Body::Act(action) = &step.body else {
            panic!("{:?}", step.body);
        };
        let Op::Reconcile { skew } = action.op else {
            panic!("{:?}", action.op);
        };
        // It may write: it carries the epoch of the promote that it waits for, and it is not taken back by itself.
        let fence = step.fence.as_ref().unwrap();
        let promoted = runbook.epochs[&fence.store].to;
        assert_eq!((fence.epoch, &step.undo), (promoted, &Undo::Nothing));
        assert_eq!(step.goals[0].is, Predicate::Reconciled(promoted));
        assert_eq!(action.subject, Subject::Component(id("web")));
        skew
    };
    assert_eq!(check(OnSkew::Report, false), Skew::Refused);
    assert_eq!(check(OnSkew::Report, true), Skew::Reported);
    for on_skew in [OnSkew::Ask, OnSkew::Rollback] {
        assert_eq!(check(on_skew, true), Skew::Refused);
    }
}

#[test]
fn reprotect_after_a_failover() {
    let mut file = orders();
    file.workloads.get_mut("web").unwrap().standby = Standby::Hot;
    let mut observed = all_at(&file, "dr");
    for store in observed.stores.values_mut() {
        store.protection = Protection::NotProtected;
    }
    observed.sites.get_mut("prod").unwrap().standing = SiteStanding::Quarantined;
    let planned = planned(&file, &observed, &Request::reprotect(site("prod")));
    insta::assert_snapshot!(tree(&planned), @r"
    reprotect of orders: 17 steps
    ├─ gate
    │  ├─ 0 site dr  ~100ms
    │  ├─ 1 site prod  ~100ms
    │  ├─ 2 attachments at dr  ~100ms
    │  ├─ 3 ledger at dr  ~100ms
    │  └─ 4 all of it  < 0 1 2 3
    ├─ hold
    │  └─ 5 jobs at prod  ~200ms  < 4
    ├─ quiesce
    │  ├─ 6 web at prod  ~200ms  < 4
    │  ├─ 7 jobs at prod  ~200ms  < 5
    │  └─ 8 all of it  < 6 7
    ├─ salvage
    │  ├─ 9 attachments at prod  ~5s  < 8
    │  └─ 10 ledger at prod  ~5s  < 8
    ├─ rebuild
    │  ├─ 11 attachments at prod  ~5s  < 9
    │  └─ 12 ledger at prod  ~5s  < 10
    ├─ protect
    │  ├─ 13 attachments at prod  ~200ms  < 11
    │  ├─ 14 ledger at prod  ~200ms  < 12
    │  └─ 15 all of it  < 13 14
    └─ activate
       └─ 16 web at prod (advisory)  ~2s  < 15
    time  ~10s700ms of 15m (met)
    loss  0s of 5m (met)
    ");
}

#[test]
fn both_ends_of_an_offline_copy_are_stopped() {
    let mut file = orders();
    let store = file.stores.get_mut("attachments").unwrap();
    store.copy.as_mut().unwrap().offline = Some(CopyOffline::Both);
    let mut observed = all_at(&file, "prod");
    let running = WorkloadFacts {
        running: Some(2),
        ..WorkloadFacts::default()
    };
    observed
        .workloads
        .insert(id("web"), [(site("dr"), running)].into());
    let planned = planned(&file, &observed, &Request::switchover(site("dr")));
    let stopped = planned.runbook.steps.iter().filter(|step| {
        let acts = matches!(step.body, Body::Act(_));
        step.phase == Phase::Quiesce && acts && step.subject.component() == Some(&id("web"))
    });
    let sites: Vec<&str> = stopped.map(|step| step.site.as_str()).collect();
    assert_eq!(sites, ["prod", "dr"]);
}

#[test]
fn a_plan_halfway_has_only_what_is_left() {
    let file = orders();
    let mut observed = all_at(&file, "prod");
    for (name, now) in &mut observed.stores {
        *now = store_now("dr", 4);
        observed.placement.insert(name.clone(), at("dr"));
    }
    let planned = planned(&file, &observed, &Request::switchover(site("dr")));
    assert!(planned.runbook.epochs.is_empty());
    insta::assert_snapshot!(tree(&planned), @r"
    switchover of orders, leaving prod: 18 steps
    ├─ gate
    │  ├─ 0 site dr  ~100ms
    │  ├─ 1 site prod  ~100ms
    │  ├─ 2 site witness  ~100ms
    │  └─ 3 all of it  < 0 1 2
    ├─ hold
    │  ├─ 4 jobs at dr  ~200ms  < 3
    │  ├─ 5 jobs at prod  ~200ms  < 3
    │  └─ 6 all of it  < 4 5
    ├─ activate
    │  ├─ 7 jobs at dr  ~2s  < 6
    │  └─ 8 web at dr  ~2s  < 6
    ├─ verify
    │  ├─ 9 jobs at dr  ~200ms  < 7
    │  └─ 10 web at dr  ~200ms  < 8
    ├─ commit
    │  └─ 11 commit: no way back from here  < 9 10
    ├─ shift
    │  └─ 12 app at dr  ~200ms  < 11
    ├─ release
    │  └─ 13 jobs at dr  ~200ms  < 12
    ├─ quiesce
    │  ├─ 14 jobs at prod  ~200ms  < 12
    │  └─ 15 web at prod  ~200ms  < 12
    └─ sweep
       ├─ 16 jobs at prod (advisory)  ~200ms  < 14
       └─ 17 web at prod (advisory)  ~200ms  < 15
    time  ~2s900ms of 15m (met)
    loss  0s of 5m (met)
    ");
}

#[test]
fn a_teams_own_steps_stand_where_they_are_anchored() {
    let mut file = orders();
    let step = |before, after| TeamStep {
        kind: kind("app"),
        before,
        after,
        at: None,
        options: serde_json::json!({}),
        required: true,
        timeout: None,
    };
    file.steps
        .insert("tell".into(), step(Some(Phase::Quiesce), None));
    file.steps
        .insert("warm-cache".into(), step(None, Some(Phase::Activate)));
    file.steps
        .insert("report".into(), step(None, Some(Phase::Shift)));
    let planned = planned(
        &file,
        &all_at(&file, "prod"),
        &Request::switchover(site("dr")),
    );
    let text = lines(&planned.runbook);
    let waits_for = |title: &str| {
        let line = text.lines().find(|line| line.contains(title)).expect(title);
        line.split(" < ").nth(1).unwrap_or_default().to_owned()
    };
    let step = |title: &str| {
        let mut lines = text.lines();
        let line = lines.find(|line| line.contains(title)).expect(title);
        line.split(' ').next().unwrap_or_default().to_owned()
    };
    let told = step("tell at witness");
    for stop in ["quiesce web at prod", "quiesce jobs at prod"] {
        assert!(
            waits_for(stop).split(' ').any(|before| before == told),
            "{text}"
        );
    }
    let up = [step("activate jobs at dr"), step("activate web at dr")];
    assert_eq!(waits_for("warm-cache at witness"), up.join(" "), "{text}");
    let warm = step("warm-cache at witness");
    assert!(
        waits_for("verify web at dr")
            .split(' ')
            .any(|before| before == warm),
        "{text}"
    );
    assert_eq!(
        waits_for("report at witness"),
        step("shift app at dr"),
        "{text}"
    );
}
