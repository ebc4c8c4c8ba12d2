//! What Mainstay says about its runs, as `mainstay run show --json` prints it.
//! Must not know what a run is for.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::error::PartError;
use crate::order_service::Reconciliation;
use crate::report::{Landmark, LandmarkKind, Outcome, StepSpan};
use crate::world::World;

/// A run, as far as the acts need it. Times are microseconds since the epoch.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Run {
    #[serde(rename = "run")]
    pub(super) name: String,
    pub(super) phase: String,
    pub(super) estimate_s: f64,
    pub(super) reported_loss_bound_s: Option<f64>,
    pub(super) steps: Vec<Step>,
}

/// One step of it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Step {
    phase: String,
    title: String,
    at: String,
    state: Value,
    started: Option<u64>,
    ended: Option<u64>,
    output: BTreeMap<String, String>,
}

/// The run with this name, or the newest one.
pub(super) async fn show(world: &World, run: Option<&str>) -> Result<Run, PartError> {
    let mut args = vec!["run", "show"];
    args.extend(run);
    let value = world.do_verb(&args).await?;
    serde_json::from_value(value).map_err(|error| PartError::Content {
        path: world.state(),
        why: format!("`mainstay run show --json`: {error}"),
    })
}

impl Run {
    /// Whether it reached its target.
    pub(super) fn succeeded(&self) -> bool {
        self.phase == "succeeded"
    }

    /// Its steps as spans; those that never ran are left out.
    pub(super) fn spans(&self) -> Vec<StepSpan> {
        self.steps.iter().filter_map(Step::span).collect()
    }

    /// What the comparison of the group's stores found, in the application's own words.
    pub(super) fn reconciliation(&self) -> Option<Reconciliation> {
        let mut said = self
            .steps
            .iter()
            .filter_map(|step| step.output.get("reconcile"));
        serde_json::from_str(said.next()?).ok()
    }

    /// The restore point that took the place of what a store had.
    pub(super) fn restored_from(&self) -> Option<String> {
        let mut back = self.steps.iter().filter(|step| step.phase == "catch-up");
        back.find_map(|step| step.output.get("point").cloned())
    }

    /// Its point of no return.
    pub(super) fn commit(&self) -> Option<Landmark> {
        let commit = self.steps.iter().find(|step| step.phase == "commit")?;
        Some(Landmark {
            at_us: commit.ended?,
            kind: LandmarkKind::Commit,
            label: "commit".to_owned(),
        })
    }
}

impl Step {
    fn span(&self) -> Option<StepSpan> {
        let (from_us, to_us) = (self.started?, self.ended?);
        let word = match &self.state {
            Value::String(word) => word.as_str(),
            Value::Object(fields) => fields.keys().next()?,
            _ => return None,
        };
        let outcome = match word {
            "already" => Outcome::Already,
            "succeeded" => Outcome::Done,
            "skipped" => Outcome::Skipped,
            "undone" => Outcome::Undone,
            _ => Outcome::Failed,
        };
        Some(StepSpan {
            step: self.title.clone(),
            phase: self.phase.clone(),
            at: self.at.clone(),
            from_us,
            to_us: to_us.max(from_us),
            outcome,
        })
    }
}
