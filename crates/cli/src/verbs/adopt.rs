//! `mainstay adopt`: takes on a system that is already running, or learns that it moved without Mainstay.

use clap::Args;
use mainstay_control::observe;
use serde::Serialize;

use crate::{
    args::{Format, Global, Yes},
    confirm,
    error::{Exit, Failure},
    output::Output,
    session::Session,
};

/// Options of `mainstay adopt`.
#[derive(Debug, Args)]
pub(crate) struct AdoptArgs {
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    yes: Yes,
    /// Only these stores.
    #[arg(value_name = "STORE")]
    stores: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    store: String,
    owner: String,
    epoch: u64,
    evidence: String,
}

pub(crate) async fn run(args: &AdoptArgs, global: &Global, out: &Output) -> Result<Exit, Failure> {
    let session = Session::open(global, out)?;
    let only = args
        .stores
        .iter()
        .map(|name| session.context().component(name))
        .collect::<Result<Vec<_>, _>>()?;
    let gathered = session.observe().await?;
    for (site, agent) in &gathered.agents {
        if let Err(why) = agent {
            out.line(format!("the agent of {site} does not answer: {why}"));
        }
    }
    out.line("the newest mark at the stores says who owns each; a store without a mark gets its first epoch where the plan file places it");
    confirm::ask("Take them on?", args.yes)?;
    let lock = session.lock().await?;
    let adopted = observe::adopt(&session.desk, &lock, &gathered, &only)
        .await
        .map_err(|error| Failure::refused(error.code(), error))?;
    let mut started = Vec::new();
    if only.is_empty() {
        let gathered = session.observe().await?;
        started = observe::bring_up(&session.desk, &lock, &gathered)
            .await
            .map_err(|error| {
                Failure::new(error.code(), error).next("`mainstay adopt` tries again")
            })?;
    }
    let rows: Vec<Row> = adopted
        .into_iter()
        .map(|one| Row {
            store: one.store.to_string(),
            owner: one.owner.to_string(),
            epoch: one.epoch.0,
            evidence: one.evidence,
        })
        .collect();
    for row in &rows {
        out.line(format!(
            "{} belongs to {} at epoch {}: {}",
            row.store, row.owner, row.epoch, row.evidence
        ));
    }
    for one in started {
        out.line(format!("{} runs at {}", one.workload, one.site));
    }
    out.value(&rows);
    Ok(Exit::Done)
}
