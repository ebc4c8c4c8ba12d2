//! JSON schemas against nodes: every problem of a value, each at its place.
//! Must not know the plan file; schemas are data here.

mod alternatives;
mod check;
mod format;
mod object;

pub(crate) use check::Checker;
