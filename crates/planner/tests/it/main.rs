//! The planner's tests, in one binary.

mod common;
mod moves;
mod oracle;
