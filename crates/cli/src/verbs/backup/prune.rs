//! `mainstay backup prune`: takes away what the plan file does not keep.

use std::sync::Arc;

use clap::Args;
use mainstay_backup::Quiet;
use mainstay_control::backups::{Kept, Point, forget, retention};
use serde::Serialize;

use super::shared::{bytes, failed, repositories, short, vault};
use crate::{
    args::Yes,
    confirm,
    error::{Exit, Failure},
    output::{Output, Tone},
    session::Session,
    show::counted,
};

#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// Only this repository.
    #[arg(long, value_name = "REPOSITORY")]
    from: Option<String>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    yes: Yes,
}

#[derive(Serialize)]
struct Row {
    repository: String,
    verdicts: Vec<Kept>,
    forgotten: u64,
    freed: u64,
}

pub(super) async fn run(
    args: &PruneArgs,
    session: &Session,
    out: &Output,
) -> Result<Exit, Failure> {
    let mut rows = Vec::new();
    for name in repositories(session, args.from.as_deref())? {
        let vault = vault(session, &name).await?;
        let points = vault.points(&session.desk).await.map_err(failed)?;
        let verdicts = retention(&session.context().plan, &name, &points);
        for kept in &verdicts {
            print(kept, out);
        }
        let gone = verdicts.iter().filter(|kept| kept.stays.is_empty());
        let gone: Vec<Point> = gone.map(|kept| kept.point.clone()).collect();
        out.line(format!(
            "{name}: {} may go, {} stay",
            counted(gone.len(), "restore point"),
            verdicts.len() - gone.len()
        ));
        let mut row = Row {
            repository: name.to_string(),
            verdicts,
            forgotten: 0,
            freed: 0,
        };
        if !args.dry_run {
            confirm::ask(&format!("Take away what may go from {name}?"), args.yes)?;
            let done = forget(&vault, &gone, Arc::new(Quiet))
                .await
                .map_err(failed)?;
            out.line(format!(
                "{name}: {} gone, {} freed",
                counted(
                    usize::try_from(done.points).unwrap_or(usize::MAX),
                    "restore point"
                ),
                bytes(done.freed)
            ));
            (row.forgotten, row.freed) = (done.points, done.freed);
        }
        rows.push(row);
    }
    out.value(&rows);
    Ok(Exit::Done)
}

fn print(kept: &Kept, out: &Output) {
    let point = &kept.point;
    let verdict = match &kept.stays[..] {
        [] => out.paint(Tone::Warn, "may go"),
        reasons => {
            let words = reasons.iter().map(|reason| {
                let word = serde_json::to_value(reason).unwrap_or_default();
                word.as_str().unwrap_or_default().to_owned()
            });
            format!("stays: {}", words.collect::<Vec<_>>().join(", "))
        }
    };
    let log = if point.log { " (log)" } else { "" };
    out.line(format!(
        "{}  {}  {}{log}  {verdict}",
        short(&point.id),
        point.taken,
        point.store
    ));
}
