//! Checks: whether everything that snapshots refer to is there, and is what it should be.

mod affected;
mod packs;
mod run;
mod trees;

pub use run::{Affected, Checked, Depth, Finding, Severity, check};
pub(crate) use trees::read as read_tree;
