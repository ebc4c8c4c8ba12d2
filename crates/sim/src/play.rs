//! Plays one seed, and one seed with a death at every entry of its journals.
//! Must not know how many seeds there are.

use std::collections::BTreeSet;

use mainstay_engine::RunPhase;

use crate::{
    check::Violation,
    options::{Dies, Mix, Options},
    world::World,
};

/// What came of a seed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The first broken invariant.
    pub violation: Option<Violation>,
    /// Faults that were injected.
    pub faults: u64,
    /// Simulated time, in microseconds.
    pub time: u64,
    /// Combinations of run phase, step phase, step state and fault that were visited.
    pub states: BTreeSet<u32>,
    /// A hash over everything that happened.
    pub hash: u64,
    /// Journal entries that were written.
    pub entries: u64,
    /// How often the mover died.
    pub deaths: u64,
    /// How the runs ended.
    pub ends: Vec<RunPhase>,
    /// Moves that began: planned, forced, reprotect.
    pub moves: [u32; 3],
    /// What the planner's proof said about its first refused plan.
    pub unsafe_plan: Option<String>,
    /// What happened, if the trace was asked for.
    pub lines: Vec<String>,
    pub(crate) fingerprint: String,
}

/// Plays a seed.
pub(crate) fn play(options: Options) -> Outcome {
    let seed = options.seed;
    let mut world = World::new(options);
    world.run();
    Outcome {
        seed,
        violation: world.checks.take(),
        faults: world.faults,
        time: world.now,
        hash: world.trace.hash(),
        entries: world.mover.entries,
        deaths: world.mover.deaths,
        ends: world.mover.ends.clone(),
        moves: world.checks.moves,
        unsafe_plan: world.checks.unsafe_words.clone(),
        fingerprint: fingerprint(&world),
        states: world.states,
        lines: world.trace.lines(),
    }
}

/// What is there in the end, without times and writes.
fn fingerprint(world: &World) -> String {
    use std::fmt::Write as _;
    // An advisory step that was cut off counts as an exception: nobody knows what it would have said.
    let ends = world.mover.ends.iter().map(|end| match end {
        RunPhase::SucceededWithExceptions => RunPhase::Succeeded,
        other => *other,
    });
    let mut words = format!("{:?}", ends.collect::<Vec<_>>());
    for store in &world.stores {
        for replica in &store.at {
            let _ = write!(words, " {:?}", replica.access);
        }
    }
    for instance in world.workloads.iter().flatten() {
        let _ = write!(words, " {}/{}", instance.running, instance.held);
    }
    for route in &world.routes {
        let _ = write!(words, " {:?}", route.weights);
    }
    words
}

/// Plays a seed without faults, and then once for each entry of its journals, with a death right after that entry was
/// written: the end must always be the same (I17).
pub(crate) fn play_every_entry(options: &Options) -> Vec<Outcome> {
    let calm = |dies: Dies| Options {
        dies,
        faults: false,
        ..options.clone()
    };
    let whole = play(calm(Dies::Never));
    if whole.entries == 0 && options.mix == Mix::All {
        // Without faults this story has no move; the seed tells another one.
        return play_every_entry(&Options {
            mix: Mix::Planned,
            ..options.clone()
        });
    }
    let (entries, fingerprint) = (whole.entries, whole.fingerprint.clone());
    let mut all = vec![whole];
    for entry in 1..=entries {
        let mut one = play(calm(Dies::AtEntry(entry)));
        if one.violation.is_none() && one.fingerprint != fingerprint {
            one.violation = Some(Violation {
                at: one.time,
                invariant: "I17",
                words: format!(
                    "a death at entry {entry} led to\n  {}\ninstead of\n  {fingerprint}",
                    one.fingerprint
                ),
            });
        }
        all.push(one);
    }
    all
}
