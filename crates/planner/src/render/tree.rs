//! The plan as a tree: phases in order, their steps, what each waits for and how long it may take, and the forecast.
//! Must not know colours or widths of terminals.

use std::fmt::Write as _;

use mainstay_model::{Body, MoveMode, Necessity, Phase, SiteId, Span, Step, StepId};

use crate::{Planned, Verdict};

/// The plan as text, one step a line, with its forecast and its warnings below.
#[must_use]
pub fn tree(planned: &Planned) -> String {
    let mut text = graph(planned);
    text.push_str(&footing(planned));
    text
}

/// The phases and their steps only.
#[must_use]
pub fn graph(planned: &Planned) -> String {
    let mut text = heading(planned);
    let phases = by_phase(&planned.runbook.steps);
    for (place, (phase, steps)) in phases.iter().enumerate() {
        let last = place + 1 == phases.len();
        let (branch, stem) = if last {
            ("└─", "  ")
        } else {
            ("├─", "│ ")
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{branch} {phase}");
        for (place, step) in steps.iter().enumerate() {
            let twig = if place + 1 == steps.len() {
                "└─"
            } else {
                "├─"
            };
            let _ = writeln!(text, "{stem} {twig} {}", line(step));
        }
    }
    text
}

/// Runs of steps of the same phase. A phase that comes twice is shown twice: its place says why.
fn by_phase(steps: &[Step]) -> Vec<(Phase, Vec<&Step>)> {
    let mut phases: Vec<(Phase, Vec<&Step>)> = Vec::new();
    for step in steps {
        match phases.last_mut() {
            Some((phase, steps)) if *phase == step.phase => steps.push(step),
            _ => phases.push((step.phase, vec![step])),
        }
    }
    phases
}

fn heading(planned: &Planned) -> String {
    let runbook = &planned.runbook;
    let what = match runbook.mode {
        MoveMode::Switchover => "switchover",
        MoveMode::Failover => "failover",
        MoveMode::Reprotect => "reprotect",
        MoveMode::Restore => "restore",
    };
    let left = runbook.leaves.iter().map(SiteId::as_str);
    let left: Vec<&str> = left.collect();
    let leaving = if left.is_empty() {
        String::new()
    } else {
        format!(", leaving {}", left.join(", "))
    };
    format!(
        "{what} of {}{leaving}: {} steps\n",
        runbook.system,
        runbook.steps.len()
    )
}

fn line(step: &Step) -> String {
    let what = step.title_within_phase();
    let who = match &step.body {
        Body::Ask(_) => " asks a person",
        _ => "",
    };
    let advisory = match step.necessity {
        Necessity::Required => "",
        Necessity::Advisory => " (advisory)",
    };
    let time = if step.estimate == Span::ZERO {
        String::new()
    } else {
        format!("  ~{}", step.estimate.rounded_up())
    };
    format!(
        "{} {what}{who}{advisory}{time}{}",
        step.id.0,
        waits(&step.after)
    )
}

/// What a step waits for, when that is more than the step before it.
fn waits(after: &[StepId]) -> String {
    let names: Vec<String> = after.iter().map(|id| id.0.to_string()).collect();
    match names.as_slice() {
        [] => String::new(),
        [first, .., last] if names.len() > 6 => format!("  < {first} .. {last}"),
        _ => format!("  < {}", names.join(" ")),
    }
}

fn footing(planned: &Planned) -> String {
    let forecast = &planned.forecast;
    let verdict = |verdict: Verdict| match verdict {
        Verdict::Meets => "met",
        Verdict::Misses => "MISSED",
    };
    let mut text = format!(
        "time  ~{} of {} ({})\n",
        forecast.rto.rounded_up(),
        forecast.rto_objective,
        verdict(forecast.rto_verdict)
    );
    let _ = writeln!(
        text,
        "loss  {} of {} ({})",
        forecast.loss.rounded_up(),
        forecast.rpo_objective,
        verdict(forecast.rpo_verdict)
    );
    for warning in &planned.warnings {
        let _ = writeln!(text, "note  {}", warning.evidence);
    }
    text
}
