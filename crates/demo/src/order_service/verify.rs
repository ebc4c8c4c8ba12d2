//! The application's own read-only check: what is in the database, and whether every order's attachment is on disk,
//! except for those that are known to be lost.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::database::{OrderKey, Which, counts, known_lost, orders};
use super::gate::Refusal;
use super::options::DatabaseUrl;

/// How many missing attachments are named.
const NAMED: usize = 20;

/// What the check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Every order's attachment is there, with its length, or is known to be lost.
    pub ok: bool,
    /// Tenants in the database.
    pub tenants: u64,
    /// Orders in the database.
    pub orders: u64,
    /// Runs of the background job.
    pub job_runs: u64,
    /// Orders whose attachment is missing or has another length, and that nobody knows of.
    pub dangling: u64,
    /// The first of them, as `tenant/id`.
    pub examples: Vec<String>,
    /// Orders whose attachment is missing and was recorded as lost with a site.
    pub known_lost: u64,
}

/// Checks one site. Reads only, and needs no ownership.
pub(crate) async fn verify(url: &DatabaseUrl, files: &Path) -> Result<Verification, Refusal> {
    let counts = counts(url).await?;
    let Dangling { fresh, known, .. } = dangling(url, files).await?;
    Ok(Verification {
        ok: fresh.is_empty(),
        tenants: counts.tenants,
        orders: counts.orders,
        job_runs: counts.job_runs,
        dangling: fresh.len() as u64,
        examples: fresh.iter().take(NAMED).map(named).collect(),
        known_lost: known.len() as u64,
    })
}

/// Orders whose attachment is missing or has another length.
#[derive(Debug)]
pub(super) struct Dangling {
    /// Orders in the database.
    pub(super) orders: usize,
    /// Those that nobody knows of.
    pub(super) fresh: Vec<OrderKey>,
    /// Those that were recorded as lost before.
    pub(super) known: Vec<OrderKey>,
}

/// Holds every order against the attachments on disk.
pub(super) async fn dangling(url: &DatabaseUrl, files: &Path) -> Result<Dangling, Refusal> {
    let recorded: BTreeSet<OrderKey> = known_lost(url).await?;
    let orders = orders(url, Which::All).await?;
    let files = files.to_path_buf();
    let checked = tokio::task::spawn_blocking(move || {
        let count = orders.len();
        let missing = orders.into_iter().filter(|order| {
            let found = fs::metadata(files.join(&order.attachment));
            !found.is_ok_and(|file| file.is_file() && file.len() == order.attachment_bytes)
        });
        let (known, fresh) = missing
            .map(|order| (order.tenant, order.id))
            .partition(|key| recorded.contains(key));
        Dangling {
            orders: count,
            fresh,
            known,
        }
    });
    checked
        .await
        .map_err(|error| Refusal::Files(error.to_string()))
}

/// An order, for people.
pub(super) fn named((tenant, id): &OrderKey) -> String {
    format!("{tenant}/{id}")
}
