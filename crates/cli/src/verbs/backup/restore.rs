//! `mainstay backup restore`: brings a store, or a part of it, back into a folder, or back in place.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::Args;
use mainstay_backup::retention;
use mainstay_control::backups::{BackupsError, Point, follow, tester_of};
use mainstay_model::{
    Action, Backup, ComponentId, Op, Position, RecoveryTarget, RepositoryId, Saved, SiteId, Subject,
};
use mainstay_planner::Past;
use serde::Serialize;

use super::shared::{Shown, bytes, failed, moment, repositories, short, stores, vault};
use crate::{
    args::Yes,
    error::{Exit, Failure},
    output::{Output, Tone},
    session::{MoveSpec, Session},
    verbs::{moves, plan::Which},
};

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The store.
    #[arg(value_name = "STORE")]
    store: String,
    /// Into which folder. It is made if it is not there, and must be empty; a restore that was cut short carries on.
    #[arg(long, value_name = "FOLDER", required_unless_present = "in_place")]
    to: Option<PathBuf>,
    /// Put the whole store back where it is: its users are stopped, what it has now is saved, the earlier state takes its
    /// place, its users are started again. Whatever fails before the end brings back what there was.
    #[arg(long, conflicts_with_all = ["to", "path", "site"])]
    in_place: bool,
    /// With `--in-place`: show the plan and change nothing.
    #[arg(long, requires = "in_place")]
    dry_run: bool,
    #[command(flatten)]
    yes: Yes,
    /// As it was at this time: `2026-11-26T10:04:30Z`, `"2026-11-26 10:04:30"`, `10:04:30` or `"5m ago"`.
    #[arg(long, value_name = "TIME", group = "target")]
    at: Option<String>,
    /// This restore point, by the beginning of its name. Without any of these, the newest complete one.
    #[arg(long, value_name = "POINT", group = "target")]
    point: Option<String>,
    /// As it was at this position of its log: `1A/2B3C4D`.
    #[arg(long, value_name = "LSN", group = "target")]
    lsn: Option<String>,
    /// As it was at the moment that was given this name at the store.
    #[arg(long, value_name = "NAME", group = "target")]
    name: Option<String>,
    /// Only this part of it: a file or a folder, as `backup show --path` lists them.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// From this repository. Without it, from the first that the store is saved to.
    #[arg(long, value_name = "REPOSITORY")]
    from: Option<String>,
    /// At this site. Without it, at one that answers.
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
}

#[derive(Serialize)]
struct Report {
    store: ComponentId,
    repository: RepositoryId,
    site: SiteId,
    folder: PathBuf,
    restored: Saved,
}

pub(super) async fn run(
    args: &RestoreArgs,
    session: &Session,
    out: &Output,
) -> Result<Exit, Failure> {
    let store = match &stores(session, std::slice::from_ref(&args.store))?[..] {
        [store] => store.clone(),
        _ => return Err(Failure::bug("find the store", "one name gave several")),
    };
    let from = repository(args, session, &store)?;
    let target = target(args)?;
    let Some(folder) = &args.to else {
        let target = settled(session, &store, &from, target).await?;
        let past = [(store, Past { from, target })].into();
        return in_place(&past, args, session, out).await;
    };
    let folder =
        std::path::absolute(folder).map_err(|error| Failure::usage("restore-target", error))?;
    let site = match &args.site {
        Some(name) => session.context().site(name)?,
        None => anywhere(session, &store).await?,
    };
    let declared = session.context().plan.declared(&store);
    let kind = declared.map(|declared| declared.kind.clone());
    let action = Action {
        driver: kind.ok_or_else(|| Failure::bug("find the store", "it is not declared"))?,
        subject: Subject::Component(store.clone()),
        site: site.clone(),
        op: Op::Extract {
            from: from.clone(),
            target: target.clone(),
            path: args.path.clone(),
            into: folder.display().to_string(),
        },
    };
    out.progress(format!(
        "{store}: {target}, from {from}, at {site}, into {}",
        folder.display()
    ));
    let shown = Shown::new(out, format!("{store} from {from}"));
    let output = follow(&session.desk, action, &|note| shown.tell(note)).await;
    shown.end();
    let output = output.map_err(failed)?;
    let restored = Saved::of(&output).ok_or_else(|| {
        failed(BackupsError::Answer(
            "the agent does not say what it brought back".to_owned(),
        ))
    })?;
    print(&store, &restored, &folder, out);
    let exit = if restored.missing == 0 {
        Exit::Done
    } else {
        Exit::Exceptions
    };
    out.value(&Report {
        store,
        repository: from,
        site,
        folder,
        restored,
    });
    Ok(exit)
}

