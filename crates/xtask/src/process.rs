//! Subprocesses: never with a standard input, so that nothing can wait for a person.

use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};

use crate::error::Error;

/// A cargo command in the workspace's root, with the cargo that started xtask.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = cargo_here();
    command.current_dir(root);
    command
}

/// A cargo command in the folder where xtask was started.
pub(crate) fn cargo_here() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs with output passed through.
pub(crate) fn run(command: &mut Command) -> Result<ExitStatus, Error> {
    command
        .stdin(Stdio::null())
        .status()
        .map_err(|source| start_error(command, source))
}

/// Runs and collects the output.
pub(crate) fn capture(command: &mut Command) -> Result<Output, Error> {
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| start_error(command, source))
}

/// The error for a program that could not be started.
pub(crate) fn start_error(command: &Command, source: std::io::Error) -> Error {
    Error::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    }
}

/// The last lines of what a program said on standard error.
pub(crate) fn last_words(output: &Output, lines: usize) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
