//! Act b: the active site dies under load. Whether, when and how that is noticed is the watch's business alone.

use std::time::Duration;

use serde_json::Value;

use super::runs;
use super::stage::{Seen, Stage, between, now, until};
use super::switchover::measured;
use crate::error::PartError;
use crate::report::{ActStory, Landmark, LandmarkKind};
use crate::result::{Act, ActResult};
use crate::world::{Site, World};

/// How long the watch may take to notice and to act.
const MOVED: Duration = Duration::from_secs(60);

pub(super) async fn play(stage: &mut Stage<'_>) -> Result<(ActResult, ActStory), PartError> {
    stage.heading("site loss: every process of prod is killed at once, under load");
    stage.well().await?;
    stage.kept.begin(now());
    stage.peace().await;
    let killed = now();
    let count = stage.world.break_site(Site::Prod)?;
    stage.line(format!(
        "{count} processes of prod are dead; nobody is told"
    ));
    let verdict = heard(stage.world, "verdict", killed).await?;
    let noticed = at(&verdict).unwrap_or(killed);
    stage.line(format!(
        "the observers have agreed after {:.2} s that prod is lost; `mainstay serve` acts alone, under the acceptance in \
         the plan file",
        between(killed, noticed)
    ));
    let acted = heard(stage.world, "acted", killed).await?;
    let run = runs::show(stage.world, acted.get("run").and_then(Value::as_str)).await?;
    if !run.succeeded() {
        return Err(PartError::Verb {
            line: format!("run {}", run.name),
            why: format!("the failover ended as {}", run.phase),
            logs: stage.world.logs(),
        });
    }
    let first = stage.served(Site::Dr, killed).await?;
    stage.line(format!(
        "dr serves {:.2} s after the kill",
        between(killed, first)
    ));
    stage.peace().await;
    let landmarks = [
        Landmark {
            at_us: killed,
            kind: LandmarkKind::Kill,
            label: "prod is killed".to_owned(),
        },
        Landmark {
            at_us: noticed,
            kind: LandmarkKind::Detect,
            label: "noticed".to_owned(),
        },
    ];
    let (mut result, story) = measured(stage, Act::SiteLoss, Site::Dr, &run, &landmarks).await?;
    if !story.recorded_lost.is_empty() {
        stage.line(format!(
            "{} orders had reached dr before their attachments: web has recorded them as lost",
            story.recorded_lost.len()
        ));
    }
    result.rto_s = Some(between(killed, first));
    result.detected_s = Some(between(killed, noticed));
    if let (Some(lost), Some(bound)) = (result.true_loss_s, result.reported_loss_bound_s) {
        stage.line(format!(
            "the oldest missing write is from {lost:.2} s before the kill; the bound that was reported is {bound:.2} s"
        ));
    }
    Ok((result, story))
}

/// Waits until the watch has said something after a moment.
async fn heard(world: &World, what: &str, after_us: u64) -> Result<Value, PartError> {
    until(world, "for the watch", MOVED, async || {
        let said = world.watch_says()?;
        let found = said.into_iter().find(|one| {
            let same = one.get("what").and_then(Value::as_str) == Some(what);
            same && at(one).is_some_and(|at| at >= after_us)
        });
        Ok(found.map_or(Seen::NotYet(format!("no {what}")), Seen::Yes))
    })
    .await
}

fn at(said: &Value) -> Option<u64> {
    said.get("at").and_then(Value::as_u64)
}
