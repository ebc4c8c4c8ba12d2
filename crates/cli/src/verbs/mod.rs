//! The verbs, one file each.

pub(crate) mod adopt;
pub(crate) mod agent;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod demo;
mod demo_clusters;
pub(crate) mod demo_part;
mod demo_play;
pub(crate) mod explain;
pub(crate) mod init;
pub(crate) mod moves;
pub(crate) mod plan;
pub(crate) mod receipts;
pub(crate) mod run;
pub(crate) mod run_show;
pub(crate) mod serve;
mod serve_kept;
pub(crate) mod status;
mod status_backups;

mod dispatch;

pub(crate) use dispatch::run;
