//! Act d: Mainstay itself is killed in the middle of a move, at a random step, and carries on. Played on the way back
//! from act a, so that no move is made for its own sake.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use super::runs;
use super::stage::{Stage, between, now};
use super::switchover::measured;
use crate::error::PartError;
use crate::report::{ActStory, Landmark, LandmarkKind};
use crate::result::{Act, ActResult};
use crate::world::Site;

/// The mover dies after one of these many steps. Before the first nothing was begun; the last ones are after the move.
const STEPS: std::ops::Range<usize> = 3..22;
/// How long nobody cares.
const LEFT: Duration = Duration::from_millis(300);

pub(super) async fn play(stage: &mut Stage<'_>) -> Result<(ActResult, ActStory), PartError> {
    stage.heading("crash and resume: Mainstay itself is killed on the way home");
    stage.well().await?;
    stage.kept.begin(now());
    stage.peace().await;
    let steps = random(STEPS);
    let command = now();
    stage.line("mainstay switchover --to prod");
    let mover = stage
        .world
        .watch_verb(&["switchover", "--to", "prod", "--yes"])?;
    let last = mover.kill_after(steps, "in ").await?;
    let killed = now();
    stage.line(format!(
        "killed with SIGKILL after step {steps}: {}",
        last.trim()
    ));
    tokio::time::sleep(LEFT).await;
    let before = runs::show(stage.world, None).await?;
    let resumed = now();
    stage.line(format!("mainstay run resume {}", before.name));
    stage
        .world
        .do_verb(&["run", "resume", &before.name])
        .await?;
    let run = runs::show(stage.world, Some(&before.name)).await?;
    let first = stage.served(Site::Prod, command).await?;
    stage.peace().await;
    let mark = |at_us, kind, label: &str| Landmark {
        at_us,
        kind,
        label: label.to_owned(),
    };
    let landmarks = [
        mark(
            command,
            LandmarkKind::Begin,
            "mainstay switchover --to prod",
        ),
        mark(killed, LandmarkKind::Kill, "Mainstay is killed"),
        mark(resumed, LandmarkKind::Resume, "mainstay run resume"),
    ];
    let (mut result, story) =
        measured(stage, Act::CrashResume, Site::Prod, &run, &landmarks).await?;
    result.rto_s = Some(between(command, first));
    stage.reprotect(Site::Dr).await?;
    Ok((result, story))
}

fn random(range: std::ops::Range<usize>) -> usize {
    // The hasher's keys are random for each process.
    let random = std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish();
    let span = u64::try_from(range.len()).unwrap_or(1).max(1);
    range.start + usize::try_from(random % span).unwrap_or(0)
}
