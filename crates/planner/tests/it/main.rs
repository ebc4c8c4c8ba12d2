//! The planner's tests, in one binary.

#[cfg(feature = "planted-bugs")]
mod bugs;
mod common;
mod figures;
mod moves;
mod oracle;
mod refusals;
