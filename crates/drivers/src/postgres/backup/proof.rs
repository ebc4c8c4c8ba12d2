//! Proof that a restored folder is a database: it boots, its pages and indexes are sound, its own questions are answered.
//! Must not know where the folder came from.

use std::{path::Path, time::Duration};

use mainstay_driver::Cause;
use tokio_postgres::SimpleQueryMessage;

use super::{
    super::session::describe,
    bring::{note, place, sweep_left},
    scratch::Scratch,
    store::Store,
    wait::wait,
};
use crate::shared::{lasting, passing};

/// How long a server may take to boot, recovery included.
const BOOT: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(30);
/// Reading everything may take long.
const READ: Duration = Duration::from_secs(24 * 3600);

/// Lets a folder pass its checks. Blocks; leaves nothing running. Answers the names of those that passed.
pub(super) fn prove(store: &Store, folder: &Path) -> Result<Vec<String>, Cause> {
    sweep_left(&store.instance)?;
    let place = place(store, folder)?;
    let mut passed = note(folder).map(|note| note.checks).unwrap_or_default();
    wait(async {
        let mut server = place.start(&[]).await?;
        boot(&mut server).await?;
        passed.push("boots".to_owned());
        passed.push(sound(&server).await?.to_owned());
        for question in &store.instance.options.checks {
            ask(&server, question).await?;
            passed.push(question.clone());
        }
        server.stop()
    })?;
    Ok(passed)
}

fn no(what: String) -> Cause {
    lasting("check-failed", what)
}

async fn boot(server: &mut Scratch) -> Result<(), Cause> {
    let deadline = std::time::Instant::now() + BOOT;
    loop {
        if let Ok(client) = server.connect(server.database()).await
            && client.simple_query("SELECT 1").await.is_ok()
        {
            return Ok(());
        }
        if !matches!(server.ended(), Ok(None)) {
            return Err(no(format!("it does not boot: {}", server.last_words())));
        }
        if std::time::Instant::now() > deadline {
            return Err(passing("check-failed", "it takes no connections"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// PostgreSQL's own checker, else reading every row of every database.
async fn sound(server: &Scratch) -> Result<&'static str, Cause> {
    let access = server.arguments();
    let access: Vec<&str> = access.iter().map(String::as_str).collect();
    let programs = server.programs();
    if programs.has("pg_amcheck") && has_extension(server).await {
        let args = [&access[..], &["--all", "--install-missing", "--jobs=2"]].concat();
        let done = programs.run("pg_amcheck", &args, None, READ).await;
        return done.map(|_| "pg_amcheck").map_err(|cause| no(cause.what));
    }
    let args = [&access[..], &["--file=/dev/null"]].concat();
    let done = programs.run("pg_dumpall", &args, None, READ).await;
    done.map(|_| "pg_dumpall").map_err(|cause| no(cause.what))
}

async fn has_extension(server: &Scratch) -> bool {
    let sql = "SELECT 1 FROM pg_available_extensions WHERE name = 'amcheck'";
    match server.connect(server.database()).await {
        Ok(client) => client
            .query_opt(sql, &[])
            .await
            .is_ok_and(|row| row.is_some()),
        Err(_) => false,
    }
}

/// A question is answered well by a first row that begins with something other than null, false, 0 or nothing.
async fn ask(server: &Scratch, question: &str) -> Result<(), Cause> {
    let failed = |why: String| no(format!("{question}: {why}"));
    let client = server.connect(server.database()).await.map_err(failed)?;
    let answers = client.simple_query(question).await;
    let answers = answers.map_err(|error| failed(describe(&error)))?;
    let first = answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("")),
        _ => None,
    });
    match first {
        Some("" | "f" | "0") | None => Err(failed("it does not hold".to_owned())),
        Some(_) => Ok(()),
    }
}
