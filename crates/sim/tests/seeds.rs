//! What the suite asks of the simulator: no violation, the same trace twice, and bugs that show.
#![allow(clippy::unwrap_used, reason = "tests")]

use mainstay_sim::{replay, simulate};

/// Enough for a build without optimisation; `cargo xtask sim` plays 2,000 and more.
const SEEDS: u64 = 150;

#[test]
fn no_seed_breaks_an_invariant() {
    let summary = simulate(0, SEEDS, 2, 2);
    assert_eq!(summary.seeds, SEEDS);
    assert!(summary.violations.is_empty(), "{:#?}", summary.violations);
    assert_eq!(summary.crashes, SEEDS);
    assert_eq!(summary.every_entry.0, 2);
    assert!(summary.every_entry.1 > 40, "{:?}", summary.every_entry);
    assert!(
        summary.unsafe_plans.is_empty(),
        "{:#?}",
        summary.unsafe_plans
    );
    assert!(
        summary.moves.iter().all(|count| *count > 10),
        "{:?}",
        summary.moves
    );
}

#[test]
fn a_seed_replays_identically() {
    for seed in 0..12 {
        let (first, second) = (replay(seed), replay(seed));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.lines, second.lines, "seed {seed}");
        assert_ne!(first.hash, replay(seed + 1).hash, "seed {seed}");
    }
}

/// A cold scheduler without stores was started before the other side's was held.
#[test]
fn the_planner_holds_schedulers_that_use_no_store() {
    for seed in [91, 150] {
        assert_eq!(replay(seed).unsafe_plan, None, "seed {seed}");
    }
}

/// Each family of planted bugs shows within a few seeds; `cargo xtask sim --mutants` hunts them all.
#[cfg(feature = "planted-bugs")]
#[test]
fn planted_bugs_are_caught() {
    for name in [
        "act-before-durable",
        "agent-forgets-effect",
        "epoch-not-new",
    ] {
        let found = mainstay_sim::mutants::hunt(200, 1, Some(name));
        assert_eq!(found.len(), 1);
        assert!(found.iter().all(|it| it.caught.is_some()), "{found:?}");
    }
}
