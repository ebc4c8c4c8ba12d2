//! `mainstay serve`: watches the sites, proposes moves, and acts alone where the plan file says so.

use clap::Args;
use mainstay_control::{
    backups,
    state::{Proposal, ProposalState},
    watch::{self, WatchNotice},
};
use mainstay_model::SiteId;
use tokio::sync::mpsc;

use super::serve_kept::say_kept;
use crate::{
    args::Global,
    context,
    error::{Exit, Failure},
    output::{Output, Tone},
    progress,
    session::{Session, scenario},
};

/// Options of `mainstay serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Print one JSON object for each thing that happens.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &ServeArgs, global: &Global, out: &Output) -> Result<Exit, Failure> {
    let session = Session::open(global, out)?;
    let (tell, mut heard) = mpsc::unbounded_channel();
    let (tell_kept, mut kept) = mpsc::unbounded_channel();
    let plan = &session.context().plan;
    let saved = plan.stores.values().any(|store| !store.backup.is_empty());
    let watched = plan.detect.is_some();
    let watching = async {
        if watched || !saved {
            return watch::run(&session.desk, tell, context::stopped()).await;
        }
        drop(tell);
        out.line("no `detect:` in the plan file: the sites are not watched, the backups are kept");
        context::stopped().await;
        Ok(())
    };
    let work = async {
        let keeping = async {
            backups::keep(&session.desk, tell_kept).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            watched = watching => watched,
            () = keeping => Ok(()),
        }
    };
    let telling = async {
        loop {
            tokio::select! {
                Some(notice) = heard.recv() => say(&notice, args, out),
                Some(notice) = kept.recv() => say_kept(&notice, args.json, out),
                else => return,
            }
        }
    };
    let (done, ()) = tokio::join!(work, telling);
    done.map_err(|error| {
        Failure::usage(error.code(), &error)
            .next("add a `detect:` section to the plan file; `mainstay init --stdout` shows one")
    })?;
    out.line("no longer watching");
    Ok(Exit::Done)
}

fn say(notice: &WatchNotice, args: &ServeArgs, out: &Output) {
    if args.json {
        out.raw(value(notice).to_string());
        return;
    }
    let line = match notice {
        WatchNotice::Watching { observers, sites } => {
            format!("watching {} from {}", names(sites), names(observers))
        }
        WatchNotice::Verdict(verdict) => out.paint(
            Tone::Bad,
            &format!(
                "{} at {} since {}",
                scenario(verdict.scenario),
                verdict.site,
                verdict.since
            ),
        ),
        WatchNotice::Proposed(proposal) => proposed(proposal, out),
        WatchNotice::Acting { run, proposal } => {
            let to = proposal.to.as_ref().map_or("", SiteId::as_str);
            format!(
                "acting alone under the standing acceptance: run {run} moves everything to {to}"
            )
        }
        WatchNotice::Acted { run, outcome } => match outcome {
            Ok(phase) => format!("run {run} {}", progress::word(*phase)),
            Err(why) => out.paint(Tone::Bad, &format!("run {run} could not go on: {why}")),
        },
    };
    out.line(format!("{} {line}", context::now()));
}

fn proposed(proposal: &Proposal, out: &Output) -> String {
    let why = match &proposal.state {
        ProposalState::Refused { why } => format!(" (not acting alone: {why})"),
        ProposalState::Open | ProposalState::Acted { .. } => String::new(),
    };
    let evidence = proposal
        .evidence
        .iter()
        .fold(String::new(), |all, line| all + "\n    " + line);
    format!(
        "{} `{}`{why}{evidence}",
        out.paint(Tone::Strong, "next:"),
        proposal.command
    )
}

fn names(sites: &[SiteId]) -> String {
    sites
        .iter()
        .map(SiteId::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// One object for each notice; `what` tells them apart.
fn value(notice: &WatchNotice) -> serde_json::Value {
    let at = context::now();
    match notice {
        WatchNotice::Watching { observers, sites } => {
            serde_json::json!({ "what": "watching", "at": at, "observers": observers, "sites": sites })
        }
        WatchNotice::Verdict(verdict) => serde_json::json!({
            "what": "verdict", "at": verdict.at, "since": verdict.since, "scenario": verdict.scenario, "site": verdict.site
        }),
        WatchNotice::Proposed(proposal) => {
            serde_json::json!({ "what": "proposed", "at": at, "proposal": proposal })
        }
        WatchNotice::Acting { run, proposal } => {
            serde_json::json!({ "what": "acting", "at": at, "run": run, "proposal": proposal })
        }
        WatchNotice::Acted { run, outcome } => {
            let (phase, why) = match outcome {
                Ok(phase) => (Some(phase), None),
                Err(why) => (None, Some(why)),
            };
            serde_json::json!({ "what": "acted", "at": at, "run": run, "phase": phase, "why": why })
        }
    }
}
