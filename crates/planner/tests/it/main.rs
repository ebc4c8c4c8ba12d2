//! The planner's tests, in one binary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "these are tests, though not all of it stands in a test function"
)]

#[cfg(feature = "planted-bugs")]
mod bugs;
mod common;
mod figures;
mod moves;
mod oracle;
mod refusals;
mod restore;
mod special;
