//! `mainstay serve`: watches the sites, proposes moves, and acts alone where the plan file says so.

use clap::Args;

use crate::{
    args::Global,
    error::{Exit, Failure},
    output::Output,
    session::Session,
};

/// Options of `mainstay serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {}

pub(crate) async fn run(args: &ServeArgs, global: &Global, out: &Output) -> Result<Exit, Failure> {
    let ServeArgs {} = args;
    let session = Session::open(global, out)?;
    let _ = session;
    Ok(Exit::Done)
}
