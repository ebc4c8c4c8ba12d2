//! The application's own read-only check: what is in the database, and whether every order's
//! attachment is on disk.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::database::{Which, counts, orders};
use super::gate::Refusal;
use super::options::DatabaseUrl;

/// How many missing attachments are named.
const NAMED: usize = 20;

/// What the check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Every order's attachment is there, with its length.
    pub ok: bool,
    /// Tenants in the database.
    pub tenants: u64,
    /// Orders in the database.
    pub orders: u64,
    /// Runs of the background job.
    pub job_runs: u64,
    /// Orders whose attachment is missing or has another length.
    pub dangling: u64,
    /// The first of them, as `tenant/id`.
    pub examples: Vec<String>,
}

/// Checks one site. Reads only, and needs no ownership.
pub(crate) async fn verify(url: &DatabaseUrl, files: &Path) -> Result<Verification, Refusal> {
    let counts = counts(url).await?;
    let orders = orders(url, Which::All).await?;
    let files = files.to_path_buf();
    let checked = tokio::task::spawn_blocking(move || {
        let bad = orders.into_iter().filter(|order| {
            let found = fs::metadata(files.join(&order.attachment));
            !found.is_ok_and(|file| file.is_file() && file.len() == order.attachment_bytes)
        });
        bad.map(|order| format!("{}/{}", order.tenant, order.id))
            .collect::<Vec<_>>()
    });
    let mut bad = checked
        .await
        .map_err(|error| Refusal::Files(error.to_string()))?;
    let dangling = bad.len() as u64;
    bad.truncate(NAMED);
    Ok(Verification {
        ok: bad.is_empty(),
        tenants: counts.tenants,
        orders: counts.orders,
        job_runs: counts.job_runs,
        dangling,
        examples: bad,
    })
}
