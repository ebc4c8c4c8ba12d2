//! The command line of `cargo xtask`. Only shapes: what a task does is said in its own module.

use clap::{Parser, Subcommand, ValueEnum};

/// Checks, tests, benches and the simulator.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Check the house: sources, direction, error pages, licences, format, lints, generated files
    Check {
        /// Only these checks, by name (all when left out)
        names: Vec<String>,
    },
    /// Write the generated files anew (schemas, state machines)
    Generate,
    /// Install what the tests need, then run every check, test, the simulator and the crash test
    Test {
        /// Whether missing Debian packages, and servers from npm and PyPI, are installed
        #[arg(long, value_enum, default_value_t = Install::Packages)]
        install: Install,
    },
    /// Measure one part, in release
    Bench {
        #[arg(value_enum)]
        what: Bench,
        /// Passed on, for example `--json` or `--steps 1000`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Run the simulator: `--seeds N`, `--seed K`, `--mutants`, `--json`
    Sim {
        /// Passed on to the simulator
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Kill real processes at random moments of real moves, and see that nothing is lost
    Crash {
        /// How many kills
        #[arg(long, default_value_t = 20)]
        kills: u32,
    },
}

/// What `bench` measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bench {
    /// Steps per second on the real journal
    Engine,
    /// Planning time and memory by number of components
    Planner,
    /// Backups and restores, beside restic and rustic where they are installed
    Backup,
}

/// Whether `test` may install packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Install {
    /// Install what is missing, where this user may
    Packages,
    /// Leave the machine as it is and say what is missing
    Nothing,
}
