//! From the parsed command line to the verb.

use crate::{
    args::{Cli, Verb},
    error::{Exit, Failure},
    output::Output,
    verbs::{
        adopt, agent, backup, check, completions, demo, demo_part, explain, init, moves, plan,
        receipts, run as runs, serve, status,
    },
};

/// Runs the verb.
pub(crate) async fn run(cli: Cli, out: &Output) -> Result<Exit, Failure> {
    let global = &cli.global;
    match cli.verb {
        Verb::Init(args) => init::run(&args, global, out),
        Verb::Check(args) => check::run(&args, global, out),
        Verb::Status(args) => status::run(&args, global, out).await,
        Verb::Plan(args) => plan::run(&args, global, out).await,
        Verb::Switchover(args) => moves::switchover(&args, global, out).await,
        Verb::Failover(args) => moves::failover(&args, global, out).await,
        Verb::Failback(args) => moves::failback(&args, global, out).await,
        Verb::Reprotect(args) => moves::reprotect(&args, global, out).await,
        Verb::Adopt(args) => adopt::run(&args, global, out).await,
        Verb::Run(args) => runs::run(&args, global, out).await,
        Verb::Serve(args) => serve::run(&args, global, out).await,
        Verb::Agent(args) => agent::run(&args, global, out).await,
        Verb::Backup(args) => backup::carry_out(args, global, out).await,
        Verb::Receipts(args) => receipts::run(&args, global, out),
        Verb::Explain(args) => explain::run(&args, out),
        Verb::Completions(args) => Ok(completions::run(&args, out)),
        Verb::Demo(args) => demo::run(args, global, out).await,
        Verb::DemoPart(args) => demo_part::run(args, out).await,
    }
}
