//! `cargo xtask test`: everything, in stages, with one count at the end.

mod count;
mod packages;
mod runner;
mod stages;
mod tools;

pub(crate) use runner::command;
