//! `mainstay demo` without a subcommand: plays the acts and shows what was measured.
//! Must not know how an act is played.

use std::path::PathBuf;

use clap::Args;
use mainstay_demo::world::Database;

use crate::{
    error::{Exit, Failure},
    output::Output,
};

/// Options of the demo itself.
#[derive(Debug, Args)]
pub(crate) struct PlayArgs {
    /// Write the figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the report goes [default: `mainstay-demo.html` in the world's folder].
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// What the order service runs on.
    #[arg(long, default_value = "sqlite", value_name = "sqlite|postgres")]
    database: Database,
    /// The world's folder [default: a new one in the folder for temporary files].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Leave the world running at the end.
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn run(_: PlayArgs, _: &Output) -> Result<Exit, Failure> {
    Ok(Exit::Done)
}
