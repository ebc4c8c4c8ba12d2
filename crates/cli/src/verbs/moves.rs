//! `mainstay switchover`, `failover`, `failback` and `reprotect`: shows the plan, asks, carries it out.

use clap::Args;
use mainstay_control::state::RunRow;
use mainstay_model::Span;

use crate::{
    args::{Format, Global, Yes},
    confirm,
    error::{Exit, Failure},
    output::Output,
    progress,
    session::{MoveSpec, Session},
    show,
    verbs::plan::Which,
};

/// Options that every move takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    yes: Yes,
    /// Show the plan and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Options of `mainstay switchover`.
#[derive(Debug, Args)]
pub(crate) struct SwitchoverArgs {
    /// The site to move to.
    #[arg(long, value_name = "SITE")]
    to: String,
    /// Only this store or workload.
    #[arg(long, value_name = "COMPONENT")]
    only: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Options of `mainstay failover`.
#[derive(Debug, Args)]
pub(crate) struct FailoverArgs {
    /// The site to move to.
    #[arg(long, value_name = "SITE")]
    to: String,
    /// Only this store or workload.
    #[arg(long, value_name = "COMPONENT")]
    only: Option<String>,
    /// Accept to lose up to so much source time, such as `12s`, or `unbounded`.
    #[arg(long, value_name = "SPAN")]
    accept_loss: Option<Span>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Options of `mainstay failback`.
#[derive(Debug, Args)]
pub(crate) struct FailbackArgs {
    /// Only this store or workload.
    #[arg(long, value_name = "COMPONENT")]
    only: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Options of `mainstay reprotect`.
#[derive(Debug, Args)]
pub(crate) struct ReprotectArgs {
    /// The site that becomes a copy again.
    site: String,
    /// Give up what only that site has, instead of saving it; the hash is the one that was shown.
    #[arg(long, value_name = "HASH")]
    discard_divergence: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

pub(crate) async fn switchover(
    args: &SwitchoverArgs,
    global: &Global,
    out: &Output,
) -> Result<Exit, Failure> {
    let spec = MoveSpec {
        only: args.only.as_deref(),
        ..MoveSpec::new(Which::Switchover, Some(&args.to))
    };
    carry_out(&spec, &args.common, global, out).await
}

pub(crate) async fn failover(
    args: &FailoverArgs,
    global: &Global,
    out: &Output,
) -> Result<Exit, Failure> {
    let spec = MoveSpec {
        only: args.only.as_deref(),
        accept_loss: args.accept_loss,
        ..MoveSpec::new(Which::Failover, Some(&args.to))
    };
    carry_out(&spec, &args.common, global, out).await
}

pub(crate) async fn failback(
    args: &FailbackArgs,
    global: &Global,
    out: &Output,
) -> Result<Exit, Failure> {
    let spec = MoveSpec {
        only: args.only.as_deref(),
        ..MoveSpec::new(Which::Failback, None)
    };
    carry_out(&spec, &args.common, global, out).await
}

pub(crate) async fn reprotect(
    args: &ReprotectArgs,
    global: &Global,
    out: &Output,
) -> Result<Exit, Failure> {
    let spec = MoveSpec {
        discard: args.discard_divergence.as_deref(),
        ..MoveSpec::new(Which::Reprotect, Some(&args.site))
    };
    carry_out(&spec, &args.common, global, out).await
}

async fn carry_out(
    spec: &MoveSpec<'_>,
    common: &Common,
    global: &Global,
    out: &Output,
) -> Result<Exit, Failure> {
    let session = Session::open(global, out)?;
    shown_and_done(spec, common.yes, common.dry_run, &session, out).await
}

/// Shows the plan, asks, and carries it out.
pub(crate) async fn shown_and_done(
    spec: &MoveSpec<'_>,
    yes: Yes,
    dry_run: bool,
    session: &Session,
    out: &Output,
) -> Result<Exit, Failure> {
    if !dry_run && let Some(left) = session.unfinished()? {
        carry_on(session, &left, yes, out).await?;
    }
    let planned = session.plan(spec).await?;
    show::planned(&planned, out);
    if dry_run {
        out.value(&planned);
        return Ok(Exit::Done);
    }
    confirm::ask("Carry this out?", yes)?;
    session.execute(spec, &planned, out).await
}

/// A run that an earlier process left is ended before another is begun.
async fn carry_on(session: &Session, left: &RunRow, yes: Yes, out: &Output) -> Result<(), Failure> {
    // Whoever executes it holds the lock; then this is a second mover, which is refused.
    drop(session.lock().await?);
    let run = &left.run;
    out.line(format!(
        "run {run} was left unfinished ({})",
        progress::word(left.phase)
    ));
    confirm::ask("Carry on with it first?", yes)?;
    match session
        .resume(run, &Output::new(false, out.is_json()))
        .await?
    {
        Exit::Done | Exit::Exceptions | Exit::Failed => Ok(()),
        other => Err(Failure::new("MS0008", format!("run {run} still waits"))
            .next(format!("`mainstay run show {run}`"))
            .exit(other)),
    }
}
