//! Saves what only the old primary has: rows that the owner lacks or has otherwise, and the diverged log, each file
//! hashed and read back. Errs on the side of saving too much. Must not know what becomes of it.

use std::{
    collections::BTreeMap,
    fs, io,
    io::{BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use mainstay_driver::Cause;
use mainstay_model::{Output, RunId, SiteId};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use super::{
    files::Folder,
    instance::{Instance, unreachable},
    job::{Notes, state_failed},
    look::mark,
    mark::failed,
    moves::lsn_text,
};
use crate::shared::{lasting, passing};

/// Rows that are compared at a time.
const BATCH: i64 = 1_000;
/// The version of `manifest.json`.
const VERSION: u32 = 1;

/// What was saved, in `manifest.json` beside it.
#[derive(Debug, Serialize)]
struct Manifest {
    version: u32,
    store: String,
    site: SiteId,
    owner: SiteId,
    run: RunId,
    /// Where the owner's history left ours.
    diverged_at: Option<String>,
    /// How far our log goes.
    ours: String,
    /// Rows per table that the owner lacks, or has with another content.
    rows: BTreeMap<String, u64>,
    /// SHA-256 of each saved file, of the bytes read back.
    files: BTreeMap<String, String>,
}

impl Instance {
    /// The work itself. The cluster is started, sealed, if it does not run.
    pub(super) async fn salvage(
        self,
        owner: SiteId,
        run: RunId,
        notes: Notes,
    ) -> Result<Output, Cause> {
        let server = self.server().await?;
        if !server.folder.is_cluster() {
            return Ok(nothing("there is no cluster here"));
        }
        if server.folder.is_standby() {
            return Ok(nothing("this site is a copy already"));
        }
        notes.say("starting the old primary, sealed");
        server.start().await?;
        let (ours, seen) = self.look_here().await?;
        if !seen.sealed() {
            return Err(lasting(
                "store-open",
                format!("{} is open for writes here: seal it first", self.name),
            ));
        }
        let theirs = self.copier(&owner).await?;
        let theirs = theirs.connect().await.map_err(|e| unreachable(&e))?;
        let stored = mark(&theirs).await.map_err(|e| failed(&e))?;
        if stored.is_none_or(|stored| stored.mark.owner != owner) {
            return Err(passing(
                "source-not-owner",
                format!("{owner} does not own {} yet", self.name),
            ));
        }
        let folder = self.folder_for(&run)?;
        let diverged_at = divergence(&ours, &theirs).await?;
        let rows = save_rows(&ours, &theirs, &folder, &notes).await?;
        let mut manifest = Manifest {
            version: VERSION,
            store: self.name.to_string(),
            site: self.home.site.clone(),
            owner,
            run,
            diverged_at: diverged_at.map(lsn_text),
            ours: lsn_text(seen.lsn),
            rows,
            files: BTreeMap::new(),
        };
        if let Some(lsn) = diverged_at {
            notes.say("keeping the diverged log");
            let timeline = timeline(&ours).await?;
            let kept = keep_log(&server.folder, timeline, lsn, &folder);
            kept.map_err(|e| state_failed(&e))?;
        }
        manifest.files = hash_all(&folder).map_err(|e| state_failed(&e))?;
        finish(&folder, &manifest).map_err(|e| state_failed(&e))
    }

    fn folder_for(&self, run: &RunId) -> Result<PathBuf, Cause> {
        let name = self.name.as_str();
        let folder = self
            .home
            .state
            .join("salvage")
            .join(name)
            .join(run.as_str());
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(|e| state_failed(&e))?;
        Ok(folder)
    }
}

fn nothing(why: &str) -> Output {
    Output {
        position: None,
        values: BTreeMap::from([
            ("rows".to_owned(), "0".to_owned()),
            ("why".to_owned(), why.to_owned()),
        ]),
    }
}

/// The timeline that a primary writes on.
async fn timeline(client: &Client) -> Result<u32, Cause> {
    let sql = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";
    let row = client.query_one(sql, &[]).await.map_err(|e| failed(&e))?;
    let hex: String = row.try_get(0).map_err(|e| failed(&e))?;
    u32::from_str_radix(&hex, 16)
        .map_err(|error| passing("postgres-statement-failed", error.to_string()))
}

/// The position at which the owner left our timeline, from its history file; none when both are on the same.
async fn divergence(ours: &Client, theirs: &Client) -> Result<Option<u64>, Cause> {
    let (here, there) = (timeline(ours).await?, timeline(theirs).await?);
    if here == there {
        return Ok(None);
    }
    let sql = "SELECT convert_from(pg_read_binary_file($1), 'UTF8')";
    let file = format!("pg_wal/{there:08X}.history");
    let row = theirs
        .query_one(sql, &[&file])
        .await
        .map_err(|e| failed(&e))?;
    let history: String = row.try_get(0).map_err(|e| failed(&e))?;
    Ok(left_at(&history, here))
}

/// Finds a timeline's end in a history file: lines of `TIMELINE LSN REASON`.
fn left_at(history: &str, timeline: u32) -> Option<u64> {
    history.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        if words.next()?.parse::<u32>().ok()? != timeline {
            return None;
        }
        let (high, low) = words.next()?.split_once('/')?;
        let high = u64::from_str_radix(high, 16).ok()?;
        Some((high << 32) | u64::from_str_radix(low, 16).ok()?)
    })
}

