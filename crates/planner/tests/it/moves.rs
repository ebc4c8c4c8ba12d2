//! Which steps a move has and what each waits for, for every way of moving.

use mainstay_model::*;
use mainstay_planner::{render::tree, *};

use super::common::*;

#[test]
fn switchover() {
    let file = orders();
    let planned = planned(
        &file,
        &all_at(&file, "prod"),
        &Request::switchover(site("dr")),
    );
    insta::assert_snapshot!(tree(&planned), @r"
    switchover of orders, leaving prod: 29 steps
    ├─ gate
    │  ├─ 0 site dr  ~100ms
    │  ├─ 1 site prod  ~100ms
    │  ├─ 2 site witness  ~100ms
    │  ├─ 3 attachments at prod  ~100ms
    │  ├─ 4 ledger at prod  ~100ms
    │  └─ 5 all of it  < 0 1 2 3 4
    ├─ hold
    │  ├─ 6 jobs at dr  ~200ms  < 5
    │  ├─ 7 jobs at prod  ~200ms  < 5
    │  └─ 8 all of it  < 6 7
    ├─ quiesce
    │  ├─ 9 web at prod  ~200ms  < 8
    │  ├─ 10 jobs at prod  ~200ms  < 8
    │  └─ 11 all of it  < 9 10
    ├─ seal
    │  ├─ 12 attachments at prod  ~200ms  < 11
    │  └─ 13 ledger at prod  ~200ms  < 11
    ├─ catch-up
    │  ├─ 14 attachments at dr  ~5s  < 12
    │  ├─ 15 ledger at dr  ~5s  < 13
    │  └─ 16 all of it  < 14 15
    ├─ promote
    │  ├─ 17 attachments at dr  ~200ms  < 16
    │  └─ 18 ledger at dr  ~200ms  < 16
    ├─ reconcile
    │  └─ 19 all of it  < 17 18
    ├─ activate
    │  ├─ 20 jobs at dr  ~2s  < 19
    │  └─ 21 web at dr  ~2s  < 19
    ├─ verify
    │  ├─ 22 jobs at dr  ~200ms  < 20
    │  └─ 23 web at dr  ~200ms  < 21
    ├─ commit
    │  └─ 24 commit: no way back from here  < 22 23
    ├─ shift
    │  └─ 25 app at dr  ~200ms  < 24
    ├─ release
    │  └─ 26 jobs at dr  ~200ms  < 25
    └─ sweep
       ├─ 27 jobs at prod (advisory)  ~200ms  < 25
       └─ 28 web at prod (advisory)  ~200ms  < 25
    time  ~8s500ms of 15m (met)
    loss  0s of 5m (met)
    ");
}

#[test]
fn failover_fences_what_it_cannot_seal() {
    let file = orders();
    let mut observed = all_at(&file, "prod");
    dead(&mut observed, "prod");
    insta::assert_snapshot!(tree(&failover(&file, &observed, "dr")), @r"
    failover of orders, leaving prod: 19 steps
    ├─ gate
    │  ├─ 0 site dr  ~100ms
    │  ├─ 1 site witness  ~100ms
    │  ├─ 2 attachments at dr  ~100ms
    │  ├─ 3 ledger at dr  ~100ms
    │  └─ 4 all of it  < 0 1 2 3
    ├─ hold
    │  └─ 5 jobs at dr  ~200ms  < 4
    ├─ fence
    │  ├─ 6 attachments at prod  ~3s  < 4
    │  └─ 7 ledger at prod  ~3s  < 4
    ├─ catch-up
    │  └─ 8 all of it  < 6 7
    ├─ promote
    │  ├─ 9 attachments at dr  ~200ms  < 5 8
    │  └─ 10 ledger at dr  ~200ms  < 5 8
    ├─ reconcile
    │  └─ 11 all of it  < 9 10
    ├─ activate
    │  ├─ 12 jobs at dr  ~2s  < 11
    │  └─ 13 web at dr  ~2s  < 11
    ├─ verify
    │  ├─ 14 jobs at dr  ~200ms  < 12
    │  └─ 15 web at dr  ~200ms  < 13
    ├─ commit
    │  └─ 16 commit: no way back from here  < 14 15
    ├─ shift
    │  └─ 17 app at dr  ~200ms  < 16
    └─ release
       └─ 18 jobs at dr  ~200ms  < 17
    time  ~5s900ms of 15m (met)
    loss  2s of 5m (met)
    note  the agent of prod does not answer
    ");
}

#[test]
fn failover_of_a_site_that_answers_is_fenced_by_its_agent() {
    let file = orders();
    let planned = failover(&file, &all_at(&file, "prod"), "dr");
    insta::assert_snapshot!(tree(&planned), @r"
    failover of orders, leaving prod: 23 steps
    ├─ gate
    │  ├─ 0 site dr  ~100ms
    │  ├─ 1 site witness  ~100ms
    │  ├─ 2 attachments at dr  ~100ms
    │  ├─ 3 ledger at dr  ~100ms
    │  └─ 4 all of it  < 0 1 2 3
    ├─ hold
    │  ├─ 5 jobs at dr  ~200ms  < 4
    │  ├─ 6 jobs at prod (advisory)  ~200ms  < 4
    │  └─ 7 all of it  < 5 6
    ├─ fence
    │  ├─ 8 web at prod (advisory)  ~200ms  < 4
    │  ├─ 9 jobs at prod (advisory)  ~200ms  < 4
    │  ├─ 10 attachments at prod  ~2s  < 4
    │  └─ 11 ledger at prod  ~2s  < 4
    ├─ catch-up
    │  └─ 12 all of it  < 10 11
    ├─ promote
    │  ├─ 13 attachments at dr  ~200ms  < 7 12
    │  └─ 14 ledger at dr  ~200ms  < 7 12
    ├─ reconcile
    │  └─ 15 all of it  < 13 14
    ├─ activate
    │  ├─ 16 jobs at dr  ~2s  < 15
    │  └─ 17 web at dr  ~2s  < 15
    ├─ verify
    │  ├─ 18 jobs at dr  ~200ms  < 16
    │  └─ 19 web at dr  ~200ms  < 17
    ├─ commit
    │  └─ 20 commit: no way back from here  < 8 9 18 19
    ├─ shift
    │  └─ 21 app at dr  ~200ms  < 20
    └─ release
       └─ 22 jobs at dr  ~200ms  < 21
    time  ~4s900ms of 15m (met)
    loss  2s of 5m (met)
    note  prod answers, attachments and ledger can be read there: a switchover loses nothing
    ");
}

#[test]
fn failback() {
    let file = orders();
    let request = Request::new(MoveMode::Switchover, Target::Home);
    let planned = planned(&file, &all_at(&file, "dr"), &request);
    assert_eq!(planned.runbook.epochs[&id("ledger")].to, Epoch(4));
    insta::assert_snapshot!(tree(&planned), @r"
    switchover of orders, leaving dr: 29 steps
    ├─ gate
    │  ├─ 0 site dr  ~100ms
    │  ├─ 1 site prod  ~100ms
    │  ├─ 2 site witness  ~100ms
    │  ├─ 3 attachments at dr  ~100ms
    │  ├─ 4 ledger at dr  ~100ms
    │  └─ 5 all of it  < 0 1 2 3 4
    ├─ hold
    │  ├─ 6 jobs at dr  ~200ms  < 5
    │  ├─ 7 jobs at prod  ~200ms  < 5
    │  └─ 8 all of it  < 6 7
    ├─ quiesce
    │  ├─ 9 web at dr  ~200ms  < 8
    │  ├─ 10 jobs at dr  ~200ms  < 8
    │  └─ 11 all of it  < 9 10
    ├─ seal
    │  ├─ 12 attachments at dr  ~200ms  < 11
    │  └─ 13 ledger at dr  ~200ms  < 11
    ├─ catch-up
    │  ├─ 14 attachments at prod  ~5s  < 12
    │  ├─ 15 ledger at prod  ~5s  < 13
    │  └─ 16 all of it  < 14 15
    ├─ promote
    │  ├─ 17 attachments at prod  ~200ms  < 16
    │  └─ 18 ledger at prod  ~200ms  < 16
    ├─ reconcile
    │  └─ 19 all of it  < 17 18
    ├─ activate
    │  ├─ 20 jobs at prod  ~2s  < 19
    │  └─ 21 web at prod  ~2s  < 19
    ├─ verify
    │  ├─ 22 jobs at prod  ~200ms  < 20
    │  └─ 23 web at prod  ~200ms  < 21
    ├─ commit
    │  └─ 24 commit: no way back from here  < 22 23
    ├─ shift
    │  └─ 25 app at prod  ~200ms  < 24
    ├─ release
    │  └─ 26 jobs at prod  ~200ms  < 25
    └─ sweep
       ├─ 27 jobs at dr (advisory)  ~200ms  < 25
       └─ 28 web at dr (advisory)  ~200ms  < 25
    time  ~8s500ms of 15m (met)
    loss  0s of 5m (met)
    ");
}

#[test]
fn only_a_store_behind_a_route_of_its_own() {
    let mut file = orders();
    add_route(&mut file, "ledger-name", &["ledger"]);
    for name in ["web", "jobs"] {
        for used in &mut file.workloads.get_mut(name).unwrap().uses {
            if used.store == id("ledger") {
                used.via = Some(id("ledger-name"));
            }
        }
    }
    let target = Target::Only {
        component: id("ledger"),
        to: site("dr"),
    };
    let request = Request::new(MoveMode::Switchover, target);
    let planned = planned(&file, &all_at(&file, "prod"), &request);
    insta::assert_snapshot!(tree(&planned), @r"
    switchover of orders: 19 steps
    ├─ gate
    │  ├─ 0 site dr  ~100ms
    │  ├─ 1 site prod  ~100ms
    │  ├─ 2 site witness  ~100ms
    │  ├─ 3 ledger at prod  ~100ms
    │  └─ 4 all of it  < 0 1 2 3
    ├─ hold
    │  └─ 5 jobs at prod  ~200ms  < 4
    ├─ quiesce
    │  ├─ 6 web at prod  ~200ms  < 5
    │  ├─ 7 jobs at prod  ~200ms  < 5
    │  └─ 8 all of it  < 6 7
    ├─ seal
    │  └─ 9 ledger at prod  ~200ms  < 8
    ├─ catch-up
    │  └─ 10 ledger at dr  ~5s  < 9
    ├─ promote
    │  └─ 11 ledger at dr  ~200ms  < 10
    ├─ shift
    │  └─ 12 ledger-name at dr  ~200ms  < 11
    ├─ rebind
    │  ├─ 13 jobs at prod  ~2s  < 11 12
    │  └─ 14 web at prod  ~2s  < 11 12
    ├─ verify
    │  ├─ 15 jobs at prod  ~200ms  < 13
    │  └─ 16 web at prod  ~200ms  < 14
    ├─ commit
    │  └─ 17 commit: no way back from here  < 15 16
    └─ release
       └─ 18 jobs at prod  ~200ms  < 17
    time  ~8s500ms of 15m (met)
    loss  0s of 5m (met)
    ");
}

#[test]
fn only_a_workload_without_stores_moves_without_an_outage() {
    let mut file = orders();
    add_workload(&mut file, "static", &[], &[]);
    add_route(&mut file, "pages", &["static"]);
    let target = Target::Only {
        component: id("static"),
        to: site("dr"),
    };
    let request = Request::new(MoveMode::Switchover, target);
    let planned = planned(&file, &all_at(&file, "prod"), &request);
    insta::assert_snapshot!(tree(&planned), @r"
    switchover of orders: 10 steps
    ├─ gate
    │  ├─ 0 site dr  ~100ms
    │  ├─ 1 site prod  ~100ms
    │  ├─ 2 site witness  ~100ms
    │  └─ 3 all of it  < 0 1 2
    ├─ activate
    │  └─ 4 static at dr  ~2s  < 3
    ├─ verify
    │  └─ 5 static at dr  ~200ms  < 4
    ├─ commit
    │  └─ 6 commit: no way back from here  < 5
    ├─ shift
    │  └─ 7 pages at dr  ~200ms  < 6
    ├─ quiesce
    │  └─ 8 static at prod  ~200ms  < 7
    └─ sweep
       └─ 9 static at prod (advisory)  ~200ms  < 8
    time  ~2s700ms of 15m (met)
    loss  0s of 5m (met)
    ");
}

fn both() -> Weights {
    Weights::from([(site("prod"), 50), (site("dr"), 50)])
}

/// `web` serves at both sites.
fn active_active() -> (PlanFile, Observed) {
    let mut file = orders();
    file.workloads.get_mut("web").unwrap().standby = Standby::Hot;
    file.placement.insert(id("web"), both());
    let mut observed = all_at(&file, "prod");
    observed.placement.insert(id("web"), both());
    observed.routes.get_mut("app").unwrap().weights = both();
    (file, observed)
}

#[test]
fn an_active_active_system_shifts_first() {
    let (file, mut observed) = active_active();
    dead(&mut observed, "prod");
    insta::assert_snapshot!(tree(&failover(&file, &observed, "dr")), @r"
    failover of orders, leaving prod: 19 steps
    ├─ gate
    │  ├─ 0 site dr  ~100ms
    │  ├─ 1 site witness  ~100ms
    │  ├─ 2 attachments at dr  ~100ms
    │  ├─ 3 ledger at dr  ~100ms
    │  └─ 4 all of it  < 0 1 2 3
    ├─ hold
    │  └─ 5 jobs at dr  ~200ms  < 4
    ├─ drain
    │  └─ 6 app at dr  ~200ms  < 4
    ├─ fence
    │  ├─ 7 attachments at prod  ~3s  < 4
    │  └─ 8 ledger at prod  ~3s  < 4
    ├─ catch-up
    │  └─ 9 all of it  < 7 8
    ├─ promote
    │  ├─ 10 attachments at dr  ~200ms  < 5 9
    │  └─ 11 ledger at dr  ~200ms  < 5 9
    ├─ reconcile
    │  └─ 12 all of it  < 10 11
    ├─ activate
    │  └─ 13 jobs at dr  ~2s  < 12
    ├─ rebind
    │  └─ 14 web at dr  ~2s  < 12
    ├─ verify
    │  ├─ 15 jobs at dr  ~200ms  < 13
    │  └─ 16 web at dr  ~200ms  < 14
    ├─ commit
    │  └─ 17 commit: no way back from here  < 6 15 16
    └─ release
       └─ 18 jobs at dr  ~200ms  < 17
    time  ~5s700ms of 15m (met)
    loss  2s of 5m (met)
    note  the agent of prod does not answer
    ");
}

#[test]
fn an_active_active_system_is_drained_of_the_site_it_leaves() {
    let (file, observed) = active_active();
    let planned = planned(&file, &observed, &Request::switchover(site("dr")));
    insta::assert_snapshot!(tree(&planned), @r"
    switchover of orders, leaving prod: 31 steps
    ├─ gate
    │  ├─ 0 site dr  ~100ms
    │  ├─ 1 site prod  ~100ms
    │  ├─ 2 site witness  ~100ms
    │  ├─ 3 attachments at prod  ~100ms
    │  ├─ 4 ledger at prod  ~100ms
    │  └─ 5 all of it  < 0 1 2 3 4
    ├─ hold
    │  ├─ 6 jobs at dr  ~200ms  < 5
    │  ├─ 7 jobs at prod  ~200ms  < 5
    │  └─ 8 all of it  < 6 7
    ├─ drain
    │  └─ 9 app at dr  ~200ms  < 8
    ├─ quiesce
    │  ├─ 10 web at prod  ~200ms  < 9
    │  ├─ 11 web at dr  ~200ms  < 9
    │  ├─ 12 all of it  < 10 11
    │  ├─ 13 jobs at prod  ~200ms  < 8
    │  └─ 14 all of it  < 12 13
    ├─ seal
    │  ├─ 15 attachments at prod  ~200ms  < 14
    │  └─ 16 ledger at prod  ~200ms  < 14
    ├─ catch-up
    │  ├─ 17 attachments at dr  ~5s  < 15
    │  ├─ 18 ledger at dr  ~5s  < 16
    │  └─ 19 all of it  < 17 18
    ├─ promote
    │  ├─ 20 attachments at dr  ~200ms  < 19
    │  └─ 21 ledger at dr  ~200ms  < 19
    ├─ reconcile
    │  └─ 22 all of it  < 20 21
    ├─ activate
    │  └─ 23 jobs at dr  ~2s  < 22
    ├─ rebind
    │  └─ 24 web at dr  ~2s  < 22
    ├─ verify
    │  ├─ 25 jobs at dr  ~200ms  < 23
    │  └─ 26 web at dr  ~200ms  < 24
    ├─ commit
    │  └─ 27 commit: no way back from here  < 25 26
    ├─ release
    │  └─ 28 jobs at dr  ~200ms  < 27
    └─ sweep
       ├─ 29 jobs at prod (advisory)  ~200ms  < 27
       └─ 30 web at prod (advisory)  ~200ms  < 27
    time  ~8s500ms of 15m (met)
    loss  0s of 5m (met)
    ");
}
