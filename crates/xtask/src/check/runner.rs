//! The list of checks, in order of cost, and how their reports are shown.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::house::House;
use super::report::Report;
use super::{codes, direction, generated, licences, purity, sources, tools};
use crate::error::Error;
use crate::say;

/// A check by name.
type Check = (&'static str, fn(&House) -> Result<Report, Error>);

/// How one check went.
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    pub(crate) passed: bool,
    pub(crate) time: Duration,
}

/// The cheap ones first, so that a slip in a header shows before the compiler starts.
const CHECKS: [Check; 8] = [
    ("sources", |house| Ok(sources::check(house))),
    ("direction", |house| Ok(direction::check(house))),
    ("purity", purity::check),
    ("codes", codes::check),
    ("licences", licences::check),
    ("format", tools::format),
    ("lints", tools::lints),
    ("generated", generated::check),
];

/// `cargo xtask check [NAMES]`.
pub(crate) fn command(root: &Path, names: &[String]) -> Result<ExitCode, Error> {
    for name in names {
        if !CHECKS.iter().any(|(known, _)| known == name) {
            let known: Vec<&str> = CHECKS.iter().map(|(known, _)| *known).collect();
            return Err(Error::NoSuchCheck {
                name: name.clone(),
                known: known.join(", "),
            });
        }
    }
    let outcomes = run_chosen(root, |check| {
        names.is_empty() || names.contains(&check.into())
    })?;
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    say::line(&format!(
        "{} checks passed, {failed} failed",
        outcomes.len() - failed
    ));
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Every check.
pub(crate) fn run_all(root: &Path) -> Result<Vec<Outcome>, Error> {
    run_chosen(root, |_| true)
}

fn run_chosen(root: &Path, chosen: impl Fn(&str) -> bool) -> Result<Vec<Outcome>, Error> {
    let house = House::read(root)?;
    let mut outcomes = Vec::new();
    for (name, check) in CHECKS.iter().filter(|(name, _)| chosen(name)) {
        let started = Instant::now();
        let report = check(&house)?;
        let outcome = Outcome {
            name,
            passed: report.findings.is_empty(),
            time: started.elapsed(),
        };
        show(&outcome, &report);
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

fn show(outcome: &Outcome, report: &Report) {
    let word = if outcome.passed { "ok" } else { "FAILED" };
    say::line(&format!(
        "check {:<10} {word:<6} {}",
        outcome.name,
        say::took(outcome.time)
    ));
    for finding in &report.findings {
        say::line(&format!("  - {finding}"));
    }
    for note in &report.notes {
        say::line(&format!("  note: {note}"));
    }
}
