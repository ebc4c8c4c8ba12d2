//! The client's half of a self-fencing lease (fence class F1): writing stops by itself when the
//! grantor can no longer be reached. It must not know the grantor's rules, only what it promised.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::gate::Refusal;
use super::options::LeaseOptions;
use crate::clock::BootInstant;
use crate::error::PartError;

/// Pause before asking again after a refusal or a failure.
const RETRY: Duration = Duration::from_millis(100);
/// Longest wait for the grantor's answer.
const ASK_TIMEOUT: Duration = Duration::from_millis(500);

/// The lease as writers see it. Cheap to clone; all clones see the same lease.
#[derive(Debug, Clone)]
pub(crate) struct LeaseHolder(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    /// No lease is asked of this service: every epoch is covered.
    NotNeeded,
    /// Covered while the grant lasts.
    Granted(Mutex<Option<Grant>>),
}

#[derive(Debug, Clone, Copy)]
struct Grant {
    epoch: u64,
    until: BootInstant,
}

#[derive(Debug, Serialize)]
struct Ask<'a> {
    site: &'a str,
    epoch: u64,
    holder: &'a str,
}

#[derive(Debug, Deserialize)]
struct Granted {
    granted_ms: u64,
    drift_ms: u64,
}

impl LeaseHolder {
    /// A holder that covers everything, for a service that runs without leases.
    pub(crate) fn not_needed() -> Self {
        Self(Arc::new(Kind::NotNeeded))
    }

    /// A holder that covers nothing until it is granted a lease.
    pub(crate) fn empty() -> Self {
        Self(Arc::new(Kind::Granted(Mutex::new(None))))
    }

    /// Whether a live lease covers `epoch` at this instant.
    pub(crate) fn covers(&self, epoch: u64) -> bool {
        match &*self.0 {
            Kind::NotNeeded => true,
            Kind::Granted(grant) => grant
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some_and(|grant| grant.epoch == epoch && BootInstant::now() < grant.until),
        }
    }

    fn set(&self, new: Option<Grant>) {
        if let Kind::Granted(grant) = &*self.0 {
            *grant.lock().unwrap_or_else(PoisonError::into_inner) = new;
        }
    }
}

/// Keeps `holder` supplied while `wanted` names an epoch. Ends when `wanted` has no sender left, but never while an
/// answer is awaited: what is granted later than the lease was given back would hold up the next owner. Returns the
/// epoch that was asked for last.
pub(crate) async fn keep(
    options: LeaseOptions,
    site: String,
    replica: String,
    holder: LeaseHolder,
    mut wanted: watch::Receiver<Option<u64>>,
) -> Result<Option<u64>, PartError> {
    let client = crate::web::client(ASK_TIMEOUT)?;
    let url = url(&options);
    let mut asked = None;
    loop {
        let epoch = *wanted.borrow_and_update();
        let Some(epoch) = epoch else {
            holder.set(None);
            if wanted.changed().await.is_err() {
                return Ok(asked);
            }
            continue;
        };
        asked = Some(epoch);
        let ask = Ask {
            site: &site,
            epoch,
            holder: &replica,
        };
        let pause = renew(&client, &url, &ask, &holder).await;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = wanted.changed() => if changed.is_err() {
                holder.set(None);
                return Ok(asked);
            },
        }
    }
}

/// A lease for one short piece of work, asked for until it is granted or the time is over.
pub(crate) async fn once(
    options: &LeaseOptions,
    site: &str,
    holder: &str,
    epoch: u64,
    patience: Duration,
) -> Result<LeaseHolder, Refusal> {
    let client = crate::web::client(ASK_TIMEOUT).map_err(|_| Refusal::NoLease)?;
    let (lease, url) = (LeaseHolder::empty(), url(options));
    let ask = Ask {
        site,
        epoch,
        holder,
    };
    let deadline = BootInstant::now().plus(patience);
    while !lease.covers(epoch) {
        if BootInstant::now() > deadline {
            return Err(Refusal::NoLease);
        }
        let pause = renew(&client, &url, &ask, &lease).await;
        if !lease.covers(epoch) {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(lease)
}

fn url(options: &LeaseOptions) -> String {
    let base = options.url.trim_end_matches('/');
    format!("{base}/v1/lease/{}", options.store)
}

/// Tells the grantor that this holder has stopped. If that does not arrive, the lease runs out by itself.
pub(crate) async fn release(options: &LeaseOptions, site: &str, replica: &str, epoch: u64) {
    let ask = Ask {
        site,
        epoch,
        holder: replica,
    };
    if let Ok(client) = crate::web::client(ASK_TIMEOUT) {
        let told = client.delete(url(options)).json(&ask).send().await;
        if let Err(error) = told {
            tracing::info!(%error, "the lease was not given back");
        }
    }
}

/// Asks once; returns how long to wait before asking again.
async fn renew(
    client: &reqwest::Client,
    url: &str,
    ask: &Ask<'_>,
    holder: &LeaseHolder,
) -> Duration {
    // Counted from before the request was sent: however long the answer took, the grantor's own
    // count began no earlier than this.
    let before = BootInstant::now();
    let Ok(response) = client.post(url).json(ask).send().await else {
        return RETRY;
    };
    if response.status() == reqwest::StatusCode::CONFLICT {
        // The grantor has moved on; what is left of an older grant is given up at once.
        holder.set(None);
        return RETRY;
    }
    if !response.status().is_success() {
        return RETRY;
    }
    let Ok(granted) = response.json::<Granted>().await else {
        return RETRY;
    };
    let usable = Duration::from_millis(granted.granted_ms.saturating_sub(granted.drift_ms));
    holder.set(Some(Grant {
        epoch: ask.epoch,
        until: before.plus(usable),
    }));
    (Duration::from_millis(granted.granted_ms) / 4).max(Duration::from_millis(10))
}
