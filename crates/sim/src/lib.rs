//! A seeded world in which the real planner, run machine, journal, detector, lease and agent's rules run, and every
//! invariant is checked against the truth. Must not know a concrete driver, nor any clock but its own.

mod bugs;
mod check;
mod clock;
mod dice;
mod faults;
mod many;
mod mover;
#[cfg(feature = "planted-bugs")]
pub mod mutants;
mod options;
mod play;
mod script;
mod topology;
mod trace;
mod watcher;
mod world;

pub use check::Violation;
pub use many::{EVERY_ENTRY, Summary, replay, replay_every_entry, simulate};
pub use play::Outcome;
