//! Act a: a planned move under load.

use super::runs::{self, Run};
use super::stage::{Stage, between, now};
use crate::error::PartError;
use crate::load::{Audit, Lost, Missing, Window};
use crate::report::{ActStory, Landmark, LandmarkKind};
use crate::result::{Act, ActResult};
use crate::world::Site;

/// Slices of the chart of requests.
pub(super) const SLICE_US: u64 = 200_000;

pub(super) async fn play(stage: &mut Stage<'_>) -> Result<(ActResult, ActStory), PartError> {
    stage.heading("switchover: a planned move to dr, under load");
    stage.well().await?;
    let began = now();
    stage.kept.begin(began);
    stage.peace().await;
    let moved = moved(stage, Act::Switchover, Site::Dr).await?;
    stage.line("mainstay reprotect prod: it becomes a copy of dr, so that there is a way home");
    stage.reprotect(Site::Prod).await?;
    Ok(moved)
}

/// Moves with the verb that the act is about, and measures.
pub(super) async fn moved(
    stage: &mut Stage<'_>,
    act: Act,
    to: Site,
) -> Result<(ActResult, ActStory), PartError> {
    let (verb, line) = match act {
        Act::Failback => (vec!["failback", "--yes"], "mainstay failback".to_owned()),
        _ => (
            vec!["switchover", "--to", to.name(), "--yes"],
            format!("mainstay switchover --to {to}"),
        ),
    };
    let command = now();
    stage.line(&line);
    stage.world.do_verb(&verb).await?;
    let run = runs::show(stage.world, None).await?;
    let first = stage.served(to, command).await?;
    stage.peace().await;
    let begin = Landmark {
        at_us: command,
        kind: LandmarkKind::Begin,
        label: line,
    };
    let mut measured = measured(stage, act, to, &run, &[begin]).await?;
    measured.0.rto_s = Some(between(command, first));
    Ok(measured)
}

/// What is the same for every planned move, once it is over.
pub(super) async fn measured(
    stage: &mut Stage<'_>,
    act: Act,
    to: Site,
    run: &Run,
    landmarks: &[Landmark],
) -> Result<(ActResult, ActStory), PartError> {
    let window = Window {
        from_us: stage.kept.began_us(),
        to_us: now(),
    };
    let found = stage.kept.audit(stage.world, to, window.to_us).await?;
    let recorded_lost = recorded(run, &found)?;
    let list = stage.list()?;
    let outage = list.outage(window);
    let zero = landmarks
        .first()
        .map_or(window.from_us, |first| first.at_us);
    // A site that is not left serves on: what counts there is what was served after the point of no return.
    let commit = run.commit().map(|commit| commit.at_us);
    let from = commit.filter(|_| act == Act::Restore).unwrap_or(zero);
    let first = list.first_served(from, Some(to.name()));
    let mut result = ActResult::new(act);
    result.rto_estimate_s = Some(run.estimate_s);
    result.acknowledged = Some(found.acknowledged);
    result.lost = Some(found.lost.len() as u64);
    result.true_loss_s = Some(found.true_loss_s(zero));
    result.reported_loss_bound_s = run.reported_loss_bound_s;
    result.client_outage_s = Some(outage.seconds());
    result.steps = Some(run.steps.len() as u64);
    stage.line(format!(
        "{} writes were acknowledged, {} are missing; clients waited {:.2} s at most",
        found.acknowledged,
        found.lost.len(),
        outage.seconds()
    ));
    let mut landmarks = landmarks.to_vec();
    landmarks.extend(run.commit());
    landmarks.extend(first.map(|at_us| Landmark {
        at_us,
        kind: LandmarkKind::FirstServed,
        label: format!("served by {to}"),
    }));
    let from = if to == Site::Dr { Site::Prod } else { Site::Dr };
    let story = ActStory {
        act,
        summary: String::new(),
        sites: vec![from.name().to_owned(), to.name().to_owned()],
        steps: run.spans(),
        landmarks,
        outage: Some(outage),
        served: list.served(window, SLICE_US),
        slice_us: SLICE_US,
        recorded_lost,
    };
    Ok((result, story))
}

/// The orders that the application recorded as having lost their attachment in this move. Those that clients miss
/// must be among them: a loss that nobody was told of is a broken promise.
fn recorded(run: &Run, found: &Audit) -> Result<Vec<String>, PartError> {
    let recorded = run
        .reconciliation()
        .map_or_else(Vec::new, |found| found.lost);
    let silent = found.lost.iter().find(|lost| {
        let attachment = matches!(lost.missing, Missing::Attachment | Missing::OtherAttachment);
        attachment && !recorded.contains(&format!("{}/{}", lost.tenant, lost.id))
    });
    match silent {
        None => Ok(recorded),
        Some(Lost { tenant, id, .. }) => Err(PartError::Promise(format!(
            "order {tenant}/{id} has lost its attachment, and {} does not say so",
            run.name
        ))),
    }
}
