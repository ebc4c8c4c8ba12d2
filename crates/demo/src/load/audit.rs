//! Holds the list of acknowledged writes against what a site has: every acknowledged order must
//! have its row, its attachment, and the attachment's bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::list::{Ack, List};
use super::measure::{Window, seconds};
use crate::error::PartError;
use crate::order_service::{DatabaseUrl, StoredOrder, stored_orders};

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Writes that were acknowledged within the window, each counted once.
    pub acknowledged: u64,
    /// Those of them that did not survive.
    pub lost: Vec<Lost>,
}

/// An acknowledged write that did not survive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The tenant it was written for.
    pub tenant: String,
    /// The order's id.
    pub id: String,
    /// When it was acknowledged, in microseconds since the epoch.
    pub acked_us: u64,
    /// What is missing.
    pub missing: Missing,
}

/// What is missing of an acknowledged write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// The row is not in the database.
    Row,
    /// The row names another attachment.
    OtherRow,
    /// The attachment is not on disk.
    Attachment,
    /// The attachment on disk has other bytes.
    OtherAttachment,
}

impl Audit {
    /// When the oldest lost write was acknowledged, in microseconds since the epoch.
    #[must_use]
    pub fn oldest_lost_us(&self) -> Option<u64> {
        self.lost.iter().map(|lost| lost.acked_us).min()
    }

    /// The true loss in seconds: from the acknowledgement of the oldest lost write to the moment
    /// that the site died, both in microseconds since the epoch. Zero when nothing was lost.
    #[must_use]
    pub fn true_loss_s(&self, killed_us: u64) -> f64 {
        self.oldest_lost_us()
            .map_or(0.0, |oldest| seconds(killed_us.saturating_sub(oldest)))
    }
}

/// Compares what was acknowledged within `window` with what a site has now.
///
/// The list is read before the database, so that load may go on meanwhile: what is on the list
/// was durable before the database was looked at.
pub async fn audit(
    list: &Path,
    window: Window,
    database: &DatabaseUrl,
    files: &Path,
) -> Result<Audit, PartError> {
    let list = List::read(list)?;
    let orders = stored_orders(database).await?;
    let files = files.to_path_buf();
    let work = move || compare(&list, window, &orders, &files);
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(PartError::Serve(io::Error::other(error))))
}

fn compare(
    list: &List,
    window: Window,
    orders: &[StoredOrder],
    files: &Path,
) -> Result<Audit, PartError> {
    let stored: BTreeMap<(&str, &str), &StoredOrder> = orders
        .iter()
        .map(|order| ((order.tenant.as_str(), order.id.as_str()), order))
        .collect();
    let mut seen = BTreeSet::new();
    let mut gone = Vec::new();
    for ack in list.acks().filter(|ack| window.contains(ack.acked_us)) {
        let key = (ack.tenant.as_str(), ack.id.as_str());
        if !seen.insert(key) {
            continue;
        }
        if let Some(missing) = missing(ack, stored.get(&key).copied(), files)? {
            let (tenant, id) = (ack.tenant.clone(), ack.id.clone());
            gone.push(Lost {
                tenant,
                id,
                acked_us: ack.acked_us,
                missing,
            });
        }
    }
    Ok(Audit {
        acknowledged: seen.len() as u64,
        lost: gone,
    })
}

fn missing(
    ack: &Ack,
    stored: Option<&StoredOrder>,
    files: &Path,
) -> Result<Option<Missing>, PartError> {
    let Some(stored) = stored else {
        return Ok(Some(Missing::Row));
    };
    if stored.attachment_sha256 != ack.sha256 {
        return Ok(Some(Missing::OtherRow));
    }
    let path = files.join(&stored.attachment);
    match std::fs::read(&path) {
        Ok(bytes) if hex::encode(Sha256::digest(&bytes)) == ack.sha256 => Ok(None),
        Ok(_) => Ok(Some(Missing::OtherAttachment)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(Missing::Attachment)),
        Err(error) => Err(PartError::file("read", path)(error)),
    }
}