/// A table, with the columns of its primary key.
struct Table {
    /// Quoted, with its schema.
    name: String,
    /// Quoted; empty when it has no primary key.
    key: Vec<String>,
    /// The owner has it too.
    shared: bool,
}

async fn tables(ours: &Client, theirs: &Client) -> Result<Vec<Table>, Cause> {
    let sql = "SELECT c.oid::regclass::text AS name,
      coalesce((SELECT array_agg(quote_ident(a.attname) ORDER BY array_position(i.indkey::int2[], a.attnum))
        FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
        WHERE i.indrelid = c.oid AND i.indisprimary), '{}') AS key
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname <> 'mainstay'
        AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1";
    // Names come out with their schema when the search path is empty.
    for client in [ours, theirs] {
        client
            .batch_execute("SET search_path = ''")
            .await
            .map_err(|e| failed(&e))?;
    }
    let mut tables = Vec::new();
    for row in ours.query(sql, &[]).await.map_err(|e| failed(&e))? {
        let name: String = row.try_get("name").map_err(|e| failed(&e))?;
        let there = "SELECT to_regclass($1) IS NOT NULL";
        let there = theirs
            .query_one(there, &[&name])
            .await
            .map_err(|e| failed(&e))?;
        tables.push(Table {
            name,
            key: row.try_get("key").map_err(|e| failed(&e))?,
            shared: there.try_get(0).map_err(|e| failed(&e))?,
        });
    }
    Ok(tables)
}

/// Writes the rows that the owner lacks or has otherwise, as JSON lines, and counts them.
async fn save_rows(
    ours: &Client,
    theirs: &Client,
    folder: &Path,
    notes: &Notes,
) -> Result<BTreeMap<String, u64>, Cause> {
    let tables = tables(ours, theirs).await?;
    let file = fs::File::create(folder.join("rows.jsonl")).map_err(|e| state_failed(&e))?;
    let mut out = BufWriter::new(file);
    let mut counts = BTreeMap::new();
    // One snapshot for all tables; new transactions here are read-only anyway.
    ours.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await
        .map_err(|e| failed(&e))?;
    for table in &tables {
        notes.say(&format!("comparing {}", table.name));
        let saved = save_table(ours, theirs, table, &mut out).await?;
        if saved > 0 {
            counts.insert(table.name.clone(), saved);
        }
    }
    ours.batch_execute("COMMIT").await.map_err(|e| failed(&e))?;
    let file = out.into_inner().map_err(|e| state_failed(e.error()))?;
    file.sync_all().map_err(|e| state_failed(&e))?;
    Ok(counts)
}

async fn save_table(
    ours: &Client,
    theirs: &Client,
    table: &Table,
    out: &mut impl Write,
) -> Result<u64, Cause> {
    let object: Vec<String> = table
        .key
        .iter()
        .map(|column| format!("{}, t.{column}", literal(column)))
        .collect();
    let key = if object.is_empty() {
        "NULL::text".to_owned()
    } else {
        format!("jsonb_build_object({})::text", object.join(", "))
    };
    let name = &table.name;
    let cursor = format!(
        "DECLARE salvage NO SCROLL CURSOR FOR
         SELECT {key} AS key, md5(t::text) AS hash, to_jsonb(t)::text AS row FROM {name} t"
    );
    ours.batch_execute(&cursor).await.map_err(|e| failed(&e))?;
    let mut saved = 0;
    loop {
        let rows = ours
            .query(&format!("FETCH {BATCH} FROM salvage"), &[])
            .await;
        let rows = rows.map_err(|e| failed(&e))?;
        if rows.is_empty() {
            break;
        }
        let mut batch = Vec::with_capacity(rows.len());
        for row in &rows {
            let read = |index: usize| {
                row.try_get::<_, Option<String>>(index)
                    .map_err(|e| failed(&e))
            };
            batch.push((
                read(0)?,
                read(1)?.unwrap_or_default(),
                read(2)?.unwrap_or_default(),
            ));
        }
        let known = known_to_owner(theirs, table, &key, &batch).await?;
        for (key, hash, row) in &batch {
            let id = key.as_ref().unwrap_or(hash);
            let why = match known.get(id) {
                Some(theirs) if theirs == hash => continue,
                Some(_) => "differs",
                None => "missing",
            };
            let table = serde_json::Value::String(name.clone());
            let line = format!("{{\"table\":{table},\"why\":\"{why}\",\"row\":{row}}}\n");
            out.write_all(line.as_bytes())
                .map_err(|e| state_failed(&e))?;
            saved += 1;
        }
    }
    ours.batch_execute("CLOSE salvage")
        .await
        .map_err(|e| failed(&e))?;
    Ok(saved)
}

