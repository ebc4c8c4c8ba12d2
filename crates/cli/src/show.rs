//! A computed move as people read it: the tree, what it is expected to take and to lose, what stands against it.
//! Must not know how it was computed.

use mainstay_model::{MoveMode, Span};
use mainstay_planner::{Code, Planned, Refusals, Verdict, render};

use crate::{
    error::Failure,
    output::{Output, Tone},
};

/// The plan with its forecast and its warnings.
pub(crate) fn planned(planned: &Planned, out: &Output) {
    out.line(render::graph(planned).trim_end());
    out.line("");
    forecast(planned, out);
    for warning in &planned.warnings {
        out.line(format!("{} {warning}", out.paint(Tone::Warn, "warning:")));
    }
}

fn forecast(planned: &Planned, out: &Output) {
    let forecast = &planned.forecast;
    let guessed = match (forecast.measured, forecast.guessed) {
        (_, 0) => "all steps measured".to_owned(),
        (0, _) => "first guesses, no step was measured yet".to_owned(),
        (measured, guessed) => format!("{measured} steps measured, {guessed} guessed"),
    };
    if planned.runbook.mode == MoveMode::Reprotect {
        // Nobody is waiting for a service meanwhile, and nothing is given up: no objective is at stake.
        out.line(format!("takes about {} ({guessed})", clock(forecast.rto)));
        left_behind(planned, out);
    } else {
        let (objective, verdict) = (forecast.rto_objective, forecast.rto_verdict);
        let rto = against(forecast.rto, objective, verdict, out);
        out.line(format!("RTO estimate: {rto} ({guessed})"));
        let (objective, verdict) = (forecast.rpo_objective, forecast.rpo_verdict);
        let loss = against(forecast.loss, objective, verdict, out);
        out.line(format!("loss bound: {loss}"));
    }
    out.line(format!(
        "proven safe for every order of its {} steps",
        planned.runbook.steps.len()
    ));
}

/// What becomes of what only the site has that is made a copy again.
fn left_behind(planned: &Planned, out: &Output) {
    let hash = planned
        .left_behind
        .as_ref()
        .and_then(|left| left.hash.as_ref());
    match (&planned.runbook.discards, hash) {
        (Some(discards), _) => {
            let text = format!("gives up for good what only that site has ({discards})");
            out.line(out.paint(Tone::Bad, &text));
        }
        (None, Some(hash)) => out.line(format!(
            "saves first what only that site has; to give that up instead: --discard-divergence {hash}"
        )),
        (None, None) => out.line("saves first what only that site has"),
    }
}

/// A forecast value against its objective.
fn against(value: Span, objective: Span, verdict: Verdict, out: &Output) -> String {
    let (tone, word) = match verdict {
        Verdict::Meets => (Tone::Good, "meets"),
        Verdict::Misses => (Tone::Bad, "misses"),
    };
    let value = out.paint(tone, &clock(value));
    format!("{value}, {word} the objective of {objective}")
}

/// A span as a clock shows it: `0.56s`, `2m 05s`, `1h 02m`.
pub(crate) fn clock(span: Span) -> String {
    if span.is_unbounded() {
        return span.to_string();
    }
    let hundredths = span.0.div_ceil(10_000);
    let seconds = hundredths / 100;
    match seconds {
        0..60 => format!("{seconds}.{:02}s", hundredths % 100),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// A span as the plan file writes it.
pub(crate) fn rounded(span: Span) -> String {
    span.rounded_up().to_string()
}

/// A number of things in words: `no errors`, `1 error`, `2 errors`.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    match count {
        0 => format!("no {thing}s"),
        1 => format!("1 {thing}"),
        _ => format!("{count} {thing}s"),
    }
}

/// Refusals as one failure: the first gives the code, all give evidence.
pub(crate) fn refused(what: &str, refusals: &Refusals) -> Failure {
    let first = refusals.list.first();
    let code = first.map_or(Code::UnsafePlan, |refusal| refusal.code);
    let mut failure =
        Failure::refused(code.word(), format!("{what} was refused before any effect"));
    for refusal in &refusals.list {
        failure = failure.because(format!("{}: {}", refusal.rule, refusal.evidence));
    }
    if let Some(loss) = &refusals.loss {
        failure = failure.because(format!("loss bound: {}", rounded(loss.worst)));
        for (store, bound) in &loss.stores {
            let point = bound.recovery.as_ref().map_or_else(
                || "no recovery point".to_owned(),
                |point| format!("recovery point {}", point.taken_at),
            );
            failure = failure.because(format!("  {store}: {} ({point})", rounded(bound.time)));
        }
    }
    match refusals
        .list
        .iter()
        .find_map(|refusal| refusal.flag.as_ref())
    {
        Some(flag) => failure.next(flag),
        None => failure,
    }
}
