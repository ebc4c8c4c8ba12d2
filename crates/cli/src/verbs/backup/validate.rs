//! `mainstay backup validate`: is everything that was created since the last time in the backup?

use clap::Args;
use mainstay_control::backups::{BackupsError, Period, validate};
use mainstay_model::{ComponentId, Timestamp};
use serde::Serialize;

use super::shared::{Shown, bytes, failed, stores, vault};
use crate::{
    error::{Exit, Failure},
    output::{Output, Tone},
    session::Session,
};

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// The stores; all that have files if there is no name.
    #[arg(value_name = "STORE")]
    stores: Vec<String>,
    /// Only in this repository.
    #[arg(long, value_name = "REPOSITORY")]
    from: Option<String>,
}

#[derive(Serialize)]
struct Row {
    store: ComponentId,
    repository: String,
    period: Option<Period>,
    error: Option<String>,
}

pub(super) async fn run(
    args: &ValidateArgs,
    session: &Session,
    out: &Output,
) -> Result<Exit, Failure> {
    let mut rows = Vec::new();
    for store in stores(session, &args.stores)? {
        let declared = session.context().plan.stores.get(&store);
        let backups = declared.map_or(&[][..], |store| &store.backup);
        for backup in backups {
            if args
                .from
                .as_ref()
                .is_some_and(|from| *from != backup.to.as_str())
            {
                continue;
            }
            let vault = vault(session, &backup.to).await?;
            let shown = Shown::new(out, format!("comparing {store} with {}", backup.to));
            let done = validate(&session.desk, &vault, &store, &|note| shown.tell(note)).await;
            shown.end();
            // Asked for everything, a database is no failure.
            if matches!(&done, Err(BackupsError::Work(cause)) if cause.code == "not-validated")
                && args.stores.is_empty()
            {
                out.line(format!(
                    "{store}: {}",
                    done.err().map_or_else(String::new, |why| why.to_string())
                ));
                continue;
            }
            rows.push(told(store.clone(), backup.to.to_string(), done, out));
        }
    }
    out.value(&rows);
    let bad = |row: &Row| {
        let missing = row.period.as_ref().map_or(0, |period| period.found.missing);
        row.error.is_some() || missing > 0
    };
    Ok(if rows.iter().any(bad) {
        Exit::Failed
    } else {
        Exit::Done
    })
}

fn told(
    store: ComponentId,
    repository: String,
    done: Result<Period, BackupsError>,
    out: &Output,
) -> Row {
    let mut row = Row {
        store,
        repository,
        period: None,
        error: None,
    };
    match done {
        Ok(period) => {
            print(&row, &period, out);
            row.period = Some(period);
        }
        Err(error) => {
            let why = failed(error);
            let word = out.paint(Tone::Bad, "failed");
            out.line(format!("{word} {}: {}", row.store, why.what));
            if let Some(next) = why.next {
                out.line(format!("  next: {next}"));
            }
            row.error = Some(why.what);
        }
    }
    row
}

fn print(row: &Row, period: &Period, out: &Output) {
    let since = period.since.map_or_else(
        || "everything".to_owned(),
        |since: Timestamp| format!("everything created since {since}"),
    );
    let found = &period.found;
    out.line(format!(
        "{}: {since} and before {}, {} in {} files, compared with {}",
        row.store,
        period.until,
        bytes(found.bytes),
        found.entries,
        row.repository
    ));
    if let Some(receipt) = period.receipt {
        let good = out.paint(Tone::Good, "all of it is there");
        out.line(format!("  {good}, receipt {receipt}"));
        return;
    }
    let word = out.paint(Tone::Bad, "missing");
    out.line(format!("  {word}: {} files", found.missing));
    for missing in &found.first_missing {
        out.line(format!("    {missing}"));
    }
    out.line("  next: `mainstay backup run` makes a new restore point; then validate again");
}
