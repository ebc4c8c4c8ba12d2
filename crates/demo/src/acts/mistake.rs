//! Act e: an application error destroys data under load, and the database goes back to just before.

use std::time::Duration;

use serde_json::Value;

use super::runs::{self, Run};
use super::stage::{Stage, between, now};
use super::switchover::measured;
use crate::error::PartError;
use crate::order_service::destroy;
use crate::report::{ActStory, Landmark, LandmarkKind};
use crate::result::{Act, ActResult};
use crate::world::{Database, Site};

/// How long nobody notices the error.
const UNNOTICED: Duration = Duration::from_millis(700);

pub(super) async fn play(stage: &mut Stage<'_>) -> Result<(ActResult, ActStory), PartError> {
    stage.heading(
        "restore: an application error deletes every order; the ledger goes back to just before",
    );
    stage.line("mainstay reprotect dr: it becomes a copy of prod again");
    stage.reprotect(Site::Dr).await?;
    stage.kept.begin(now());
    stage.line("mainstay backup run ledger");
    stage.world.do_verb(&["backup", "run", "ledger"]).await?;
    stage.peace().await;
    // The last moment at which all was well.
    let before = now();
    let deleted = destroy(&stage.world.database_url(Site::Prod)?).await?;
    let destroyed = now();
    stage.line(format!("a broken release deletes {deleted} orders"));
    tokio::time::sleep(UNNOTICED).await;
    let at = written(before);
    stage.line(format!(
        "mainstay backup restore ledger --in-place --at {at}"
    ));
    let command = now();
    let restore = [
        "backup",
        "restore",
        "ledger",
        "--in-place",
        "--at",
        &at,
        "--yes",
    ];
    stage.world.do_verb(&restore).await?;
    let run = runs::show(stage.world, None).await?;
    // Until then clients were served what the error had left.
    let commit = run.commit().map_or(command, |commit| commit.at_us);
    let first = stage.served(Site::Prod, commit).await?;
    stage.peace().await;
    let reached = reached(stage, &run, before).await?;
    let landmarks = [
        landmark(destroyed, LandmarkKind::Kill, "the orders are deleted"),
        landmark(
            command,
            LandmarkKind::Begin,
            "mainstay backup restore --in-place",
        ),
    ];
    let (mut result, mut story) =
        measured(stage, Act::Restore, Site::Prod, &run, &landmarks).await?;
    story.sites = vec![Site::Prod.name().to_owned()];
    result.rto_s = Some(between(command, first));
    result.reported_loss_bound_s = Some(between(reached, destroyed));
    stage.line(format!(
        "the state of {:.2} s before the error is back, {:.2} s after the command; what came later is in a restore point",
        between(reached, destroyed),
        between(command, first)
    ));
    proven(stage).await?;
    Ok((result, story))
}

/// The restore points are tried out, and every receipt is good.
async fn proven(stage: &Stage<'_>) -> Result<(), PartError> {
    stage.line("mainstay backup verify: the newest restore point is tried out");
    stage.world.do_verb(&["backup", "verify"]).await?;
    let verified = stage.world.do_verb(&["receipts", "verify"]).await?;
    let count = verified.get("receipts").and_then(Value::as_u64);
    stage.line(format!(
        "{} receipts, every one is good",
        count.unwrap_or(0)
    ));
    Ok(())
}

/// The moment that the database went back to: with a log exactly the one that was asked for, else that of the restore
/// point before it.
async fn reached(stage: &Stage<'_>, run: &Run, asked: u64) -> Result<u64, PartError> {
    if stage.world.database == Database::Postgres {
        return Ok(asked);
    }
    let point = run.restored_from().unwrap_or_default();
    let all = stage.world.do_verb(&["backup", "list", "ledger"]).await?;
    let all = all.as_array().cloned().unwrap_or_default();
    let same = |one: &&Value| one.get("id").and_then(Value::as_str) == Some(&point);
    let taken = all
        .iter()
        .find(same)
        .and_then(|one| one.get("taken")?.as_u64());
    taken.ok_or_else(|| {
        PartError::Promise(format!("{} does not say where it went back to", run.name))
    })
}

fn landmark(at_us: u64, kind: LandmarkKind, label: &str) -> Landmark {
    Landmark {
        at_us,
        kind,
        label: label.to_owned(),
    }
}

/// A moment as the command line reads it.
fn written(at_us: u64) -> String {
    let at = i64::try_from(at_us).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(at).map_or_else(|_| String::new(), |at| at.to_string())
}
