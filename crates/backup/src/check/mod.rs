//! Checks: whether everything that snapshots refer to is there, and is what it should be.

mod affected;
mod files;
mod packs;
mod run;
mod trees;

pub(crate) use affected::affected;
pub(crate) use files::{is_gone, whole};
pub(crate) use packs::{Fault, Hands, compare, own_list, place, prove, read_each};
pub use run::{Affected, Checked, Depth, Finding, Severity, check};
pub(crate) use run::{Found, Packs, indexes, snapshots};
pub(crate) use trees::{read as read_tree, walk};
