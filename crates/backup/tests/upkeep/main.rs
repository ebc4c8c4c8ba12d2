//! Looking after a repository: scrubbing, mending, copying it to another container.

#![expect(clippy::unwrap_used, reason = "a test harness that fails loudly")]

mod fixture;
mod scrub;
#[path = "../common/tree.rs"]
mod tree;
