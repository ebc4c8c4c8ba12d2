//! The stages of the suite. Each runs one thing and says how it went; none knows the others.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::count::{Reader, Show, Tally};
use crate::error::Error;
use crate::metadata::Metadata;
use crate::{check, dispatch, process, say};

/// How many seeds the simulator runs in the suite.
const SEEDS: &str = "2000";
/// How many kills the crash test makes in the suite.
const KILLS: u32 = 20;

/// How a stage went.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// What was left out, with the reason.
    pub(crate) left_out: Vec<(String, String)>,
}

impl Outcome {
    fn of(passed: bool) -> Self {
        if passed {
            Self::counting(Tally {
                passed: 1,
                ..Tally::default()
            })
        } else {
            Self::failed()
        }
    }

    /// One failure.
    pub(crate) fn failed() -> Self {
        Self::counting(Tally {
            failed: 1,
            ..Tally::default()
        })
    }

    fn counting(tally: Tally) -> Self {
        Self {
            tally,
            left_out: Vec::new(),
        }
    }

    fn not_there(part: dispatch::Part) -> Self {
        let reason = format!("not there: {} has no {} called it", part.package, part.kind);
        Self {
            tally: Tally {
                skipped: 1,
                ..Tally::default()
            },
            left_out: vec![(part.name.to_owned(), reason)],
        }
    }
}

/// Every check of the house, each counted as one.
pub(crate) fn checks(root: &Path) -> Result<Outcome, Error> {
    let mut outcome = Outcome::default();
    for check in check::run_all(root)? {
        outcome.tally.add(&Outcome::of(check.passed).tally);
    }
    Ok(outcome)
}

/// Every test and documentation test of the workspace, but the crash test, which has a stage of its own.
pub(crate) fn tests(root: &Path) -> Result<Outcome, Error> {
    let mut command = process::cargo(root);
    command.args([
        "test",
        "--workspace",
        "--locked",
        "--no-fail-fast",
        "--",
        "--show-output",
        "--skip",
        dispatch::CRASH,
    ]);
    counted(&mut command)
}

/// The simulator: every seed on the code as it ships.
pub(crate) fn seeds(root: &Path) -> Result<Outcome, Error> {
    simulator(root, &["--seeds", SEEDS])
}

/// The simulator: every planted bug, until something notices it.
pub(crate) fn planted(root: &Path) -> Result<Outcome, Error> {
    simulator(root, &["--seeds", "1", "--entries", "0", "--mutants"])
}

fn simulator(root: &Path, rest: &[&str]) -> Result<Outcome, Error> {
    if !dispatch::SIM.exists(&Metadata::read(root)?) {
        return Ok(Outcome::not_there(dispatch::SIM));
    }
    let rest: Vec<String> = rest.iter().map(|&part| part.to_owned()).collect();
    let status = process::run(&mut dispatch::sim_command(root, &rest))?;
    Ok(Outcome::of(status.success()))
}

/// Real processes, killed at random moments of real moves.
pub(crate) fn crash(root: &Path) -> Result<Outcome, Error> {
    if !dispatch::DEMO.exists(&Metadata::read(root)?) {
        return Ok(Outcome::not_there(dispatch::DEMO));
    }
    let outcome = counted(&mut dispatch::crash_command(root, KILLS))?;
    // A filter that matches nothing passes: a test that was renamed must not go missing.
    let ran = outcome.tally.passed + outcome.tally.failed > 0;
    Ok(if ran { outcome } else { Outcome::failed() })
}

/// Runs `cargo test`, shows what is worth showing as it comes, and counts.
fn counted(command: &mut Command) -> Result<Outcome, Error> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|source| process::start_error(command, source))?;
    let mut reader = Reader::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            if reader.line(&line) == Show::Line {
                say::line(&line);
            }
        }
    }
    let status = child
        .wait()
        .map_err(|source| process::start_error(command, source))?;
    if !status.success() && reader.tally.failed == 0 {
        // It did not compile, or a test program died without a word.
        say::line(&format!("cargo test ended with {status}"));
        reader.tally.add(&Outcome::failed().tally);
    }
    Ok(Outcome {
        tally: reader.tally,
        left_out: reader.left_out,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_dies_without_a_count_has_failed() {
        let outcome = counted(Command::new("sh").args(["-c", "exit 101"])).unwrap();
        assert_eq!(
            outcome.tally,
            Tally {
                failed: 1,
                ..Tally::default()
            }
        );
    }

    #[test]
    fn a_run_is_counted_from_what_it_prints() {
        let line = "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        let outcome = counted(Command::new("echo").arg(line)).unwrap();
        assert_eq!(
            outcome.tally,
            Tally {
                passed: 4,
                failed: 0,
                skipped: 0
            }
        );
    }
}
