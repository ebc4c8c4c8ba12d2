//! Every planted bug is caught: the proof refuses the plan, or, where the bug is in a figure, the figure is seen to be
//! wrong. The simulator catches the same ones by carrying the plans out.

use std::collections::BTreeSet;

use mainstay_model::*;
use mainstay_planner::*;

use super::common::*;

/// A switchover, a failover and a reprotect with that bug. Those that are planned at all.
fn plans(names: &[&str]) -> Vec<Result<Planned, Refusals>> {
    let mut file = orders();
    file.workloads.get_mut("web").unwrap().standby = Standby::Hot;
    let both = Weights::from([(site("prod"), 50), (site("dr"), 50)]);
    let mut at_prod = all_at(&file, "prod");
    at_prod.placement.insert(id("web"), both.clone());
    at_prod.routes.get_mut("app").unwrap().weights = both;
    at_prod.bugs = Bugs::of(names.iter().copied());
    let mut lost = at_prod.clone();
    dead(&mut lost, "prod");
    let mut at_dr = all_at(&file, "dr");
    at_dr.bugs = at_prod.bugs.clone();
    at_dr.sites.get_mut("prod").unwrap().standing = SiteStanding::Quarantined;
    let mut warm = all_at(&file, "prod");
    warm.bugs = at_prod.bugs.clone();
    let refused = plan(&file, &kinds(), &lost, &Request::failover(site("dr"), None));
    let bound = refused.unwrap_err().loss.unwrap();
    let accepted = accept(&bound, bound.worst, PersonId::new("ada").unwrap(), NOW);
    let switchover = Request::switchover(site("dr"));
    vec![
        plan(&file, &kinds(), &at_prod, &switchover),
        plan(&file, &kinds(), &warm, &switchover),
        plan(
            &file,
            &kinds(),
            &lost,
            &Request::failover(site("dr"), Some(accepted)),
        ),
        plan(&file, &kinds(), &at_dr, &Request::reprotect(site("prod"))),
    ]
}

#[test]
fn without_bugs_all_of_them_are_planned() {
    for planned in plans(&[]) {
        planned.unwrap_or_else(|refusals| panic!("{refusals}"));
    }
}

/// Bugs in what is accepted or reported are seen in figures, by the tests below.
const IN_FIGURES: [&str; 2] = ["I9", "I13"];

#[test]
fn the_proof_catches_every_bug_in_a_runbook() {
    for (invariant, name) in ALL_BUGS {
        if IN_FIGURES.contains(invariant) {
            continue;
        }
        let caught = plans(&[name]).into_iter().filter_map(Result::err);
        let caught: Vec<Refusals> = caught.collect();
        assert!(
            caught.iter().any(|refusals| refusals.has(Code::UnsafePlan)),
            "{name}"
        );
        // Without the proof the plan comes out, so that carrying it out can catch it too.
        for planned in plans(&[name, "skip-proof"]) {
            planned.unwrap_or_else(|refusals| panic!("{name}: {refusals}"));
        }
    }
}

#[test]
fn bugs_in_figures_are_seen() {
    let file = orders();
    let mut observed = all_at(&file, "prod");
    dead(&mut observed, "prod");
    observed.now = NOW + Span::from_secs(60);
    let bound = |observed: &Observed| {
        let request = Request::failover(site("dr"), None);
        plan(&file, &kinds(), observed, &request)
            .unwrap_err()
            .loss
            .unwrap()
    };
    let truth = bound(&observed);
    let mut buggy = observed.clone();
    buggy.bugs = Bugs::of(["loss-until-sample"]);
    assert!(bound(&buggy).worst < truth.worst);
    let mut unknown = observed.clone();
    unknown
        .stores
        .get_mut("ledger")
        .unwrap()
        .at
        .remove(&site("dr"));
    unknown.bugs = Bugs::of(["loss-unknown-is-zero"]);
    assert_eq!(bound(&unknown).stores[&id("ledger")].time, Span::ZERO);

    let by = PersonId::new("ada").unwrap();
    let mut expired = accept(&truth, truth.worst, by, NOW);
    let planned = |observed: &Observed, acceptance: &Acceptance| {
        let request = Request::failover(site("dr"), Some(acceptance.clone()));
        plan(&file, &kinds(), observed, &request).is_ok()
    };
    assert!(!planned(&observed, &expired));
    let mut buggy = observed.clone();
    buggy.bugs = Bugs::of(["accept-expired", "skip-proof"]);
    assert!(planned(&buggy, &expired));
    expired.until = NOW + Span::from_secs(600);
    let point = expired.points.get_mut("ledger").unwrap().as_mut().unwrap();
    point.position = Position::Counter(99);
    assert!(!planned(&observed, &expired));
    buggy.bugs = Bugs::of(["accept-worse-point", "skip-proof"]);
    assert!(planned(&buggy, &expired));
}

#[test]
fn every_invariant_of_the_planner_has_two() {
    let invariants: BTreeSet<&str> = ALL_BUGS.iter().map(|(invariant, _)| *invariant).collect();
    for invariant in invariants {
        let planted = ALL_BUGS.iter().filter(|(of, _)| *of == invariant);
        assert!(planted.count() >= 2, "{invariant}");
    }
}
