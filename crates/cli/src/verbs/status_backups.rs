//! What `mainstay status` says about backups: how old the newest restore point of each store is, and whether that is right.

use mainstay_control::{observe::Gathered, wire::BackupReport};
use mainstay_model::{Backup, ComponentId, PlanFile, RepositoryId, Span, Timestamp};
use serde::Serialize;

use crate::{
    output::{Output, Tone},
    show::rounded,
};

/// A store and a repository that it is saved to.
#[derive(Serialize)]
pub(super) struct BackupRow {
    store: ComponentId,
    repository: RepositoryId,
    every: Span,
    newest: Option<Timestamp>,
    age: Option<Span>,
    overdue: bool,
    error: Option<String>,
}

/// The backups of the plan file, as the agents that make them report them.
pub(super) fn rows(plan: &PlanFile, gathered: &Gathered) -> Vec<BackupRow> {
    let stores = plan.stores.iter();
    let saved = stores.flat_map(|(name, store)| store.backup.iter().map(move |to| (name, to)));
    saved.map(|(store, to)| row(store, to, gathered)).collect()
}

fn row(store: &ComponentId, backup: &Backup, gathered: &Gathered) -> BackupRow {
    let now = gathered.observed.now;
    let agents = gathered
        .agents
        .values()
        .filter_map(|agent| agent.as_ref().ok());
    let reports = agents.clone().filter_map(|agent| {
        let report: &BackupReport = agent.backups.get(store)?.get(&backup.to)?;
        Some(report)
    });
    // The store may have moved: the newest word counts.
    let newest = reports.clone().filter_map(|report| report.last_ok).max();
    let last = reports.max_by_key(|report| report.last_tried);
    let age = newest.map(|newest| now.since(newest));
    let patience = backup
        .every
        .saturating_add(backup.every)
        .saturating_add(Span::from_secs(60));
    let waited = agents.map(|agent| now.since(agent.started)).max();
    BackupRow {
        store: store.clone(),
        repository: backup.to.clone(),
        every: backup.every,
        newest,
        age,
        overdue: age.or(waited).is_some_and(|age| age > patience),
        error: last.and_then(|report| report.last_error.clone()),
    }
}

/// What is wrong, with the command that helps. One attempt that failed is tried again by itself: it is shown, no more.
pub(super) fn troubles(rows: &[BackupRow]) -> Vec<(String, String)> {
    let bad = rows.iter().filter(|row| row.overdue);
    bad.map(|row| {
        let what = match (&row.error, row.age) {
            (Some(error), _) => {
                format!("{} was not saved to {}: {error}", row.store, row.repository)
            }
            (None, Some(age)) => format!(
                "the newest restore point of {} in {} is {} old, one is due every {}",
                row.store,
                row.repository,
                rounded(age),
                row.every
            ),
            (None, None) => format!("{} has no restore point in {}", row.store, row.repository),
        };
        (what, format!("mainstay backup run {}", row.store))
    })
    .collect()
}

/// A line for each.
pub(super) fn draw(rows: &[BackupRow], out: &Output) {
    for row in rows {
        let age = row.age.map_or_else(
            || "none yet".to_owned(),
            |age| format!("newest restore point {} old", rounded(age)),
        );
        let tone = match (row.overdue, &row.error) {
            (true, _) => Tone::Bad,
            (false, Some(_)) => Tone::Warn,
            (false, None) => Tone::Good,
        };
        let failed = row.error.as_ref().map_or_else(String::new, |error| {
            format!("; the last attempt failed: {error}")
        });
        out.line(format!(
            "  backup    {:<14} {} in {} (every {}){failed}",
            row.store.as_str(),
            out.paint(tone, &age),
            row.repository,
            row.every
        ));
    }
}