/// Which of these rows the owner has: hashes by key, or by hash where there is no key.
async fn known_to_owner(
    theirs: &Client,
    table: &Table,
    key: &str,
    batch: &[(Option<String>, String, String)],
) -> Result<BTreeMap<String, String>, Cause> {
    if !table.shared {
        return Ok(BTreeMap::new());
    }
    let name = &table.name;
    let rows = if table.key.is_empty() {
        let hashes: Vec<&str> = batch.iter().map(|(_, hash, _)| hash.as_str()).collect();
        let sql = format!(
            "SELECT DISTINCT md5(t::text), md5(t::text) FROM {name} t WHERE md5(t::text) = ANY ($1)"
        );
        theirs.query(&sql, &[&hashes]).await
    } else {
        let keys: Vec<&str> = batch
            .iter()
            .filter_map(|(key, _, _)| key.as_deref())
            .collect();
        let keys = format!("[{}]", keys.join(","));
        let columns = table.key.join(", ");
        let sql = format!(
            "SELECT {key}, md5(t::text) FROM {name} t
             JOIN jsonb_populate_recordset(NULL::{name}, $1::text::jsonb) AS k USING ({columns})"
        );
        theirs.query(&sql, &[&keys]).await
    };
    let mut known = BTreeMap::new();
    for row in rows.map_err(|e| failed(&e))? {
        let key: String = row.try_get(0).map_err(|e| failed(&e))?;
        known.insert(key, row.try_get(1).map_err(|e| failed(&e))?);
    }
    Ok(known)
}

/// A quoted identifier as a string literal with the plain name.
fn literal(identifier: &str) -> String {
    let plain = match identifier
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => identifier.to_owned(),
    };
    format!("'{}'", plain.replace('\'', "''"))
}

/// Copies the log files of our timeline from the divergence on. A name is timeline, then position, in hex.
fn keep_log(folder: &Folder, timeline: u32, from: u64, to: &Path) -> io::Result<()> {
    let log = folder.path.join("pg_wal");
    let mut names: Vec<String> = fs::read_dir(&log)?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.len() == 24 && name.starts_with(&format!("{timeline:08X}")))
        .collect();
    names.sort();
    // The size of a log file is fixed when the cluster is made; the first one tells it.
    let Some(first) = names.first() else {
        return Ok(());
    };
    let size = fs::metadata(log.join(first))?.len().max(1);
    let per_group = (1_u64 << 32) / size;
    let segment = from / size;
    let least = format!(
        "{timeline:08X}{:08X}{:08X}",
        segment / per_group,
        segment % per_group
    );
    for name in names.iter().filter(|name| **name >= least) {
        fs::copy(log.join(name), to.join(name))?;
    }
    Ok(())
}

/// Reads every saved file back.
fn hash_all(folder: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut hashes = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let mut file = fs::File::open(entry.path())?;
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = file.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            digest.update(&buffer[..length]);
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        hashes.insert(name, hex::encode(digest.finalize()));
    }
    Ok(hashes)
}

fn finish(folder: &Path, manifest: &Manifest) -> io::Result<Output> {
    let text = serde_json::to_vec_pretty(manifest)?;
    let mut file = fs::File::create(folder.join("manifest.json"))?;
    file.write_all(&text)?;
    file.sync_all()?;
    let rows: u64 = manifest.rows.values().sum();
    Ok(Output {
        position: None,
        values: BTreeMap::from([
            ("rows".to_owned(), rows.to_string()),
            ("folder".to_owned(), folder.display().to_string()),
            ("manifest".to_owned(), hex::encode(Sha256::digest(&text))),
        ]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_file_says_where_a_timeline_ended() {
        let history = "1\t0/3000148\tno recovery target specified\n\n2\t1/A0\tno recovery target\n";
        assert_eq!(left_at(history, 1), Some(0x0300_0148));
        assert_eq!(left_at(history, 2), Some((1 << 32) | 0xA0));
        assert_eq!(left_at(history, 3), None);
    }

    #[test]
    fn identifiers_become_literals() {
        assert_eq!(literal("id"), "'id'");
        assert_eq!(literal("\"Or\"\"der\""), "'Or\"der'");
        assert_eq!(literal("\"it's\""), "'it''s'");
    }
}
