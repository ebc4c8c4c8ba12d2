//! `mainstay backup`: saves stores, lists and proves restore points, brings them back, takes away what is not kept.

use clap::{Args, Subcommand};

use super::{keys, list, prune, restore, run, show, validate, verify};

use crate::{
    args::{Format, Global},
    error::{Exit, Failure},
    output::Output,
    session::Session,
};

/// Options of `mainstay backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(subcommand)]
    what: What,
}

/// What is done about backups.
#[derive(Debug, Subcommand)]
enum What {
    /// Save stores now, whatever their schedule says.
    Run(run::RunArgs),
    /// List restore points, the newest last.
    List(list::ListArgs),
    /// Show a restore point: what is in it, how far it is proven, what is missing.
    Show(show::ShowArgs),
    /// Prove restore points: stored, read back, restored, checked. Each level leaves a receipt.
    Verify(verify::VerifyArgs),
    /// Compare what stores have with their newest restore points: is everything in it that was created since last time?
    Validate(validate::ValidateArgs),
    /// Take away the restore points that the plan file does not keep, and free their room.
    Prune(prune::PruneArgs),
    /// Bring a store, or a part of it, back into a folder.
    Restore(restore::RestoreArgs),
    /// List, add and remove the passwords that open a repository.
    Keys(keys::KeysArgs),
}

pub(crate) async fn run(args: BackupArgs, global: &Global, out: &Output) -> Result<Exit, Failure> {
    let session = Session::open(global, out)?;
    match args.what {
        What::Run(args) => run::run(&args, &session, out).await,
        What::List(args) => list::run(&args, &session, out).await,
        What::Show(args) => show::run(&args, &session, out).await,
        What::Verify(args) => verify::run(&args, &session, out).await,
        What::Validate(args) => validate::run(&args, &session, out).await,
        What::Prune(args) => prune::run(&args, &session, out).await,
        What::Restore(args) => restore::run(&args, &session, out).await,
        What::Keys(args) => keys::run(&args, &session, out).await,
    }
}
