//! `mainstay plan`: computes a move, proves it safe and shows it. Changes nothing.

use clap::{Args, ValueEnum};
use mainstay_planner::render;

use crate::{
    args::{Format, Global},
    error::{Exit, Failure},
    output::Output,
    session::{MoveSpec, Session},
    show,
};

/// Which move is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// A planned move.
    Switchover,
    /// A forced move.
    Failover,
    /// A planned move back to where the plan file places things.
    Failback,
    /// Making a site a copy again.
    Reprotect,
    /// Bringing a store back to an earlier state: `mainstay backup restore --in-place`.
    #[value(skip)]
    Restore,
}

/// How the plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// A tree by phase.
    Tree,
    /// The whole plan as one value.
    Json,
    /// A graph for Graphviz.
    Dot,
    /// A graph for Markdown pages.
    Mermaid,
}

/// Options of `mainstay plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Which move.
    which: Which,
    /// The site to move to (for `reprotect`: the site that becomes a copy). A failback needs none: it goes where the
    /// plan file places things.
    #[arg(long, value_name = "SITE", required_if_eq_any = [("which", "switchover"), ("which", "failover"), ("which", "reprotect")])]
    to: Option<String>,
    /// Only this store or workload.
    #[arg(long, value_name = "COMPONENT")]
    only: Option<String>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Shape::Tree)]
    format: Shape,
    /// The same as `--format json`.
    #[arg(long)]
    json: bool,
}

impl PlanArgs {
    /// Whether a program reads.
    pub(crate) fn format(&self) -> Format {
        Format {
            json: self.json || self.format == Shape::Json,
        }
    }
}

pub(crate) async fn run(args: &PlanArgs, global: &Global, out: &Output) -> Result<Exit, Failure> {
    let session = Session::open(global, out)?;
    let spec = MoveSpec {
        only: args.only.as_deref(),
        ..MoveSpec::new(args.which, args.to.as_deref())
    };
    let planned = session.plan_to_show(&spec).await?;
    match args.format {
        _ if args.format().json => out.value(&planned),
        Shape::Dot => out.raw(render::dot(&planned).trim_end()),
        Shape::Mermaid => out.raw(render::mermaid(&planned).trim_end()),
        Shape::Tree | Shape::Json => show::planned(&planned, out),
    }
    Ok(Exit::Done)
}
