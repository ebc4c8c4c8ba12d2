//! `mainstay check`: everything that is wrong with a plan file, with its place and what to write instead.

use clap::Args;
use mainstay_model::{Diagnostics, Origin};
use serde::Serialize;

use crate::{
    args::{Format, Global},
    context,
    error::{Exit, Failure},
    output::{Output, Tone},
    show::counted,
};

/// Options of `mainstay check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) format: Format,
    /// Treat warnings as errors.
    #[arg(long)]
    strict: bool,
}

#[derive(Serialize)]
struct Report {
    version: u32,
    file: String,
    ok: bool,
    hash: Option<String>,
    problems: serde_json::Value,
}

pub(crate) fn run(args: &CheckArgs, global: &Global, out: &Output) -> Result<Exit, Failure> {
    let bytes = context::read_plan(&global.plan)?;
    let file = std::path::absolute(&global.plan)
        .map_err(|error| Failure::bug("find the plan file's folder", error))?;
    let base = file.parent().unwrap_or(&file);
    let name = global.plan.display().to_string();
    let origin = Origin {
        file: &name,
        folder: &base.to_string_lossy(),
        now: context::now(),
    };
    let (problems, hash) = match mainstay_model::parse(&bytes, &origin, &context::kinds()) {
        Ok(parsed) => (parsed.warnings, Some(parsed.plan.hash)),
        Err(problems) => (problems, None),
    };
    let ok = hash.is_some() && !(args.strict && warnings(&problems) > 0);
    if !problems.is_empty() && !out.is_json() {
        out.raw(problems.render(out.style()));
    }
    let verdict = format!(
        "{name}: {}, {}",
        counted(problems.errors(), "error"),
        counted(warnings(&problems), "warning")
    );
    out.line(out.paint(if ok { Tone::Good } else { Tone::Bad }, &verdict));
    if !ok {
        out.line("next: `mainstay explain CODE` says more about one of them");
    }
    out.value(&Report {
        version: 1,
        file: name,
        ok,
        hash,
        problems: problems.to_json(),
    });
    if ok {
        out.line("next: `mainstay agent --site SITE` at each site, then `mainstay adopt`");
    }
    Ok(if ok { Exit::Done } else { Exit::Usage })
}

/// How many of the problems are no errors.
fn warnings(problems: &Diagnostics) -> usize {
    problems.list().len() + problems.left_out() - problems.errors()
}
