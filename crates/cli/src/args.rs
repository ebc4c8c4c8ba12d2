//! The command line as types: global options and one subcommand for each verb.
//! Must not know what a verb does.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::verbs;

/// Disaster recovery that is computed, proven and rehearsed.
#[derive(Debug, Parser)]
#[command(
    name = "mainstay",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 done; 1 failed, retreated or cancelled; 2 usage or invalid plan file; 3 refused by a \
safety rule before any effect; 4 done with exceptions; 5 paused, stuck or waiting for a person; 130 interrupted.\n\
Start here: mainstay demo, or mainstay init and mainstay check."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options that every verb takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The plan file.
    #[arg(
        long,
        short = 'f',
        global = true,
        default_value = "mainstay.yaml",
        env = "MAINSTAY_PLAN",
        value_name = "FILE"
    )]
    pub(crate) plan: PathBuf,
    /// Leave out progress.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// Who reads the result.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Format {
    /// Print one JSON value instead of lines.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Says yes in advance.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Yes {
    /// Do not ask. Needed where there is no terminal.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// The verbs. Each has a file of its own.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Write a commented plan file.
    Init(verbs::init::InitArgs),
    /// Find what is wrong with a plan file.
    Check(verbs::check::CheckArgs),
    /// Say who is active where, whether it is protected, and what to type next.
    Status(verbs::status::StatusArgs),
    /// Compute a move, prove it safe and show it; changes nothing.
    Plan(verbs::plan::PlanArgs),
    /// Move as planned: nothing is lost, or it is aborted with the primary intact.
    Switchover(verbs::moves::SwitchoverArgs),
    /// Move by force, when a site is gone: may lose data up to an accepted bound.
    Failover(verbs::moves::FailoverArgs),
    /// Switch over back to where things were before.
    Failback(verbs::moves::FailbackArgs),
    /// Make the site that was left a proven copy again.
    Reprotect(verbs::moves::ReprotectArgs),
    /// Take on a system that is already running, or that moved without Mainstay.
    Adopt(verbs::adopt::AdoptArgs),
    /// List, show and steer runs.
    Run(verbs::run::RunArgs),
    /// Watch the sites, propose moves, and act alone where the plan file says so.
    Serve(verbs::serve::ServeArgs),
    /// Be the agent of one site: own its processes, hold its credentials, carry out its steps.
    Agent(verbs::agent::AgentArgs),
    /// Save stores, prove restore points, bring them back.
    Backup(verbs::backup::BackupArgs),
    /// List what was proven to be where it should be, and verify the proofs.
    Receipts(verbs::receipts::ReceiptsArgs),
    /// Explain an error code.
    Explain(verbs::explain::ExplainArgs),
    /// Print a completion script for a shell.
    Completions(verbs::completions::CompletionsArgs),
    /// Watch a multi-tenant application survive a planned move, the death of a site, and the way home.
    Demo(verbs::demo::DemoArgs),
    /// A part of the demo's world.
    #[command(hide = true)]
    DemoPart(verbs::demo_part::DemoPartArgs),
}

impl Verb {
    /// Whether a program reads the result.
    pub(crate) fn format(&self) -> Format {
        match self {
            Self::Init(args) => args.format,
            Self::Check(args) => args.format,
            Self::Status(args) => args.format,
            Self::Plan(args) => args.format(),
            Self::Switchover(args) => args.common.format,
            Self::Failover(args) => args.common.format,
            Self::Failback(args) => args.common.format,
            Self::Reprotect(args) => args.common.format,
            Self::Adopt(args) => args.format,
            Self::Run(args) => args.format,
            Self::Backup(args) => args.format,
            Self::Receipts(args) => args.format,
            Self::Explain(args) => args.format,
            Self::Serve(_)
            | Self::Agent(_)
            | Self::Completions(_)
            | Self::Demo(_)
            | Self::DemoPart(_) => Format::default(),
        }
    }
}
