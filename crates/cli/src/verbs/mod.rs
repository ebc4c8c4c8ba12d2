//! The verbs, one file each.

pub(crate) mod agent;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod demo_part;
pub(crate) mod explain;

mod dispatch;

pub(crate) use dispatch::run;
