//! Plants every known bug, one at a time, and plays seeds until an invariant breaks.
//! Must not count a bug as caught when the code without it breaks as well.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    bugs::{OWN, Own},
    options::{Mix, Options},
    play::{Outcome, play, play_every_entry},
};

/// Where a bug is planted.
#[derive(Debug, Clone, Copy)]
enum Where {
    Engine,
    Planner,
    Simulator(Own),
}

/// A planted bug, and what became of it.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// The invariant that it breaks.
    pub invariant: &'static str,
    /// Its name.
    pub name: &'static str,
    place: Where,
    /// The invariant that broke, the seed, and what was seen.
    pub caught: Option<(&'static str, u64, String)>,
    /// The seed whose plan the planner's own proof refused.
    pub refused: Option<u64>,
}

/// Every bug that can be planted.
#[must_use]
pub fn all() -> Vec<Mutant> {
    let mutant = |invariant, name, place| Mutant {
        invariant,
        name,
        place,
        caught: None,
        refused: None,
    };
    let engine = mainstay_engine::bugs::ALL.iter();
    let engine = engine.map(|(invariant, name)| mutant(*invariant, *name, Where::Engine));
    let planner = mainstay_planner::ALL_BUGS.iter();
    let planner = planner.map(|(invariant, name)| mutant(*invariant, *name, Where::Planner));
    let own = OWN.iter();
    let own = own.map(|(bug, invariant, name)| mutant(*invariant, *name, Where::Simulator(*bug)));
    engine.chain(planner).chain(own).collect()
}

/// The invariants of the design that the simulator is there for.
const CHECKED: &str =
    "I1 I2 I3 I4 I5 I6 I7 I8 I9 I10 I13 I14 I15 I16 I17 I18 I19 I20 I21 I22 I23 I26 I29";

/// Those for which fewer than two bugs are known.
#[must_use]
pub fn few() -> Vec<&'static str> {
    let all = all();
    let count = |invariant: &str| all.iter().filter(|it| it.invariant == invariant).count();
    let checked = CHECKED.split(' ');
    checked.filter(|it| count(it) < 2).collect()
}

/// The story in which such a bug shows soonest.
fn mix(invariant: &str, name: &str) -> Mix {
    match (invariant, name) {
        ("I5" | "I6" | "I7" | "I8", _) => Mix::Detector,
        ("I9" | "I13" | "I23", _) => Mix::Disaster,
        (_, "route-epoch-not-new") => Mix::Spread,
        (_, "skip-fence" | "fence-too-low") | ("I2" | "I3" | "I4" | "I20", _) => Mix::Disaster,
        ("I10", _) | (_, "seal-without-undo" | "release-before-hold") => Mix::Planned,
        _ => Mix::All,
    }
}

impl Mutant {
    fn options(&self, seed: u64, proof: Proof) -> Options {
        let mut options = Options {
            mix: if seed % 3 == 2 {
                Mix::All
            } else {
                mix(self.invariant, self.name)
            },
            longest: 20_000 * crate::clock::SECOND,
            ..Options::new(seed)
        };
        match self.place {
            Where::Engine => {
                options.engine = mainstay_engine::Bugs::named(self.name).unwrap_or_default();
            }
            Where::Planner => {
                let skip = match proof {
                    Proof::Skipped => Some("skip-proof"),
                    Proof::Held => None,
                };
                let names = [self.name].into_iter().chain(skip);
                options.planner = mainstay_planner::Bugs::of(names);
            }
            Where::Simulator(bug) => options.own = Some(bug),
        }
        options
    }

    /// Plays up to so many seeds.
    fn hunt(&mut self, seeds: u64, first: u64) {
        for seed in first..first + seeds {
            if matches!(self.place, Where::Planner) && self.refused.is_none() && seed < first + 40 {
                let outcome = play(self.options(seed, Proof::Held));
                self.refused = outcome.unsafe_plan.map(|_| seed);
            }
            let options = self.options(seed, Proof::Skipped);
            let mut found = play(options.clone()).violation;
            if found.is_none() && self.invariant == "I17" && seed < first + 6 {
                let all = play_every_entry(&options);
                found = all.into_iter().find_map(|outcome| outcome.violation);
            }
            let healthy = Options {
                engine: mainstay_engine::Bugs::NONE,
                planner: mainstay_planner::Bugs::default(),
                own: None,
                ..options
            };
            if found.is_some() && play(healthy).violation.is_some() {
                continue;
            }
            if let Some(violation) = found {
                self.caught = Some((violation.invariant, seed, violation.words));
                return;
            }
        }
    }

    /// Who noticed it, where, and what was seen.
    #[must_use]
    pub fn verdict(&self) -> String {
        let world = self.caught.as_ref().map(|(by, seed, words)| {
            let words = words.lines().next().unwrap_or_default();
            format!("by the check of {by} at seed {seed}: {words}")
        });
        let proof = (self.refused)
            .map(|seed| format!("by the planner's proof, which refused the plan of seed {seed}"));
        match (proof, world) {
            (Some(proof), Some(world)) => format!("caught {proof}; without the proof {world}"),
            (Some(by), None) | (None, Some(by)) => format!("caught {by}"),
            (None, None) => "NOT CAUGHT".to_owned(),
        }
    }

    /// Whether the simulator or, before anything happened, the planner's proof noticed it.
    #[must_use]
    pub fn is_caught(&self) -> bool {
        self.caught.is_some() || self.refused.is_some()
    }
}

/// Whether the planner proves its plans.
#[derive(Debug, Clone, Copy)]
enum Proof {
    Held,
    Skipped,
}

/// Plays one seed with that bug planted, as the hunt does without the planner's proof, and keeps its trace.
#[must_use]
pub fn replay(name: &str, seed: u64) -> Option<Outcome> {
    let mutant = all().into_iter().find(|mutant| mutant.name == name)?;
    Some(play(Options {
        trace: true,
        ..mutant.options(seed, Proof::Skipped)
    }))
}

/// Hunts every bug, up to so many seeds each.
#[must_use]
pub fn hunt(seeds: u64, jobs: usize, only: Option<&str>) -> Vec<Mutant> {
    let mut all = all();
    all.retain(|mutant| only.is_none_or(|only| only == mutant.name));
    let all: Vec<Mutex<Mutant>> = all.into_iter().map(Mutex::new).collect();
    let next = AtomicUsize::new(0);
    let played = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(mutant) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut mutant = mutant.lock().unwrap_or_else(PoisonError::into_inner);
                    mutant.hunt(seeds, 0);
                    played.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let all = all.into_iter();
    all.map(|it| it.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect()
}
