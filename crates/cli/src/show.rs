//! A computed move as people read it: the tree, what it is expected to take and to lose, what stands against it.
//! Must not know how it was computed.

use mainstay_planner::{Planned, Refusals, Verdict, render};

use crate::{
    error::Failure,
    output::{Output, Tone},
};

/// The plan with its forecast and its warnings.
pub(crate) fn planned(planned: &Planned, out: &Output) {
    out.line(render::tree(planned).trim_end());
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
    let lines = [
        (
            "RTO estimate",
            forecast.rto,
            forecast.rto_objective,
            forecast.rto_verdict,
            guessed,
        ),
        (
            "loss bound",
            forecast.loss,
            forecast.rpo_objective,
            forecast.rpo_verdict,
            String::new(),
        ),
    ];
    for (name, value, objective, verdict, note) in lines {
        let tone = if verdict == Verdict::Meets {
            Tone::Good
        } else {
            Tone::Bad
        };
        let word = if verdict == Verdict::Meets {
            "meets"
        } else {
            "misses"
        };
        let value = out.paint(tone, &rounded(value));
        let note = if note.is_empty() {
            note
        } else {
            format!(" ({note})")
        };
        out.line(format!(
            "{name}: {value}, {word} the objective of {objective}{note}"
        ));
    }
    out.line(format!(
        "proven safe for every order of its {} steps",
        planned.runbook.steps.len()
    ));
}

/// A span as people say it: milliseconds below a minute, else whole seconds.
pub(crate) fn rounded(span: mainstay_model::Span) -> String {
    let unit = if span.0 < 60_000_000 {
        1_000
    } else {
        1_000_000
    };
    let rounded = if span.is_unbounded() {
        span
    } else {
        mainstay_model::Span(span.0.div_ceil(unit) * unit)
    };
    rounded.to_string()
}

/// Refusals as one failure: the first gives the code, all give evidence.
pub(crate) fn refused(what: &str, refusals: &Refusals) -> Failure {
    let code = refusals
        .list
        .first()
        .map_or("unsafe-plan", |refusal| refusal.code.word());
    let mut failure = Failure::refused(code, format!("{what} was refused before any effect"));
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
