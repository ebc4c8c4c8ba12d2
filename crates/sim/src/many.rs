//! Many seeds on a few threads; the sums do not depend on who played what.
//! Must not know what a seed does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use crate::{
    check::Violation,
    options::Options,
    play::{Outcome, play, play_every_entry},
};

/// Of every ordinary batch, so many seeds die at every entry of their journals as well.
pub const EVERY_ENTRY: u64 = 50;

/// The sums of many seeds.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// How many seeds were played.
    pub seeds: u64,
    /// Faults that were injected.
    pub faults: u64,
    /// Simulated time, in microseconds.
    pub time: u64,
    /// The violations, by seed.
    pub violations: BTreeMap<u64, Violation>,
    /// Distinct combinations of run phase, step phase, step state and fault.
    pub states: BTreeSet<u32>,
    /// Moves that began: planned, forced, reprotect.
    pub moves: [u64; 3],
    /// Seeds in which the mover died.
    pub crashes: u64,
    /// Seeds that were played with a death at every entry, and those deaths.
    pub every_entry: (u64, u64),
    /// How runs ended, and how often.
    pub ends: BTreeMap<String, u64>,
    /// Plans that the planner's own proof refused, by seed.
    pub unsafe_plans: BTreeMap<u64, String>,
}

impl Summary {
    fn add(&mut self, outcome: Outcome) {
        self.faults += outcome.faults;
        self.time += outcome.time;
        self.states.extend(outcome.states);
        for (sum, count) in self.moves.iter_mut().zip(outcome.moves) {
            *sum += u64::from(count);
        }
        for end in outcome.ends {
            *self.ends.entry(format!("{end:?}")).or_default() += 1;
        }
        if let Some(violation) = outcome.violation {
            self.violations.entry(outcome.seed).or_insert(violation);
        }
        if let Some(words) = outcome.unsafe_plan {
            self.unsafe_plans.insert(outcome.seed, words);
        }
    }

    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.faults += other.faults;
        self.time += other.time;
        self.states.extend(other.states);
        self.crashes += other.crashes;
        self.every_entry.0 += other.every_entry.0;
        self.every_entry.1 += other.every_entry.1;
        self.violations.extend(other.violations);
        self.unsafe_plans.extend(other.unsafe_plans);
        for (sum, count) in self.moves.iter_mut().zip(other.moves) {
            *sum += count;
        }
        for (end, count) in other.ends {
            *self.ends.entry(end).or_default() += count;
        }
    }
}

/// Plays these many seeds, from `first` on; the first `every_entry` of them die at every entry of their journals too.
#[must_use]
pub fn simulate(first: u64, seeds: u64, every_entry: u64, jobs: usize) -> Summary {
    let next = AtomicU64::new(0);
    let all = Mutex::new(Summary::default());
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                let mut mine = Summary::default();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= seeds {
                        break;
                    }
                    let options = Options::new(first + number);
                    if number < every_entry {
                        let all = play_every_entry(&options);
                        let deaths: u64 = all.iter().map(|outcome| outcome.deaths).sum();
                        mine.every_entry.0 += u64::from(deaths > 0);
                        mine.every_entry.1 += deaths;
                        for outcome in all {
                            mine.add(outcome);
                        }
                    }
                    let outcome = play(options);
                    mine.crashes += u64::from(outcome.deaths > 0);
                    mine.add(outcome);
                    mine.seeds += 1;
                }
                all.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .merge(mine);
            });
        }
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Plays one seed and keeps its trace.
#[must_use]
pub fn replay(seed: u64) -> Outcome {
    play(Options {
        trace: true,
        ..Options::new(seed)
    })
}

/// Plays one seed with a death at every entry of its journals; the first that breaks something, with its trace.
#[must_use]
pub fn replay_every_entry(seed: u64) -> Option<Outcome> {
    let options = Options {
        trace: true,
        ..Options::new(seed)
    };
    let mut all = play_every_entry(&options).into_iter();
    all.find(|outcome| outcome.violation.is_some())
}
