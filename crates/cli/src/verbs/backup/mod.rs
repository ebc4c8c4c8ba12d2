//! `mainstay backup`: a file for each thing that is done about backups.

mod keys;
mod list;
mod prune;
mod restore;
mod run;
mod shared;
mod show;
mod validate;
mod verb;
mod verify;

pub(crate) use verb::{BackupArgs, run as carry_out};
