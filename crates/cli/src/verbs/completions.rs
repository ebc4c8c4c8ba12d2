//! `mainstay completions SHELL`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{error::Exit, output::Output};

/// Options of `mainstay completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, out: &Output) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut crate::args::Cli::command(),
        "mainstay",
        &mut script,
    );
    out.raw(String::from_utf8_lossy(&script).trim_end());
    Exit::Done
}
