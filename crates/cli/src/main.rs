//! `mainstay`: reads the command line, runs one verb, ends with its exit code.
//! Must not hold a decision of its own; each verb is a file under `verbs`.

mod args;
mod confirm;
mod context;
mod error;
mod explain;
mod live;
mod output;
mod progress;
mod session;
mod show;
mod tree;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // TLS needs one provider for the whole process; a second installation would be a bug we can ignore.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = args::Cli::parse();
    let out = output::Output::new(cli.verb.format().json, cli.global.quiet);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return error::Failure::bug("start the runtime", error).report(&out),
    };
    let outcome = runtime.block_on(verbs::run(cli, &out));
    // A driver call that hangs must not keep a finished command alive.
    runtime.shutdown_background();
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(&out),
    }
}
