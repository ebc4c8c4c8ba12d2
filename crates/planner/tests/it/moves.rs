//! Which steps a move has and what each waits for, for every way of moving.

use super::common::*;
use mainstay_planner::*;

#[test]
fn a_switchover_has_every_phase_in_its_order() {
    let file = orders();
    let planned = planned(&file, &all_at(&file, "prod"), &Request::switchover(site("dr")));
    insta::assert_snapshot!(lines(&planned.runbook), @"");
}

#[test]
fn a_failover_fences_what_it_cannot_seal() {
    let file = orders();
    let mut observed = all_at(&file, "prod");
    dead(&mut observed, "prod");
    let planned = failover(&file, &observed, "dr");
    insta::assert_snapshot!(lines(&planned.runbook), @"");
}
