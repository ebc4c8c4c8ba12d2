//! Saves what only this site has before the site is made a copy: the whole database, and a list of the rows that
//! the owner lacks.
//! Must not know what the rows mean.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use mainstay_driver::ActError;
use mainstay_model::{Output, Position, SiteId};
use rusqlite::{Connection, backup::Backup, types::ValueRef};
use serde::Serialize;

use super::{
    digest::digest,
    mark::{quoted, user_tables},
    open::{to_create, to_look},
    own::Ours,
};
use crate::shared::{hindered, now, refused, sync_folder};

/// The version of the manifest.
const VERSION: u32 = 1;

/// What is in a salvage folder.
#[derive(Debug, Serialize)]
struct Manifest<'a> {
    version: u32,
    store: &'a str,
    site: &'a SiteId,
    owner: &'a SiteId,
    run: &'a str,
    at_us: i64,
    digest: &'a str,
    rows: u64,
}

/// Saves into `folder`, which appears whole or not at all; one that is there already is the answer.
pub(super) fn salvage(
    ours: &Ours<'_>,
    store: &str,
    owner: (&SiteId, &Path),
    folder: &Path,
) -> Result<Output, ActError> {
    let _lock = ours.lock()?;
    if let Some(saved) = saved(folder) {
        return Ok(saved);
    }
    if fs::metadata(ours.path).map_or(0, |file| file.len()) == 0 {
        return Ok(Output::default());
    }
    let temporary = folder.with_extension("unfinished");
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        hindered("salvage-failed", format!("{what}: {error}"))
    };
    if temporary.exists() {
        fs::remove_dir_all(&temporary).map_err(|e| failed("remove an unfinished one", &e))?;
    }
    fs::create_dir_all(&temporary).map_err(|error| failed("create the folder", &error))?;
    let digest = whole(ours.path, &temporary.join("database.db"))
        .map_err(|error| failed("copy the database", &error))?;
    if !owner.1.exists() {
        return Err(refused(
            "source-unreachable",
            format!("the owner's database {} is not there", owner.1.display()),
        ));
    }
    let rows = missing_rows(&temporary, owner.1).map_err(|e| failed("compare the rows", &e))?;
    let manifest = Manifest {
        version: VERSION,
        store,
        site: ours.asker.site,
        owner: owner.0,
        run: ours.asker.run.as_str(),
        at_us: now().0,
        digest: &digest,
        rows,
    };
    let summary = format!("{digest} {rows}");
    finish(&temporary, folder, &manifest, &summary)
        .map_err(|error| failed("finish the salvage", &error))?;
    Ok(output(folder, &summary))
}

/// What was saved there, if it is.
pub(super) fn saved(folder: &Path) -> Option<Output> {
    let summary = fs::read_to_string(folder.join("summary")).ok()?;
    Some(output(folder, &summary))
}

fn output(folder: &Path, summary: &str) -> Output {
    let (digest, rows) = summary.split_once(' ').unwrap_or((summary, "0"));
    Output {
        position: Some(Position::Digest(digest.to_owned())),
        values: [
            ("salvage".to_owned(), folder.display().to_string()),
            ("rows".to_owned(), rows.to_owned()),
            ("digest".to_owned(), digest.to_owned()),
        ]
        .into(),
    }
}

/// Copies the database as it is, checks the copy, and gives its digest if it equals the original's.
fn whole(from: &Path, to: &Path) -> rusqlite::Result<String> {
    let source = to_look(from)?;
    source.execute_batch("BEGIN")?;
    let mut held = to_create(to)?;
    Backup::new(&source, &mut held.db)?.step(-1)?;
    held.db
        .query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    let answer: String = held
        .db
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    let saved = digest(&held.db)?;
    if answer == "ok" && saved == digest(&source)? {
        return Ok(saved);
    }
    let damaged = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(damaged, Some(answer)))
}

/// Why the rows could not be listed.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Writes every row of the saved database that the owner does not have, as one JSON object a line.
fn missing_rows(folder: &Path, owner: &Path) -> Result<u64, ListError> {
    let saved = to_look(&folder.join("database.db"))?;
    let theirs = to_look(owner)?;
    let copy = folder.join("owner.db");
    // A snapshot of the owner that both statements read, without holding up its application.
    Backup::new(&theirs, &mut to_create(&copy)?.db)?.step(-1)?;
    saved.execute("ATTACH ?1 AS theirs", [path_text(&copy)])?;
    let mut file = BufWriter::new(File::create(folder.join("rows.jsonl"))?);
    let mut count = 0;
    for table in user_tables(&saved)? {
        count += missing_of(&saved, &table, &mut file)?;
    }
    file.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()?;
    saved.execute_batch("DETACH theirs")?;
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(super::open::beside(&copy, suffix));
    }
    Ok(count)
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn missing_of(db: &Connection, table: &str, file: &mut impl io::Write) -> Result<u64, ListError> {
    let name = quoted(table);
    let all = format!("SELECT * FROM main.{name}");
    let lacking = format!("{all} EXCEPT SELECT * FROM theirs.{name}");
    // A table that the owner does not have, or has with other columns, is listed whole.
    let mut statement = db.prepare(&lacking).or_else(|_| db.prepare(&all))?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let mut values = serde_json::Map::new();
        for (index, column) in columns.iter().enumerate() {
            values.insert(column.clone(), json(row.get_ref(index)?));
        }
        let line = serde_json::json!({ "table": table, "row": values });
        serde_json::to_writer(&mut *file, &line)?;
        file.write_all(b"\n")?;
        count += 1;
    }
    Ok(count)
}

fn json(value: ValueRef<'_>) -> serde_json::Value {
    match value {
        ValueRef::Null => serde_json::Value::Null,
        ValueRef::Integer(value) => value.into(),
        ValueRef::Real(value) => value.into(),
        ValueRef::Text(value) => String::from_utf8_lossy(value).into(),
        ValueRef::Blob(value) => serde_json::json!({ "hex": hex::encode(value) }),
    }
}

fn finish(
    temporary: &Path,
    folder: &Path,
    manifest: &Manifest<'_>,
    summary: &str,
) -> io::Result<()> {
    for (name, content) in [
        ("manifest.json", serde_json::to_vec_pretty(manifest)?),
        ("summary", summary.as_bytes().to_vec()),
    ] {
        let mut file = File::create(temporary.join(name))?;
        file.write_all(&content)?;
        file.sync_all()?;
    }
    File::open(temporary.join("database.db"))?.sync_all()?;
    sync_folder(temporary)?;
    fs::rename(temporary, folder)?;
    let above: Option<PathBuf> = folder.parent().map(Path::to_path_buf);
    above.map_or(Ok(()), |above| sync_folder(&above))
}
