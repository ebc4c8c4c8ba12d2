//! Builds the graph of a move, phase by phase, and of a reprotect.

mod context;
mod finish;
mod gate;
mod reprotect;
mod routes;
mod stores;
mod team;
mod workloads;

pub(crate) use context::{Build, control_site};
