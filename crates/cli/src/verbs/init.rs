//! `mainstay init`: writes a commented plan file that passes `mainstay check`.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write},
};

use clap::Args;

use crate::{
    args::{Format, Global},
    error::{Exit, Failure},
    output::Output,
};

/// Options of `mainstay init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    pub(crate) format: Format,
    /// Print it instead of writing the file.
    #[arg(long)]
    stdout: bool,
}

pub(crate) fn run(args: &InitArgs, global: &Global, out: &Output) -> Result<Exit, Failure> {
    let text = mainstay_model::template();
    if args.stdout {
        out.raw(text.trim_end());
        return Ok(Exit::Done);
    }
    let path = &global.plan;
    // Never over an existing file: it may be the only description of somebody's recovery.
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| {
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
    })
    .map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::usage("MS0005", format!("{} exists already", path.display()))
                .next("name another file with `--plan FILE`, or print it with `--stdout`")
        }
        _ => Failure::new(
            "MS0002",
            format!("failed to write {}: {error}", path.display()),
        ),
    })?;
    out.line(format!("wrote {}", path.display()));
    out.line("next: edit it, then `mainstay check`");
    out.value(&serde_json::json!({ "written": path }));
    Ok(Exit::Done)
}
