//! The engine's tests, in one binary.
#![allow(clippy::unwrap_used, reason = "tests")]

mod detect;
mod invariants;
mod journal;
mod lease;
mod moves;
mod page;
mod people;
mod world;
