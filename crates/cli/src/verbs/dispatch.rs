//! From the parsed command line to the verb.

use crate::{
    args::{Cli, Verb},
    error::{Exit, Failure},
    output::Output,
    verbs::{agent, check, completions, demo_part, explain},
};

/// Runs the verb.
pub(crate) async fn run(cli: Cli, out: &Output) -> Result<Exit, Failure> {
    let global = &cli.global;
    match cli.verb {
        Verb::Check(args) => check::run(&args, global, out),
        Verb::Agent(args) => agent::run(&args, global, out).await,
        Verb::Explain(args) => explain::run(&args, out),
        Verb::Completions(args) => completions::run(&args, out),
        Verb::DemoPart(args) => demo_part::run(args, out).await,
    }
}
