//! Compares the database with the attachments right after both were promoted at a site, before the service starts
//! there. After a planned move nothing may dangle; after the loss of a site what dangles is recorded as lost, and the
//! service's own check then accepts exactly that.
//! Must not know who moves the stores, nor why.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::database::{MarkReader, Session, Write, Writer};
use super::gate::{Refusal, owned_epoch};
use super::lease::{self, LeaseHolder};
use super::options::{DatabaseUrl, LeaseOptions};
use super::run::with_password;
use super::verify::{dangling, named};
use crate::error::PartError;

/// How long the database and the lease are waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
/// Most records in one transaction.
const BATCH: usize = 256;

/// Which stores are compared.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconcileOptions {
    /// The site; recording needs a mark that names it as the owner.
    pub site: String,
    /// The database of this site.
    pub database: DatabaseUrl,
    /// The folder of attachments of this site.
    pub files: PathBuf,
    /// The lease that recording needs, like every other write.
    pub lease: Option<LeaseOptions>,
}

/// What may be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skew {
    /// Nothing.
    Refused,
    /// What dangles is recorded as lost.
    Reported,
}

impl FromStr for Skew {
    type Err = PartError;

    fn from_str(text: &str) -> Result<Self, PartError> {
        match text {
            "refused" => Ok(Self::Refused),
            "reported" => Ok(Self::Reported),
            _ => Err(PartError::Option {
                option: "MAINSTAY_SKEW",
                why: format!("{text:?} is neither refused nor reported"),
            }),
        }
    }
}

/// What was found, and recorded where that was allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// What was allowed.
    pub skew: Skew,
    /// Orders in the database.
    pub orders: u64,
    /// How many orders have newly lost their attachment.
    pub dangling: u64,
    /// Each of them, as `tenant/id`.
    pub lost: Vec<String>,
    /// How many were recorded before and are still without it.
    pub known_before: u64,
}

/// Compares, and records what is lost if that may be.
pub async fn reconcile(
    mut options: ReconcileOptions,
    skew: Skew,
) -> Result<Reconciliation, PartError> {
    options.database = with_password(options.database);
    let failed = |refusal: Refusal| {
        let why = refusal.detail().unwrap_or(refusal.code()).to_owned();
        PartError::Database(why)
    };
    let found = patiently(async || dangling(&options.database, &options.files).await).await;
    let found = found.map_err(failed)?;
    let lost: Vec<String> = found.fresh.iter().map(named).collect();
    if skew == Skew::Refused && !lost.is_empty() {
        let first: Vec<&str> = lost.iter().take(5).map(String::as_str).collect();
        return Err(PartError::Promise(format!(
            "{} of {} orders have no attachment, {} among them",
            lost.len(),
            found.orders,
            first.join(", ")
        )));
    }
    let writes: Vec<Write> = found.fresh.into_iter().map(Write::Lost).collect();
    if !writes.is_empty() {
        record(&options, &writes).await.map_err(failed)?;
    }
    Ok(Reconciliation {
        skew,
        orders: found.orders as u64,
        dangling: lost.len() as u64,
        lost,
        known_before: found.known.len() as u64,
    })
}

/// Records under the same rules as every other write: the mark, and a lease of its own that is given back at once.
async fn record(options: &ReconcileOptions, writes: &[Write]) -> Result<(), Refusal> {
    let mut reader = MarkReader::new(&options.database);
    let mark = reader.read().await;
    let epoch = owned_epoch(&mark, &options.site)?;
    let holder = format!("{}-reconcile", options.site);
    let lease = match &options.lease {
        None => LeaseHolder::not_needed(),
        Some(asked) => lease::once(asked, &options.site, &holder, epoch, PATIENCE).await?,
    };
    let by = Writer {
        site: options.site.clone(),
        lease,
    };
    let mut done = Ok(());
    for batch in writes.chunks(BATCH) {
        done = patiently(async || {
            let session = Session::open(&options.database).await?;
            session.write(&by, batch.to_vec()).await.1.map(|_| ())
        })
        .await;
        if done.is_err() {
            break;
        }
    }
    if let Some(asked) = &options.lease {
        lease::release(asked, &options.site, &holder, epoch).await;
    }
    done
}

/// Tries again while the database does not answer: it was promoted a moment ago.
async fn patiently<T>(mut work: impl AsyncFnMut() -> Result<T, Refusal>) -> Result<T, Refusal> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match work().await {
            Err(Refusal::Database(_)) if Instant::now() < deadline => {
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}
