//! Expected times: measured where there are measurements, the longest chain, and the forecast against the objectives.
//! Must not know how a step is carried out.

use std::collections::BTreeMap;

use mainstay_model::{
    ComponentId, LossBound, Necessity, Objectives, Phase, PlanFile, Runbook, SiteId, Span, Step,
    StepId,
};
use serde::{Deserialize, Serialize};

use crate::Observed;

/// Whether an objective is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is.
    Meets,
    /// It is not.
    Misses,
}

impl Verdict {
    fn of(value: Span, objective: Span) -> Self {
        if value <= objective {
            Self::Meets
        } else {
            Self::Misses
        }
    }
}

/// What a runbook is expected to cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// Expected time from start to end: the longest chain of steps.
    pub rto: Span,
    /// The tightest recovery time objective of what moves.
    pub rto_objective: Span,
    /// Whether it is met.
    pub rto_verdict: Verdict,
    /// The loss bound; zero for a planned move.
    pub loss: Span,
    /// The tightest recovery point objective of what moves.
    pub rpo_objective: Span,
    /// Whether it is met.
    pub rpo_verdict: Verdict,
    /// The steps of the longest chain.
    pub critical: Vec<StepId>,
    /// How many steps have a measured duration.
    pub measured: usize,
    /// How many have only a first guess.
    pub guessed: usize,
}

/// Puts measured durations in the place of first guesses; how many steps had one. What was measured only at another
/// site is still a better forecast than a guess: the slowest of those.
pub(crate) fn apply_measured(steps: &mut [Step], observed: &Observed) -> usize {
    let known: BTreeMap<(Phase, &ComponentId, &SiteId), Span> = observed
        .measured
        .iter()
        .map(|it| ((it.phase, &it.component, &it.site), it.median))
        .collect();
    if known.is_empty() {
        return 0;
    }
    let mut elsewhere: BTreeMap<(Phase, &ComponentId), Span> = BTreeMap::new();
    for ((phase, component, _), median) in &known {
        let slowest = elsewhere.entry((*phase, component)).or_default();
        *slowest = (*slowest).max(*median);
    }
    let mut count = 0;
    for step in steps {
        let Some(name) = step.subject.component() else {
            continue;
        };
        let here = known.get(&(step.phase, name, &step.site));
        if let Some(median) = here.or_else(|| elsewhere.get(&(step.phase, name))) {
            step.estimate = *median;
            count += 1;
        }
    }
    count
}

/// The longest chain through required steps, and its length.
pub(crate) fn critical_path(steps: &[Step]) -> (Span, Vec<StepId>) {
    let mut ends: Vec<(Span, Option<usize>)> = Vec::with_capacity(steps.len());
    let mut last: Option<usize> = None;
    for (at, step) in steps.iter().enumerate() {
        let before = step.after.iter().map(|id| id.index());
        let before = before.filter(|earlier| *earlier < at);
        let latest = before.max_by_key(|earlier| ends[*earlier].0);
        let start = latest.map_or(Span::ZERO, |earlier| ends[earlier].0);
        ends.push((start.saturating_add(step.estimate), latest));
        let counts = step.necessity == Necessity::Required;
        if counts && last.is_none_or(|last| ends[last].0 < ends[at].0) {
            last = Some(at);
        }
    }
    let length = last.map_or(Span::ZERO, |last| ends[last].0);
    let mut path = Vec::new();
    while let Some(at) = last {
        path.push(steps[at].id);
        last = ends[at].1;
    }
    path.reverse();
    (length, path)
}

/// The forecast of a runbook against its plan file's objectives. `measured` steps had measured durations.
#[must_use]
pub fn forecast(file: &PlanFile, runbook: &Runbook, measured: usize) -> Forecast {
    let (rto, critical) = critical_path(&runbook.steps);
    let mut tightest = Objectives {
        rpo: Span::MAX,
        rto: Span::MAX,
    };
    for name in runbook.target.keys() {
        let store = file.stores.get(name).map(|store| store.objectives);
        let workload = file.workloads.get(name).map(|workload| workload.objectives);
        for objectives in store.into_iter().chain(workload) {
            tightest.rto = tightest.rto.min(objectives.rto);
            tightest.rpo = tightest.rpo.min(objectives.rpo);
        }
    }
    if tightest.rto.is_unbounded() {
        tightest = file.objectives;
    }
    let loss = runbook.loss.as_ref().map_or(Span::ZERO, worst);
    Forecast {
        rto,
        rto_objective: tightest.rto,
        rto_verdict: Verdict::of(rto, tightest.rto),
        loss,
        rpo_objective: tightest.rpo,
        rpo_verdict: Verdict::of(loss, tightest.rpo),
        critical,
        measured,
        guessed: runbook.steps.len() - measured.min(runbook.steps.len()),
    }
}

fn worst(loss: &LossBound) -> Span {
    loss.worst
}
