//! `mainstay explain CODE`: the page of an error code.

use clap::Args;

use crate::{
    args::Format,
    error::{Exit, Failure},
    explain,
    output::Output,
};

/// Options of `mainstay explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) format: Format,
    /// The code, such as MS0003 or store-open.
    #[arg(required_unless_present = "list")]
    code: Option<String>,
    /// List every code.
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(args: &ExplainArgs, out: &Output) -> Result<Exit, Failure> {
    if args.list {
        let all: Vec<(&str, &str)> = explain::all()
            .map(|(code, page)| (code, title(page)))
            .collect();
        for (code, title) in &all {
            out.line(format!("{code}  {title}"));
        }
        out.value(&all);
        return Ok(Exit::Done);
    }
    let typed = args.code.as_deref().unwrap_or_default();
    let (code, page) = explain::page(typed).ok_or_else(|| {
        Failure::usage("MS0007", format!("no error has the code {typed:?}"))
            .next("`mainstay explain --list` lists every code")
    })?;
    out.line(page.trim_end());
    out.value(&serde_json::json!({ "code": code, "page": page }));
    Ok(Exit::Done)
}

/// The first line of a page, without its mark.
fn title(page: &str) -> &str {
    let first = page.lines().next().unwrap_or_default();
    first
        .trim_start_matches('#')
        .trim()
        .split_once(": ")
        .map_or(first, |(_, title)| title)
}
