//! The checks of the house, a module each, and the command that runs them.

mod code_uses;
mod codes;
mod direction;
mod generated;
mod house;
mod licences;
mod purity;
mod report;
mod runner;
mod sources;
mod tools;

pub(crate) use generated::generate;
pub(crate) use runner::{command, run_all};
