//! `cargo xtask`: checks, tests, benches and the simulator, from one place.
//!
//! Builds and runs the other crates as subprocesses and depends on none of them, so that it starts
//! quickly even while the rest of the workspace does not compile.

mod args;
mod check;
mod dispatch;
mod error;
mod metadata;
mod process;
mod say;
mod suite;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Task};

fn main() -> ExitCode {
    let root = root();
    let outcome = match Args::parse().task {
        Task::Check { names } => check::command(&root, &names),
        Task::Generate => check::generate(&root),
        Task::Test { install } => suite::command(&root, install),
        Task::Bench { what, rest } => dispatch::bench(&root, what, &rest),
        Task::Sim { rest } => dispatch::sim(&root, &rest),
        Task::Crash { kills } => dispatch::crash(&root, kills),
    };
    outcome.unwrap_or_else(|error| {
        say::complaint(&format!("xtask: {error}"));
        ExitCode::from(2)
    })
}

/// The workspace's root: two levels above this crate, wherever the command was typed.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}
