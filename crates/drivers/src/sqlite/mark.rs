//! The ownership mark and the seal, kept in the database itself, so that both change in one transaction.
//! Must not know when they may change.

use mainstay_model::{Epoch, Mark, RunId, SiteId};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::shared::{Marked, State};

/// The mark's table. Its shape is public: an application may read it before it writes.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS mainstay_mark (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  epoch INTEGER NOT NULL,
  owner TEXT NOT NULL,
  run TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'sealed', 'replica'))
)";

/// Reads the mark; none where there is no mark yet. A mark that makes no sense is an error.
pub(super) fn read(db: &Connection) -> rusqlite::Result<Option<Marked>> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'mainstay_mark'";
    if db.query_row(table, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let sql = "SELECT epoch, owner, run, state FROM mainstay_mark WHERE id = 1";
    db.query_row(sql, [], |row| {
        let (epoch, owner, run): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let state: String = row.get(3)?;
        Ok(Marked {
            mark: Mark {
                epoch: Epoch(u64::try_from(epoch).map_err(|error| odd(0, error))?),
                owner: SiteId::new(owner).map_err(|error| odd(1, error))?,
                run: RunId::new(run).ok(),
            },
            state: match state.as_str() {
                "open" => State::Open,
                "replica" => State::Replica,
                _ => State::Sealed,
            },
        })
    })
    .optional()
}

fn odd(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

/// Writes the mark, within the caller's transaction.
pub(super) fn write(db: &Connection, marked: &Marked) -> rusqlite::Result<()> {
    db.execute_batch(TABLE)?;
    let sql = "INSERT OR REPLACE INTO mainstay_mark (id, epoch, owner, run, state)
               VALUES (1, ?1, ?2, ?3, ?4)";
    let run = marked.mark.run.as_ref().map_or("", RunId::as_str);
    db.execute(
        sql,
        params![
            i64::try_from(marked.mark.epoch.0).unwrap_or(i64::MAX),
            marked.mark.owner.as_str(),
            run,
            word(marked.state),
        ],
    )?;
    Ok(())
}

fn word(state: State) -> &'static str {
    match state {
        State::Open => "open",
        State::Sealed => "sealed",
        State::Replica => "replica",
    }
}

/// The application's tables, by name; virtual tables store through tables of their own, which are in the list.
pub(super) fn user_tables(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0
               AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'mainstay\\_%' ESCAPE '\\'
               ORDER BY name";
    db.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

const WRITES: [&str; 3] = ["INSERT", "UPDATE", "DELETE"];

fn trigger(table: &str, write: &str) -> String {
    format!("mainstay_seal_{}_{table}", write.to_lowercase())
}

/// Makes every application write fail from this transaction's commit on.
pub(super) fn seal(db: &Connection) -> rusqlite::Result<()> {
    for table in user_tables(db)? {
        for write in WRITES {
            db.execute_batch(&format!(
                "CREATE TRIGGER IF NOT EXISTS {} BEFORE {write} ON {} \
                 BEGIN SELECT RAISE(ABORT, 'sealed by mainstay'); END",
                quoted(&trigger(&table, write)),
                quoted(&table),
            ))?;
        }
    }
    Ok(())
}

/// Lets application writes through again from this transaction's commit on.
pub(super) fn unseal(db: &Connection) -> rusqlite::Result<()> {
    for name in triggers(db)? {
        db.execute_batch(&format!("DROP TRIGGER IF EXISTS {}", quoted(&name)))?;
    }
    Ok(())
}

/// Whether every application table refuses every write. A mark that says so is not enough.
pub(super) fn is_sealed(db: &Connection) -> rusqlite::Result<bool> {
    let triggers = triggers(db)?;
    Ok(user_tables(db)?.iter().all(|table| {
        WRITES
            .iter()
            .all(|write| triggers.contains(&trigger(table, write)))
    }))
}

fn triggers(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'trigger'
               AND name LIKE 'mainstay\\_seal\\_%' ESCAPE '\\'";
    db.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

/// An SQL identifier, quoted.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
