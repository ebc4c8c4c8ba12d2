//! What a report is told: the figures, and for each act what happened when.

use serde::{Deserialize, Serialize};

use crate::load::{Gap, Served};
use crate::result::{Act, DemoResult};

/// Everything in a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The figures.
    pub result: DemoResult,
    /// When the demo was played, as shown to people.
    pub played_at: String,
    /// The program's version.
    pub version: String,
    /// The acts, in the order they were played.
    pub stories: Vec<ActStory>,
}

/// What happened in one act. All times are microseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActStory {
    /// Which act.
    pub act: Act,
    /// A sentence or two about it.
    pub summary: String,
    /// The sites, the one that was active first in front.
    pub sites: Vec<String>,
    /// The steps of the act's run.
    pub steps: Vec<StepSpan>,
    /// Moments worth a line across the picture.
    pub landmarks: Vec<Landmark>,
    /// The longest time without an acknowledgement.
    pub outage: Option<Gap>,
    /// Who served how much, in equal slices of time.
    pub served: Vec<Served>,
    /// The length of a slice in microseconds.
    pub slice_us: u64,
    /// Orders that the application recorded as having lost their attachment in this move, as `tenant/id`.
    pub recorded_lost: Vec<String>,
}

/// One step of a run, from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSpan {
    /// The step's name.
    pub step: String,
    /// Its phase, in the words of the runbook.
    pub phase: String,
    /// The site it ran at.
    pub at: String,
    /// When it started.
    pub from_us: u64,
    /// When it was over.
    pub to_us: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It did its work.
    Done,
    /// Its goal held already.
    Already,
    /// It failed.
    Failed,
    /// It was left out, with a reason.
    Skipped,
    /// It was undone in a retreat.
    Undone,
}

/// A moment worth a line across the picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landmark {
    /// When.
    pub at_us: u64,
    /// What kind of moment.
    pub kind: LandmarkKind,
    /// Its label.
    pub label: String,
}

/// What kind of moment a landmark is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LandmarkKind {
    /// The act begins: a command was given.
    Begin,
    /// Something was killed.
    Kill,
    /// The disaster was noticed.
    Detect,
    /// The point of no return.
    Commit,
    /// Mainstay carried on after its own death.
    Resume,
    /// The first request was served at the new site.
    FirstServed,
}
