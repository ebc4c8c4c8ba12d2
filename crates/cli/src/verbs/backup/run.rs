//! `mainstay backup run`: saves stores now.

use clap::Args;
use mainstay_backup::{Quiet, ScrubBudget};
use mainstay_control::backups::{BackupsError, Proof, follow, owner_of, prove_stored};
use mainstay_model::{Action, ComponentId, Op, RepositoryId, Saved, Subject};
use mainstay_proof::Level;
use serde::Serialize;

use super::shared::{Shown, bytes, failed, short, stores};
use crate::{
    error::{Exit, Failure},
    output::{Output, Tone},
    session::Session,
};

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The stores; all that the plan file saves if there is no name.
    #[arg(value_name = "STORE")]
    stores: Vec<String>,
    /// Only to this repository.
    #[arg(long, value_name = "REPOSITORY")]
    to: Option<String>,
}

#[derive(Serialize)]
struct Row {
    store: ComponentId,
    repository: RepositoryId,
    saved: Option<Saved>,
    proven: Option<Level>,
    error: Option<String>,
}

pub(super) async fn run(args: &RunArgs, session: &Session, out: &Output) -> Result<Exit, Failure> {
    let mut rows = Vec::new();
    for store in stores(session, &args.stores)? {
        let declared = session.context().plan.stores.get(&store);
        let backups = declared.map_or(&[][..], |store| &store.backup);
        for backup in backups {
            if args.to.as_ref().is_some_and(|to| *to != backup.to.as_str()) {
                continue;
            }
            rows.push(one(session, &store, &backup.to, out).await);
        }
    }
    if rows.is_empty() {
        let to = args.to.as_deref().unwrap_or_default();
        return Err(Failure::usage(
            "repository-unknown",
            format!("none of these stores is saved to {to:?}"),
        ));
    }
    out.value(&rows);
    let incomplete = |row: &Row| row.saved.as_ref().is_some_and(|saved| saved.missing > 0);
    Ok(if rows.iter().any(|row| row.error.is_some()) {
        Exit::Failed
    } else if rows.iter().any(incomplete) {
        Exit::Exceptions
    } else {
        Exit::Done
    })
}

async fn one(session: &Session, store: &ComponentId, to: &RepositoryId, out: &Output) -> Row {
    let mut row = Row {
        store: store.clone(),
        repository: to.clone(),
        saved: None,
        proven: None,
        error: None,
    };
    let shown = Shown::new(out, format!("{store} to {to}"));
    let saved = save(session, store, to, &shown).await;
    shown.end();
    let saved = match saved {
        Ok(saved) => saved,
        Err(error) => {
            let why = failed(error);
            out.line(format!(
                "{} {store} to {to}: {}",
                out.paint(Tone::Bad, "failed"),
                why.what
            ));
            if let Some(next) = &why.next {
                out.line(format!("  next: {next}"));
            }
            row.error = Some(why.what);
            return row;
        }
    };
    out.line(format!(
        "{store} to {to}: restore point {}, {} in {} entries, {} added",
        short(&saved.point),
        bytes(saved.bytes),
        saved.entries,
        bytes(saved.stored)
    ));
    if saved.missing > 0 {
        let word = out.paint(Tone::Bad, "incomplete");
        out.line(format!(
            "  {word}: {} entries could not be read",
            saved.missing
        ));
        for missing in &saved.first_missing {
            out.line(format!("    {missing}"));
        }
    } else {
        match prove(session, to, &saved).await {
            Ok(proof) => row.proven = said(proof, out),
            Err(error) => {
                let why = failed(error).what;
                out.line(format!("  {}: {why}", out.paint(Tone::Bad, "not proven")));
                row.error = Some(why);
            }
        }
    }
    row.saved = Some(saved);
    row
}

async fn save(
    session: &Session,
    store: &ComponentId,
    to: &RepositoryId,
    shown: &Shown<'_>,
) -> Result<Saved, BackupsError> {
    let desk = &session.desk;
    let site = owner_of(desk, store).await?;
    let declared = desk.plan.declared(store);
    let kind = declared.map(|declared| declared.kind.clone());
    let kind = kind.ok_or_else(|| BackupsError::Answer(format!("{store} is no store")))?;
    let action = Action {
        driver: kind,
        subject: Subject::Component(store.clone()),
        site,
        op: Op::Backup { to: to.clone() },
    };
    let output = follow(desk, action, &|note| shown.tell(note)).await?;
    let saved = Saved::of(&output);
    saved.ok_or_else(|| BackupsError::Answer("the agent answers with no restore point".to_owned()))
}

/// Looks, in another process than the one that wrote it, whether it is there and what it should be.
async fn prove(
    session: &Session,
    to: &RepositoryId,
    saved: &Saved,
) -> Result<Option<Proof>, BackupsError> {
    let vault = mainstay_control::backups::Vault::open(&session.desk, to).await?;
    let mut points = vault.points(&session.desk).await?;
    points.retain(|point| point.id == saved.point);
    let budget = ScrubBudget {
        most: None,
        pace: Some(mainstay_backup::Pace {
            within: std::time::Duration::MAX,
            next_in: std::time::Duration::ZERO,
        }),
    };
    let (level, quiet) = (Level::ReadBack, std::sync::Arc::new(Quiet));
    let proven = prove_stored(&session.desk, &vault, points, level, budget, quiet).await?;
    Ok(proven.proofs.into_iter().next())
}

fn said(proof: Option<Proof>, out: &Output) -> Option<Level> {
    let proof = proof?;
    for fault in &proof.faults {
        out.line(format!("  {}: {fault}", out.paint(Tone::Bad, "damaged")));
    }
    if let Some(level) = proof.point.proven {
        out.line(format!(
            "  {}, with a receipt",
            out.paint(Tone::Good, &level.to_string())
        ));
    }
    proof.point.proven
}