/// What is meant, as long as nothing has been stopped for it: the newest restore point by its name, because what is saved
/// right before a restore in place is newer; and a time only if something was saved before it.
async fn settled(
    session: &Session,
    store: &ComponentId,
    from: &RepositoryId,
    target: RecoveryTarget,
) -> Result<RecoveryTarget, Failure> {
    let vault = vault(session, from).await?;
    let points = vault.points(&session.desk).await.map_err(failed)?;
    let complete = |point: &&Point| {
        point.store == *store && !point.log && point.whole == retention::Whole::Complete
    };
    let mut complete = points.iter().rev().filter(complete);
    let (found, what) = match &target {
        RecoveryTarget::Newest => (complete.next(), "has no complete restore point".to_owned()),
        RecoveryTarget::Time(time) => (
            complete.find(|point| point.taken <= *time),
            format!("has no complete restore point from before {time}"),
        ),
        RecoveryTarget::Point(wanted) => (
            complete.find(|point| !wanted.is_empty() && point.id.starts_with(wanted)),
            format!("has no complete restore point {wanted:?}"),
        ),
        RecoveryTarget::Position(_) | RecoveryTarget::Named(_) => return Ok(target),
    };
    let Some(found) = found else {
        let what = format!("{from} {what} of {store}");
        return Err(Failure::refused("no-restore-point", what).next(format!(
            "`mainstay backup list {store}` shows what there is"
        )));
    };
    Ok(match target {
        RecoveryTarget::Newest | RecoveryTarget::Point(_) => {
            RecoveryTarget::Point(found.id.clone())
        }
        other => other,
    })
}

/// As a run of its own, computed and proven like any other.
async fn in_place(
    past: &BTreeMap<ComponentId, Past>,
    args: &RestoreArgs,
    session: &Session,
    out: &Output,
) -> Result<Exit, Failure> {
    for (store, past) in past {
        let (target, from) = (&past.target, &past.from);
        out.line(format!("{store} goes back to {target}, from {from}"));
        out.line(format!(
            "what was written to it since is saved to {from} first, and is in the store no more"
        ));
    }
    let spec = MoveSpec {
        past: Some(past),
        ..MoveSpec::new(Which::Restore, None)
    };
    moves::shown_and_done(&spec, args.yes, args.dry_run, session, out).await
}

fn print(store: &ComponentId, restored: &Saved, folder: &Path, out: &Output) {
    out.line(format!(
        "{store} as of {}: {} in {} entries, every byte verified, in {} (restore point {})",
        restored.taken,
        bytes(restored.bytes),
        restored.entries,
        folder.display(),
        short(&restored.point)
    ));
    if restored.missing > 0 {
        let word = out.paint(Tone::Bad, "missing");
        out.line(format!(
            "{word}: {} entries did not come back",
            restored.missing
        ));
        for missing in &restored.first_missing {
            out.line(format!("  {missing}"));
        }
    }
}

fn repository(
    args: &RestoreArgs,
    session: &Session,
    store: &ComponentId,
) -> Result<RepositoryId, Failure> {
    if args.from.is_some() {
        let named = repositories(session, args.from.as_deref())?;
        return named
            .into_iter()
            .next()
            .ok_or_else(|| Failure::bug("find the repository", "no name"));
    }
    let backups = session.context().plan.stores.get(store);
    let first = backups.and_then(|store| store.backup.first());
    first
        .map(|backup: &Backup| backup.to.clone())
        .ok_or_else(|| Failure::bug("find the repository", "the store is saved nowhere"))
}

fn target(args: &RestoreArgs) -> Result<RecoveryTarget, Failure> {
    Ok(if let Some(at) = &args.at {
        RecoveryTarget::Time(moment(at)?)
    } else if let Some(point) = &args.point {
        RecoveryTarget::Point(point.clone())
    } else if let Some(lsn) = &args.lsn {
        RecoveryTarget::Position(Position::Lsn(position(lsn)?))
    } else if let Some(name) = &args.name {
        RecoveryTarget::Named(name.clone())
    } else {
        RecoveryTarget::Newest
    })
}

fn position(text: &str) -> Result<u64, Failure> {
    let parse = |part: &str| u32::from_str_radix(part, 16).ok().map(u64::from);
    let parts = text.split_once('/');
    let lsn = parts.and_then(|(high, low)| Some(parse(high)? << 32 | parse(low)?));
    lsn.ok_or_else(|| {
        Failure::usage(
            "not-a-position",
            format!("{text:?} is no position in a log"),
        )
        .next("write it as PostgreSQL does: 1A/2B3C4D")
    })
}

async fn anywhere(session: &Session, store: &ComponentId) -> Result<SiteId, Failure> {
    let active = session.desk.state.known().ok();
    let active = active.and_then(|known| known.placement.get(store)?.keys().next().cloned());
    let nowhere = SiteId::new("nowhere").map_err(|error| Failure::bug("name no site", error))?;
    // The site that has it now is asked last by testers, so it is asked for by another name here: people look for the
    // folder where the store is.
    if let Some(site) = active
        && let Some(agent) = session.desk.agent(&site)
        && agent.status().await.is_ok()
    {
        return Ok(site);
    }
    tester_of(&session.desk, store, &nowhere)
        .await
        .map_err(failed)
}
