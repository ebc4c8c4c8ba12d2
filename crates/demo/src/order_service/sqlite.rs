//! The order service on SQLite. The owner keeps one connection; everyone else looks through fresh
//! read-only ones, because a replica's file is replaced by rename under the same path.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};

use super::database::{Counts, NewOrder, OrderKey, StoredOrder, Which, Write, Writer, Written};
use super::gate::{Refusal, admit};
use super::ids::Tenant;
use super::mark::{Mark, MarkReading};
use crate::clock::now_us;

/// How long a statement waits for another replica's transaction.
const BUSY: Duration = Duration::from_millis(900);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS tenants (id TEXT PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS orders (
  tenant TEXT NOT NULL REFERENCES tenants(id),
  id TEXT NOT NULL,
  body TEXT NOT NULL,
  attachment TEXT NOT NULL,
  attachment_sha256 TEXT NOT NULL,
  attachment_bytes INTEGER NOT NULL,
  created_us INTEGER NOT NULL,
  site TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT;
CREATE TABLE IF NOT EXISTS job_runs (
  run INTEGER PRIMARY KEY AUTOINCREMENT,
  by_whom TEXT NOT NULL,
  at_us INTEGER NOT NULL,
  site TEXT NOT NULL,
  epoch INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS lost_attachments (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  noted_us INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT;";

const ORDER_COLUMNS: &str = "tenant, id, body, attachment, attachment_sha256, attachment_bytes, \
                             created_us, site, epoch";

/// The owner's connection, and which file it is.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    path: PathBuf,
    file: (u64, u64),
}

impl Session {
    pub(crate) fn open(path: &Path) -> Result<Self, Refusal> {
        let file = identity(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(refused)?;
        settle(&connection)?;
        Ok(Self {
            connection,
            path: path.to_path_buf(),
            file,
        })
    }

    pub(crate) fn write(&mut self, by: &Writer, batch: &[Write]) -> Result<Vec<Written>, Refusal> {
        if identity(&self.path)? != self.file {
            return Err(Refusal::Database(
                "the database file was replaced".to_owned(),
            ));
        }
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(refused)?;
        let epoch = admit(&mark(&transaction), &by.site, &by.lease)?;
        let mut results = Vec::with_capacity(batch.len());
        for write in batch {
            results.push(match write {
                Write::Order(order) => insert_order(&transaction, order, &by.site, epoch)?,
                Write::Tick { by: whom } => insert_tick(&transaction, whom, &by.site, epoch)?,
                Write::Lost(order) => insert_lost(&transaction, order, epoch)?,
                Write::Probe => Written::AlreadyThere,
            });
        }
        if !by.lease.covers(epoch) {
            return Err(Refusal::NoLease);
        }
        transaction.commit().map_err(refused)?;
        // A commit that outlived the lease may be durable here, but it must not be acknowledged:
        // the grantor may have promised the store to another site in the meantime.
        if by.lease.covers(epoch) {
            Ok(results)
        } else {
            Err(Refusal::NoLease)
        }
    }
}

fn insert_order(
    connection: &Connection,
    order: &NewOrder,
    site: &str,
    epoch: u64,
) -> Result<Written, Refusal> {
    let sql = "INSERT INTO orders (tenant, id, body, attachment, attachment_sha256, \
               attachment_bytes, created_us, site, epoch) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9) \
               ON CONFLICT DO NOTHING";
    let inserted = connection
        .prepare_cached(sql)
        .and_then(|mut insert| {
            insert.execute(params![
                order.tenant.as_str(),
                order.id.as_str(),
                order.body,
                order.attachment.path,
                order.attachment.sha256,
                column(order.attachment.bytes),
                column(now_us()),
                site,
                column(epoch),
            ])
        })
        .map_err(refused)?;
    if inserted == 1 {
        return Ok(Written::Created);
    }
    let sql = "SELECT body = ?3 AND attachment_sha256 = ?4 FROM orders WHERE tenant=?1 AND id=?2";
    let same: bool = connection
        .query_row(
            sql,
            params![
                order.tenant.as_str(),
                order.id.as_str(),
                order.body,
                order.attachment.sha256
            ],
            |row| row.get(0),
        )
        .map_err(refused)?;
    Ok(if same {
        Written::AlreadyThere
    } else {
        Written::Conflict
    })
}

fn insert_tick(
    connection: &Connection,
    whom: &str,
    site: &str,
    epoch: u64,
) -> Result<Written, Refusal> {
    let sql = "INSERT INTO job_runs (by_whom, at_us, site, epoch) VALUES (?1, ?2, ?3, ?4)";
    connection
        .prepare_cached(sql)
        .and_then(|mut insert| insert.execute(params![whom, column(now_us()), site, column(epoch)]))
        .map_err(refused)?;
    Ok(Written::Created)
}

fn insert_lost(
    connection: &Connection,
    (tenant, id): &OrderKey,
    epoch: u64,
) -> Result<Written, Refusal> {
    let sql = "INSERT INTO lost_attachments (tenant, id, noted_us, epoch) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT DO NOTHING";
    let inserted = connection
        .prepare_cached(sql)
        .and_then(|mut insert| insert.execute(params![tenant, id, column(now_us()), column(epoch)]))
        .map_err(refused)?;
    Ok(if inserted == 1 {
        Written::Created
    } else {
        Written::AlreadyThere
    })
}

pub(crate) fn known_lost(path: &Path) -> Result<BTreeSet<OrderKey>, Refusal> {
    let connection = open_read_only(path)?;
    let mut statement = connection
        .prepare("SELECT tenant, id FROM lost_attachments")
        .map_err(refused)?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(refused)?;
    rows.collect::<rusqlite::Result<_>>().map_err(refused)
}

pub(crate) fn read_mark(path: &Path) -> MarkReading {
    match open_read_only(path) {
        Ok(connection) => mark(&connection),
        Err(refusal) => {
            MarkReading::Unreadable(refusal.detail().unwrap_or("unreadable").to_owned())
        }
    }
}

/// Reads the mark through `connection`, within its transaction where there is one.
fn mark(connection: &Connection) -> MarkReading {
    match query_mark(connection) {
        Ok(Some(Ok(mark))) => MarkReading::Present(mark),
        Ok(Some(Err(why))) => MarkReading::Unreadable(why),
        Ok(None) => MarkReading::Absent,
        Err(error) => MarkReading::Unreadable(error.to_string()),
    }
}

fn query_mark(connection: &Connection) -> rusqlite::Result<Option<Result<Mark, String>>> {
    let table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'mainstay_mark'";
    if connection
        .query_row(table, [], |_| Ok(()))
        .optional()?
        .is_none()
    {
        return Ok(None);
    }
    let sql = "SELECT epoch, owner, run, state FROM mainstay_mark WHERE id = 1";
    connection
        .query_row(sql, [], |row| {
            let state: String = row.get(3)?;
            Ok(Mark::from_row(
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                &state,
            ))
        })
        .optional()
}

pub(crate) fn orders(path: &Path, which: &Which) -> Result<Vec<StoredOrder>, Refusal> {
    let connection = open_read_only(path)?;
    let (filter, arguments): (_, Vec<&str>) = match which {
        Which::All => ("", vec![]),
        Which::Of(tenant) => ("WHERE tenant = ?1", vec![tenant.as_str()]),
        Which::One(tenant, id) => (
            "WHERE tenant = ?1 AND id = ?2",
            vec![tenant.as_str(), id.as_str()],
        ),
    };
    let sql = format!("SELECT {ORDER_COLUMNS} FROM orders {filter} ORDER BY tenant, id");
    let mut statement = connection.prepare(&sql).map_err(refused)?;
    let rows = statement
        .query_map(rusqlite::params_from_iter(arguments), stored_order)
        .map_err(refused)?;
    rows.collect::<rusqlite::Result<_>>().map_err(refused)
}

fn stored_order(row: &Row<'_>) -> rusqlite::Result<StoredOrder> {
    let unsigned = |index| Ok::<_, rusqlite::Error>(row.get::<_, i64>(index)?.unsigned_abs());
    Ok(StoredOrder {
        tenant: row.get(0)?,
        id: row.get(1)?,
        body: row.get(2)?,
        attachment: row.get(3)?,
        attachment_sha256: row.get(4)?,
        attachment_bytes: unsigned(5)?,
        created_us: unsigned(6)?,
        site: row.get(7)?,
        epoch: unsigned(8)?,
    })
}

pub(crate) fn counts(path: &Path) -> Result<Counts, Refusal> {
    let connection = open_read_only(path)?;
    let sql = "SELECT (SELECT count(*) FROM tenants), (SELECT count(*) FROM orders), \
               (SELECT count(*) FROM job_runs)";
    connection
        .query_row(sql, [], |row| {
            let unsigned =
                |index| Ok::<_, rusqlite::Error>(row.get::<_, i64>(index)?.unsigned_abs());
            Ok(Counts {
                tenants: unsigned(0)?,
                orders: unsigned(1)?,
                job_runs: unsigned(2)?,
            })
        })
        .map_err(refused)
}

pub(crate) fn init(path: &Path, tenants: &[Tenant]) -> Result<(), Refusal> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Refusal::Database(error.to_string()))?;
    }
    let mut connection = Connection::open(path).map_err(refused)?;
    settle(&connection)?;
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(refused)?;
    transaction.execute_batch(SCHEMA).map_err(refused)?;
    for tenant in tenants {
        transaction
            .execute(
                "INSERT INTO tenants (id) VALUES (?1) ON CONFLICT DO NOTHING",
                [tenant.as_str()],
            )
            .map_err(refused)?;
    }
    transaction.commit().map_err(refused)
}

/// Deletes every order.
pub(crate) fn destroy(path: &Path) -> Result<u64, Refusal> {
    let connection = Connection::open(path).map_err(refused)?;
    settle(&connection)?;
    let deleted = connection.execute("DELETE FROM orders", []);
    deleted.map(|count| count as u64).map_err(refused)
}

/// The settings that an acknowledgement relies on.
fn settle(connection: &Connection) -> Result<(), Refusal> {
    connection.busy_timeout(BUSY).map_err(refused)?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(refused)?;
    if mode != "wal" {
        return Err(Refusal::Database(format!("the journal mode stayed {mode}")));
    }
    connection
        .pragma_update(None, "synchronous", "FULL")
        .map_err(refused)?;
    connection
        .pragma_update(None, "foreign_keys", true)
        .map_err(refused)
}

/// Opens the database without leaving a trace beside it.
///
/// A replica has no write-ahead log and is only ever replaced whole: it is opened as immutable, so
/// that no `-wal` or `-shm` file appears next to it and outlives the rename of its successor.
fn open_read_only(path: &Path) -> Result<Connection, Refusal> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let has_log = fs::metadata(Path::new(&log)).is_ok_and(|log| log.len() > 0);
    let escaped = path
        .to_string_lossy()
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    let uri = if has_log {
        format!("file:{escaped}?mode=ro")
    } else {
        format!("file:{escaped}?mode=ro&immutable=1")
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags).map_err(refused)?;
    connection.busy_timeout(BUSY).map_err(refused)?;
    Ok(connection)
}

/// Device and inode: a replaced file keeps its path and changes these.
fn identity(path: &Path) -> Result<(u64, u64), Refusal> {
    fs::metadata(path)
        .map(|file| (file.dev(), file.ino()))
        .map_err(|error| Refusal::Database(error.to_string()))
}

/// SQLite's integers are signed; what the service stores never needs the top bit.
fn column(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A seal is enforced by triggers that abort the statement: that is a refusal, not a fault.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn refused(error: rusqlite::Error) -> Refusal {
    match error.sqlite_error().map(|error| error.extended_code) {
        Some(rusqlite::ffi::SQLITE_CONSTRAINT_TRIGGER) => Refusal::Sealed,
        _ => Refusal::Database(error.to_string()),
    }
}
