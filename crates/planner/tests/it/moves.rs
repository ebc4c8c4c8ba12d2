//! Which steps a move has and what each waits for, for every way of moving.

use super::common::*;
use mainstay_planner::*;

#[test]
fn a_switchover_has_every_phase_in_its_order() {
    let file = orders();
    let planned = planned(
        &file,
        &all_at(&file, "prod"),
        &Request::switchover(site("dr")),
    );
    assert_eq!(
        planned.runbook.steps.len(),
        29,
        "{}",
        lines(&planned.runbook)
    );
}

#[test]
fn a_failover_fences_what_it_cannot_seal() {
    let file = orders();
    let mut observed = all_at(&file, "prod");
    dead(&mut observed, "prod");
    let planned = failover(&file, &observed, "dr");
    assert_eq!(
        planned.runbook.steps.len(),
        19,
        "{}",
        lines(&planned.runbook)
    );
}

#[test]
fn a_failover_without_an_acceptance_is_refused_with_the_bound() {
    let file = orders();
    let mut observed = all_at(&file, "prod");
    dead(&mut observed, "prod");
    let request = Request::failover(site("dr"), None);
    let refusals = plan(&file, &kinds(), &observed, &request).unwrap_err();
    assert!(refusals.has(Code::LossNotAccepted));
    assert_eq!(refusals.list[0].flag.as_deref(), Some("--accept-loss 2s"));
}
