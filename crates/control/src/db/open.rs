//! Opens a database: pragmas, whose it is, which version, and whether its pages are whole.
//! Must not know what the tables mean.

use std::{path::Path, time::Duration};

use rusqlite::Connection;

use super::DbError;

/// A versioned schema. Version n is reached by running `migrations[n - 1]`; migrations only ever get appended.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Marks the file as ours and as of this sort (`PRAGMA application_id`).
    pub application: i32,
    /// The statements of each version.
    pub migrations: &'static [&'static str],
}

/// Whether commits are made slower than they are, to measure what a slow disk would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SlowSync {
    /// As fast as the disk is.
    #[default]
    No,
    /// Every commit takes so much longer.
    By(Duration),
}

/// A connection for the writer: the schema is brought up to date.
pub(super) fn writer(path: &Path, schema: Schema) -> Result<Connection, DbError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| DbError::Io {
            path: folder.to_path_buf(),
            source,
        })?;
    }
    let mut connection = connect(path)?;
    check(path, &connection)?;
    migrate(path, &mut connection, schema)?;
    Ok(connection)
}

/// A connection with the pragmas that every connection needs.
pub(super) fn connect(path: &Path) -> Result<Connection, DbError> {
    let sql = |source| DbError::sql(path, source);
    let connection = Connection::open(path).map_err(sql)?;
    connection
        .busy_timeout(Duration::from_secs(10))
        .map_err(sql)?;
    connection
        .pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
        .map_err(sql)?;
    connection
        .pragma_update(None, "synchronous", "full")
        .map_err(sql)?;
    connection
        .pragma_update(None, "foreign_keys", true)
        .map_err(sql)?;
    Ok(connection)
}

/// Torn or overwritten pages are found before anything is believed.
fn check(path: &Path, connection: &Connection) -> Result<(), DbError> {
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|source| DbError::sql(path, source))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(DbError::Damaged {
        path: path.to_path_buf(),
        what: verdict,
    })
}

fn migrate(path: &Path, connection: &mut Connection, schema: Schema) -> Result<(), DbError> {
    let sql = |source| DbError::sql(path, source);
    let transaction = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(sql)?;
    let pragma = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = pragma("application_id").map_err(sql)?;
    let found = pragma("user_version").map_err(sql)?;
    if application != i64::from(schema.application) && (application != 0 || found != 0) {
        return Err(DbError::Foreign {
            path: path.to_path_buf(),
        });
    }
    let known = i64::try_from(schema.migrations.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(DbError::Newer {
            path: path.to_path_buf(),
            found,
            known,
        });
    }
    if found < known {
        for migration in schema
            .migrations
            .iter()
            .skip(usize::try_from(found).unwrap_or(0))
        {
            transaction.execute_batch(migration).map_err(sql)?;
        }
        transaction
            .pragma_update(None, "application_id", schema.application)
            .map_err(sql)?;
        transaction
            .pragma_update(None, "user_version", known)
            .map_err(sql)?;
    }
    transaction.commit().map_err(sql)
}
