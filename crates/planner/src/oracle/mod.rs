//! The oracle: carries out every order of a small runbook in an abstract world, step starts and step ends apart, and
//! every retreat from every point, and watches the invariants. Slow on purpose; the safety proof is held against it.
//! Must not know how the proof argues: it knows no edges beyond "may start now", and has no notion of before.

mod cast;
mod explore;
mod state;
mod world;

pub use explore::{Explored, Found, MAX_STEPS, explore};
