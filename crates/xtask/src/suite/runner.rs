//! Runs the stages in order, says each one's name and time, and ends with the sum of all.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::count::Tally;
use super::packages;
use super::stages::{self, Outcome};
use super::tools;
use crate::args::Install;
use crate::error::Error;
use crate::metadata::Metadata;
use crate::say;

/// A stage by name.
type Stage = (&'static str, fn(&Path) -> Result<Outcome, Error>);

/// A failed stage does not keep the next one from running: one run shows everything.
const STAGES: [Stage; 5] = [
    ("checks", stages::checks),
    ("tests", stages::tests),
    ("simulator", stages::seeds),
    ("planted bugs", stages::planted),
    ("crash test", stages::crash),
];

/// `cargo xtask test`.
pub(crate) fn command(root: &Path, install: Install) -> Result<ExitCode, Error> {
    let began = Instant::now();
    say::line("== packages");
    packages::provide(install)?;
    tools::provide(&Metadata::read(root)?.target_directory, install)?;
    let mut total = Tally::default();
    let mut times = vec![("packages", began.elapsed())];
    let mut left_out = Vec::new();
    for (name, run) in STAGES {
        let started = Instant::now();
        say::line(&format!("== {name}"));
        let outcome = run(root).unwrap_or_else(|error| {
            say::line(&format!("{name} could not run: {error}"));
            Outcome::failed()
        });
        total.add(&outcome.tally);
        left_out.extend(outcome.left_out);
        times.push((name, started.elapsed()));
        say::line(&format!(
            "== {name}: {} in {}",
            sum(&outcome.tally),
            say::took(started.elapsed())
        ));
    }
    summary(&times, &left_out, began.elapsed());
    say::line(&sum(&total));
    Ok(if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn summary(times: &[(&str, Duration)], left_out: &[(String, String)], all: Duration) {
    say::line("== summary");
    for (name, time) in times {
        say::line(&format!("{name:<14}{}", say::took(*time)));
    }
    say::line(&format!("{:<14}{}", "all", say::took(all)));
    for (name, reason) in left_out {
        say::line(&format!("left out: {name}: {reason}"));
    }
}

/// The line that ends the suite.
fn sum(tally: &Tally) -> String {
    let Tally {
        passed,
        failed,
        skipped,
    } = tally;
    format!("{passed} passed, {failed} failed, {skipped} skipped")
}
