//! The two databases behind one interface: what is written and read, and who does it. The rules of
//! ownership are the gate's; each engine only has to check them inside its transaction.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::attachments::Attachment;
use super::gate::Refusal;
use super::ids::{OrderId, Tenant, tenant_name};
use super::lease::LeaseHolder;
use super::mark::MarkReading;
use super::options::DatabaseUrl;
use super::{postgres, sqlite};
use crate::error::PartError;

/// An order as a site's database holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredOrder {
    /// The tenant it belongs to.
    pub tenant: String,
    /// Its id within the tenant.
    pub id: String,
    /// The client's text.
    pub body: String,
    /// The attachment's path within the attachments' folder.
    pub attachment: String,
    /// SHA-256 of the attachment, in lower-case hexadecimal.
    pub attachment_sha256: String,
    /// Length of the attachment in bytes.
    pub attachment_bytes: u64,
    /// When it was accepted, in microseconds since the epoch by the service's clock.
    pub created_us: u64,
    /// The site that accepted it.
    pub site: String,
    /// The store's epoch when it was accepted.
    pub epoch: u64,
}

/// Which order: its tenant and its id.
pub(crate) type OrderKey = (String, String);

/// An order to be written; its attachment is on disk already.
#[derive(Debug, Clone)]
pub(crate) struct NewOrder {
    pub(crate) tenant: Tenant,
    pub(crate) id: OrderId,
    pub(crate) body: String,
    pub(crate) attachment: Attachment,
}

/// One write of a batch.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    /// A client's order.
    Order(NewOrder),
    /// One run of the scheduler's background job.
    Tick {
        /// Who ran it.
        by: String,
    },
    /// An order whose attachment did not survive the loss of a site.
    Lost(OrderKey),
    /// Nothing is written; everything that a write needs is tried.
    Probe,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is new and durable.
    Created,
    /// The same write was there already.
    AlreadyThere,
    /// The id is taken by different content.
    Conflict,
}

/// On whose behalf a batch is written.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    pub(crate) site: String,
    pub(crate) lease: LeaseHolder,
}

/// How many rows a database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) tenants: u64,
    pub(crate) orders: u64,
    pub(crate) job_runs: u64,
}

/// Which orders to read.
#[derive(Debug, Clone)]
pub(crate) enum Which {
    All,
    Of(Tenant),
    One(Tenant, OrderId),
}

/// An open connection of the owner.
#[derive(Debug)]
pub(crate) enum Session {
    Sqlite(sqlite::Session),
    Postgres(postgres::Session),
}

impl Session {
    /// Opens the database for writing.
    pub(crate) async fn open(url: &DatabaseUrl) -> Result<Self, Refusal> {
        match url {
            DatabaseUrl::Sqlite(path) => {
                let path = path.clone();
                blocking(move || sqlite::Session::open(&path))
                    .await
                    .map(Self::Sqlite)
            }
            DatabaseUrl::Postgres(url) => postgres::Session::open(url).await.map(Self::Postgres),
        }
    }

    /// Writes a batch in one transaction, or nothing of it. Gives the session back when it can be
    /// used again.
    pub(crate) async fn write(
        self,
        by: &Writer,
        batch: Vec<Write>,
    ) -> (Option<Self>, Result<Vec<Written>, Refusal>) {
        match self {
            Self::Sqlite(mut session) => {
                let by = by.clone();
                let done = tokio::task::spawn_blocking(move || {
                    let result = session.write(&by, &batch);
                    (session, result)
                });
                match done.await {
                    Ok((session, result)) => {
                        let session = result.is_ok().then_some(Self::Sqlite(session));
                        (session, result)
                    }
                    Err(error) => (None, Err(Refusal::Database(error.to_string()))),
                }
            }
            Self::Postgres(mut session) => {
                let result = session.write(by, &batch).await;
                let session = result.is_ok().then_some(Self::Postgres(session));
                (session, result)
            }
        }
    }
}

/// Looks at the mark again and again, as cheaply as the engine allows.
#[derive(Debug)]
pub(crate) enum MarkReader {
    Sqlite(std::path::PathBuf),
    Postgres(postgres::MarkReader),
}

impl MarkReader {
    /// A reader of the mark in `url`. Opens nothing yet.
    pub(crate) fn new(url: &DatabaseUrl) -> Self {
        match url {
            DatabaseUrl::Sqlite(path) => Self::Sqlite(path.clone()),
            DatabaseUrl::Postgres(url) => Self::Postgres(postgres::MarkReader::new(url)),
        }
    }

    /// One fresh look.
    pub(crate) async fn read(&mut self) -> MarkReading {
        match self {
            Self::Sqlite(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || sqlite::read_mark(&path));
                read.await
                    .unwrap_or_else(|error| MarkReading::Unreadable(error.to_string()))
            }
            Self::Postgres(reader) => reader.read().await,
        }
    }
}

/// Reads orders, by tenant and id.
pub(crate) async fn orders(url: &DatabaseUrl, which: Which) -> Result<Vec<StoredOrder>, Refusal> {
    match url {
        DatabaseUrl::Sqlite(path) => {
            let path = path.clone();
            blocking(move || sqlite::orders(&path, &which)).await
        }
        DatabaseUrl::Postgres(url) => postgres::orders(url, &which).await,
    }
}

/// The orders that are known to have lost their attachment.
pub(crate) async fn known_lost(url: &DatabaseUrl) -> Result<BTreeSet<OrderKey>, Refusal> {
    match url {
        DatabaseUrl::Sqlite(path) => {
            let path = path.clone();
            blocking(move || sqlite::known_lost(&path)).await
        }
        DatabaseUrl::Postgres(url) => postgres::known_lost(url).await,
    }
}

/// Counts the rows of each table.
pub(crate) async fn counts(url: &DatabaseUrl) -> Result<Counts, Refusal> {
    match url {
        DatabaseUrl::Sqlite(path) => {
            let path = path.clone();
            blocking(move || sqlite::counts(&path)).await
        }
        DatabaseUrl::Postgres(url) => postgres::counts(url).await,
    }
}

/// Every order that a site's database holds, by tenant and id. Reads only.
pub async fn stored_orders(url: &DatabaseUrl) -> Result<Vec<StoredOrder>, PartError> {
    orders(url, Which::All)
        .await
        .map_err(|refusal| PartError::Database(refusal.detail().unwrap_or("unreadable").to_owned()))
}

/// Creates the application's tables and its tenants at the first site. Safe to repeat. The mark is
/// the driver's: without it the service serves no writes.
pub async fn init(url: &DatabaseUrl, tenants: u16) -> Result<(), PartError> {
    let names: Vec<Tenant> = (1..=tenants).map(tenant_name).collect();
    let done = match url {
        DatabaseUrl::Sqlite(path) => {
            let path = path.clone();
            blocking(move || sqlite::init(&path, &names)).await
        }
        DatabaseUrl::Postgres(url) => postgres::init(url, &names).await,
    };
    done.map_err(|refusal| PartError::Database(refusal.detail().unwrap_or("unusable").to_owned()))
}

/// What a broken release does: deletes every order. How many those were.
pub async fn destroy(url: &DatabaseUrl) -> Result<u64, PartError> {
    let done = match url {
        DatabaseUrl::Sqlite(path) => {
            let path = path.clone();
            blocking(move || sqlite::destroy(&path)).await
        }
        DatabaseUrl::Postgres(url) => postgres::destroy(url).await,
    };
    done.map_err(|refusal| PartError::Database(refusal.detail().unwrap_or("unusable").to_owned()))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Refusal::Database(error.to_string())))
}
