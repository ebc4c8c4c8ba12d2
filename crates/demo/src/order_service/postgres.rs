//! The order service on PostgreSQL. The mark is read inside each write's transaction under a row
//! lock, so that whoever seals the store waits for the transactions that began before.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row, Transaction};

use super::database::{Counts, NewOrder, OrderKey, StoredOrder, Which, Write, Writer, Written};
use super::gate::{Refusal, admit};
use super::ids::Tenant;
use super::mark::{Mark, MarkReading};
use crate::clock::now_us;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(1);
/// Longest wait for one batch. A commit that waits for a lost standby must not block for ever.
const BATCH: Duration = Duration::from_secs(3);
/// Longest wait for a read.
const READ: Duration = Duration::from_secs(10);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS tenants (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS orders (
  tenant TEXT NOT NULL REFERENCES tenants(id),
  id TEXT NOT NULL,
  body TEXT NOT NULL,
  attachment TEXT NOT NULL,
  attachment_sha256 TEXT NOT NULL,
  attachment_bytes BIGINT NOT NULL,
  created_us BIGINT NOT NULL,
  site TEXT NOT NULL,
  epoch BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE TABLE IF NOT EXISTS job_runs (
  run BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  by_whom TEXT NOT NULL,
  at_us BIGINT NOT NULL,
  site TEXT NOT NULL,
  epoch BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS lost_attachments (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  noted_us BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
);";

const MARK: &str = "SELECT epoch::bigint, owner, run, state FROM mainstay.mark WHERE id = 1";

/// The owner's connection.
#[derive(Debug)]
pub(crate) struct Session(Client);

impl Session {
    pub(crate) async fn open(url: &str) -> Result<Self, Refusal> {
        connect(url).await.map(Self)
    }

    pub(crate) async fn write(
        &mut self,
        by: &Writer,
        batch: &[Write],
    ) -> Result<Vec<Written>, Refusal> {
        tokio::time::timeout(BATCH, write_batch(&mut self.0, by, batch))
            .await
            .unwrap_or_else(|_| Err(Refusal::Database("the write took too long".to_owned())))
    }
}

async fn write_batch(
    client: &mut Client,
    by: &Writer,
    batch: &[Write],
) -> Result<Vec<Written>, Refusal> {
    let transaction = client.transaction().await.map_err(refused)?;
    let row = match transaction
        .query_opt(&format!("{MARK} FOR SHARE"), &[])
        .await
    {
        Err(error) if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => {
            return Err(refused(error));
        }
        row => row,
    };
    let epoch = admit(&reading(row), &by.site, &by.lease)?;
    let mut results = Vec::with_capacity(batch.len());
    for write in batch {
        results.push(match write {
            Write::Order(order) => insert_order(&transaction, order, &by.site, epoch).await?,
            Write::Tick { by: whom } => insert_tick(&transaction, whom, &by.site, epoch).await?,
            Write::Lost(order) => insert_lost(&transaction, order, epoch).await?,
            Write::Probe => Written::AlreadyThere,
        });
    }
    if !by.lease.covers(epoch) {
        return Err(Refusal::NoLease);
    }
    transaction.commit().await.map_err(refused)?;
    // A commit that outlived the lease must not be acknowledged: the grantor may have promised the
    // store to another site in the meantime.
    if by.lease.covers(epoch) {
        Ok(results)
    } else {
        Err(Refusal::NoLease)
    }
}

async fn insert_order(
    transaction: &Transaction<'_>,
    order: &NewOrder,
    site: &str,
    epoch: u64,
) -> Result<Written, Refusal> {
    let (tenant, id) = (order.tenant.as_str(), order.id.as_str());
    let sha256 = &order.attachment.sha256;
    let inserted = transaction
        .execute(
            "INSERT INTO orders VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9) ON CONFLICT DO NOTHING",
            &[
                &tenant,
                &id,
                &order.body,
                &order.attachment.path,
                sha256,
                &column(order.attachment.bytes),
                &column(now_us()),
                &site,
                &column(epoch),
            ],
        )
        .await
        .map_err(refused)?;
    if inserted == 1 {
        return Ok(Written::Created);
    }
    let sql = "SELECT body = $3 AND attachment_sha256 = $4 FROM orders WHERE tenant=$1 AND id=$2";
    let row = transaction
        .query_one(sql, &[&tenant, &id, &order.body, sha256])
        .await
        .map_err(refused)?;
    let same: bool = row.try_get(0).map_err(refused)?;
    Ok(if same {
        Written::AlreadyThere
    } else {
        Written::Conflict
    })
}

async fn insert_tick(
    transaction: &Transaction<'_>,
    whom: &str,
    site: &str,
    epoch: u64,
) -> Result<Written, Refusal> {
    let sql = "INSERT INTO job_runs (by_whom, at_us, site, epoch) VALUES ($1, $2, $3, $4)";
    transaction
        .execute(sql, &[&whom, &column(now_us()), &site, &column(epoch)])
        .await
        .map_err(refused)?;
    Ok(Written::Created)
}

async fn insert_lost(
    transaction: &Transaction<'_>,
    (tenant, id): &OrderKey,
    epoch: u64,
) -> Result<Written, Refusal> {
    let sql = "INSERT INTO lost_attachments VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    let values: [&(dyn ToSql + Sync); 4] = [tenant, id, &column(now_us()), &column(epoch)];
    let inserted = transaction.execute(sql, &values).await.map_err(refused)?;
    Ok(if inserted == 1 {
        Written::Created
    } else {
        Written::AlreadyThere
    })
}

/// Looks at the mark through one connection, opened anew after every failure.
#[derive(Debug)]
pub(crate) struct MarkReader {
    url: String,
    client: Option<Client>,
}

impl MarkReader {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            client: None,
        }
    }

    pub(crate) async fn read(&mut self) -> MarkReading {
        let client = match self.client.take() {
            Some(client) if !client.is_closed() => client,
            _ => match connect(&self.url).await {
                Ok(client) => client,
                Err(refusal) => {
                    let why = refusal.detail().unwrap_or("unreachable");
                    return MarkReading::Unreadable(why.to_owned());
                }
            },
        };
        let Ok(row) = tokio::time::timeout(CONNECT, client.query_opt(MARK, &[])).await else {
            return MarkReading::Unreadable("the mark's query took too long".to_owned());
        };
        let reading = reading(row);
        if !matches!(reading, MarkReading::Unreadable(_)) {
            self.client = Some(client);
        }
        reading
    }
}

fn reading(row: Result<Option<Row>, tokio_postgres::Error>) -> MarkReading {
    let missing = [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME];
    let row = match row {
        Ok(Some(row)) => row,
        Ok(None) => return MarkReading::Absent,
        Err(error) if error.code().is_some_and(|code| missing.contains(code)) => {
            return MarkReading::Absent;
        }
        Err(error) => return MarkReading::Unreadable(describe(&error)),
    };
    let columns = || {
        let state: String = row.try_get(3)?;
        Ok(Mark::from_row(
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            &state,
        ))
    };
    match columns() {
        Ok(Ok(mark)) => MarkReading::Present(mark),
        Ok(Err(why)) => MarkReading::Unreadable(why),
        Err(error) => MarkReading::Unreadable(describe(&error)),
    }
}

pub(crate) async fn orders(url: &str, which: &Which) -> Result<Vec<StoredOrder>, Refusal> {
    let client = connect(url).await?;
    let columns = "SELECT tenant, id, body, attachment, attachment_sha256, attachment_bytes, \
                   created_us, site, epoch FROM orders";
    let order = "ORDER BY tenant COLLATE \"C\", id COLLATE \"C\"";
    let read = async {
        match which {
            Which::All => client.query(&format!("{columns} {order}"), &[]).await,
            Which::Of(tenant) => {
                let sql = format!("{columns} WHERE tenant = $1 {order}");
                client.query(&sql, &[&tenant.as_str()]).await
            }
            Which::One(tenant, id) => {
                let sql = format!("{columns} WHERE tenant = $1 AND id = $2");
                client.query(&sql, &[&tenant.as_str(), &id.as_str()]).await
            }
        }
    };
    let rows = within(read).await?;
    rows.iter()
        .map(|row| stored_order(row).map_err(refused))
        .collect()
}

fn stored_order(row: &Row) -> Result<StoredOrder, tokio_postgres::Error> {
    let unsigned = |index: usize| row.try_get::<_, i64>(index).map(i64::unsigned_abs);
    Ok(StoredOrder {
        tenant: row.try_get(0)?,
        id: row.try_get(1)?,
        body: row.try_get(2)?,
        attachment: row.try_get(3)?,
        attachment_sha256: row.try_get(4)?,
        attachment_bytes: unsigned(5)?,
        created_us: unsigned(6)?,
        site: row.try_get(7)?,
        epoch: unsigned(8)?,
    })
}

pub(crate) async fn known_lost(url: &str) -> Result<BTreeSet<OrderKey>, Refusal> {
    let client = connect(url).await?;
    let rows = within(client.query("SELECT tenant, id FROM lost_attachments", &[])).await?;
    let keys = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    keys.collect::<Result<_, tokio_postgres::Error>>()
        .map_err(refused)
}

pub(crate) async fn counts(url: &str) -> Result<Counts, Refusal> {
    let client = connect(url).await?;
    let sql = "SELECT (SELECT count(*) FROM tenants), (SELECT count(*) FROM orders), \
               (SELECT count(*) FROM job_runs)";
    let row = within(client.query_one(sql, &[])).await?;
    let unsigned = |index: usize| row.try_get::<_, i64>(index).map(i64::unsigned_abs);
    let counts = || {
        Ok(Counts {
            tenants: unsigned(0)?,
            orders: unsigned(1)?,
            job_runs: unsigned(2)?,
        })
    };
    counts().map_err(refused)
}

pub(crate) async fn init(url: &str, tenants: &[Tenant]) -> Result<(), Refusal> {
    let mut client = connect(url).await?;
    let transaction = client.transaction().await.map_err(refused)?;
    transaction.batch_execute(SCHEMA).await.map_err(refused)?;
    for tenant in tenants {
        let sql = "INSERT INTO tenants (id) VALUES ($1) ON CONFLICT DO NOTHING";
        transaction
            .execute(sql, &[&tenant.as_str()])
            .await
            .map_err(refused)?;
    }
    transaction.commit().await.map_err(refused)
}

/// Deletes every order.
pub(crate) async fn destroy(url: &str) -> Result<u64, Refusal> {
    let client = connect(url).await?;
    within(client.execute("DELETE FROM orders", &[])).await
}

async fn connect(url: &str) -> Result<Client, Refusal> {
    let config: Config = url.parse().map_err(refused)?;
    let connected = within_time(CONNECT, config.connect(NoTls)).await?;
    let (client, connection) = connected;
    // Ends with the client; what went wrong is also returned to whoever awaits a query.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the database connection ended");
        }
    });
    Ok(client)
}

async fn within<T>(
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Refusal> {
    within_time(READ, work).await
}

async fn within_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Refusal> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(refused),
        Err(_) => Err(Refusal::Database(
            "the database did not answer in time".to_owned(),
        )),
    }
}

fn column(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A server that is read-only, by a seal or because it is a standby, is a refusal and no fault.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn refused(error: tokio_postgres::Error) -> Refusal {
    match error.code() {
        Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Refusal::Sealed,
        _ => Refusal::Database(describe(&error)),
    }
}

/// The server's own words: the library's message for them is only "db error".
fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(from_server) => from_server.message().to_owned(),
        None => error.to_string(),
    }
}
