//! Trees of every sort of entry, what can be seen of a tree, and stock restic where it is installed.

pub(crate) mod restic;
pub(crate) mod tree;
