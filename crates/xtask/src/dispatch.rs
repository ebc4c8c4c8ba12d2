//! Tasks that build a program of another crate in release and pass everything on to it: benches,
//! the simulator, the crash test. A program that does not exist is said to be missing (exit 2).

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::args::Bench;
use crate::error::Error;
use crate::metadata::Metadata;
use crate::{process, say};

/// The variable that tells the crash test how many kills it makes.
const CRASH_KILLS: &str = "MAINSTAY_CRASH_KILLS";

/// A program of another crate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) package: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) name: &'static str,
}

/// Steps per second on the real journal.
const BENCH_ENGINE: Part = Part {
    package: "mainstay-control",
    kind: "example",
    name: "bench_engine",
};
/// Planning time by number of components.
const BENCH_PLANNER: Part = Part {
    package: "mainstay-planner",
    kind: "example",
    name: "bench_planner",
};
/// Backups and restores, beside restic and rustic where they are installed.
const BENCH_BACKUP: Part = Part {
    package: "mainstay-backup",
    kind: "example",
    name: "bench_backup",
};
/// The simulator.
pub(crate) const SIM: Part = Part {
    package: "mainstay-sim",
    kind: "bin",
    name: "mainstay-sim",
};
/// The tests with real processes, the crash test among them.
pub(crate) const DEMO: Part = Part {
    package: "mainstay-cli",
    kind: "test",
    name: "demo",
};
/// The crash test's name in there.
pub(crate) const CRASH: &str = "crash::kills_at_random_moments_of_real_moves";

impl Part {
    /// Whether the workspace builds it.
    pub(crate) fn exists(self, metadata: &Metadata) -> bool {
        metadata.builds(self.package, self.kind, self.name)
    }
}

/// `cargo xtask bench WHAT ...`.
pub(crate) fn bench(root: &Path, what: Bench, rest: &[String]) -> Result<ExitCode, Error> {
    let part = match what {
        Bench::Engine => BENCH_ENGINE,
        Bench::Planner => BENCH_PLANNER,
        Bench::Backup => BENCH_BACKUP,
    };
    run(root, part, &mut release(root, part, rest))
}

/// `cargo xtask sim ...`.
pub(crate) fn sim(root: &Path, rest: &[String]) -> Result<ExitCode, Error> {
    run(root, SIM, &mut sim_command(root, rest))
}

/// `cargo xtask crash --kills N`.
pub(crate) fn crash(root: &Path, kills: u32) -> Result<ExitCode, Error> {
    run(root, DEMO, &mut crash_command(root, kills))
}

/// The simulator, with its planted bugs built in only when they are asked for.
pub(crate) fn sim_command(root: &Path, rest: &[String]) -> Command {
    release(root, SIM, rest)
}

/// The crash test, which is a test of the command line and therefore built like one.
pub(crate) fn crash_command(root: &Path, kills: u32) -> Command {
    let mut command = cargo(root, "test");
    command.args([
        "-p",
        DEMO.package,
        "--test",
        DEMO.name,
        "--",
        "--nocapture",
        "--exact",
        CRASH,
    ]);
    command.env(CRASH_KILLS, kills.to_string());
    command
}

fn release(root: &Path, part: Part, rest: &[String]) -> Command {
    let mut command = cargo(root, "run");
    command.args(["--release", "-p", part.package]);
    command.arg(format!("--{}", part.kind)).arg(part.name);
    if rest.iter().any(|argument| argument == "--mutants") {
        command.args(["--features", "planted-bugs"]);
    }
    command.arg("--").args(rest);
    command
}

/// Stays in the folder where the task was typed, so that a `FILE` argument means what it says.
fn cargo(root: &Path, verb: &str) -> Command {
    let mut command = process::cargo_here();
    command
        .args([verb, "--quiet", "--locked", "--manifest-path"])
        .arg(root.join("Cargo.toml"));
    command
}

fn run(root: &Path, part: Part, command: &mut Command) -> Result<ExitCode, Error> {
    if !part.exists(&Metadata::read(root)?) {
        let Part {
            package,
            kind,
            name,
        } = part;
        say::complaint(&format!("not there: {package} has no {kind} called {name}"));
        return Ok(ExitCode::from(2));
    }
    let status = process::run(command)?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(command: &Command) -> String {
        let all: Vec<_> = command
            .get_args()
            .map(|part| part.to_string_lossy())
            .collect();
        all.join(" ")
    }

    #[test]
    fn planted_bugs_are_built_only_for_mutants() {
        let rest = ["--seeds", "5", "--mutants"].map(str::to_owned);
        let root = Path::new("/r");
        assert_eq!(
            arguments(&sim_command(root, &rest)),
            "run --quiet --locked --manifest-path /r/Cargo.toml --release -p mainstay-sim \
             --bin mainstay-sim --features planted-bugs -- --seeds 5 --mutants"
        );
        assert!(!arguments(&sim_command(root, &rest[..2])).contains("planted-bugs"));
    }

    #[test]
    fn the_crash_test_is_told_how_many_kills() {
        let command = crash_command(Path::new("/r"), 7);
        let told = command.get_envs().find(|(name, _)| *name == CRASH_KILLS);
        assert_eq!(told.and_then(|(_, value)| value), Some("7".as_ref()));
    }
}
