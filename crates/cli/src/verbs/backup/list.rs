//! `mainstay backup list`: the restore points there are.

use clap::Args;
use mainstay_control::backups::Point;

use super::shared::{failed, repositories, short, trust, vault};
use crate::{
    error::{Exit, Failure},
    output::Output,
    session::Session,
};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those of this store.
    #[arg(value_name = "STORE")]
    store: Option<String>,
    /// Only those in this repository.
    #[arg(long, value_name = "REPOSITORY")]
    from: Option<String>,
    /// Also the pieces of logs between them.
    #[arg(long)]
    logs: bool,
}

pub(super) async fn run(args: &ListArgs, session: &Session, out: &Output) -> Result<Exit, Failure> {
    let store = args.store.as_deref();
    let store = store
        .map(|name| session.context().component(name))
        .transpose()?;
    let mut all: Vec<Point> = Vec::new();
    for name in repositories(session, args.from.as_deref())? {
        let vault = vault(session, &name).await?;
        all.extend(vault.points(&session.desk).await.map_err(failed)?);
    }
    all.retain(|point| store.as_ref().is_none_or(|store| point.store == *store));
    let logs = all.iter().filter(|point| point.log).count();
    all.retain(|point| args.logs || !point.log);
    if all.is_empty() {
        out.line("no restore points yet: `mainstay backup run` makes one");
    }
    let width = all.iter().map(|point| point.store.as_str().len()).max();
    for point in &all {
        out.line(format!(
            "{}  {}  {:<width$}  from {}, in {}  {}{}",
            short(&point.id),
            point.taken,
            point.store.as_str(),
            point.site,
            point.repository,
            if point.log { "log  " } else { "" },
            trust(point, out),
            width = width.unwrap_or(0),
        ));
    }
    if logs > 0 && !args.logs {
        out.line(format!("and {logs} pieces of logs between them (`--logs`)"));
    }
    out.value(&all);
    Ok(Exit::Done)
}
