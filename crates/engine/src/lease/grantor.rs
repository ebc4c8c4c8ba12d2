//! The grantor's side: who may hold a store's lease, and when an old one has surely run out.
//! Must not know why somebody wants a lease or a fence.
//!
//! The floor and the owner are durable before anyone is told; ends of leases are not, they would cost a sync for each
//! renewal. So after a restart the grantor takes it that it granted a longest lease in its last moment (I4).

use std::collections::BTreeMap;

use mainstay_model::{ComponentId, Epoch, SiteId, Span};
use serde::{Deserialize, Serialize};

use super::time::{Drift, Mono};
use crate::bugs::{Bug, Bugs};

/// The version of [`LeaseRecord`].
pub const LEASE_RECORD_VERSION: u32 = 1;

/// Whether [`Grantor::record`] must be durable before the answer goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Save {
    /// Yes.
    Needed,
    /// Nothing durable changed.
    NotNeeded,
}

/// Who may have a store's lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The site.
    pub site: SiteId,
    /// The epoch; no other site ever gets a lease at it (I2).
    pub epoch: Epoch,
}

/// What is durable of one store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreRecord {
    /// Nobody below this epoch gets a lease.
    pub floor: Epoch,
    /// Who got the last lease.
    pub owner: Option<Owner>,
    /// The longest lease ever granted.
    pub longest: Span,
}

/// What is durable of a grantor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// [`LEASE_RECORD_VERSION`].
    pub version: u32,
    /// Per store.
    pub stores: BTreeMap<ComponentId, StoreRecord>,
}

impl Default for LeaseRecord {
    fn default() -> Self {
        Self {
            version: LEASE_RECORD_VERSION,
            stores: BTreeMap::new(),
        }
    }
}

/// A lease was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// For so long, from when it was asked for.
    pub length: Span,
    /// Whether the record must be durable first.
    pub save: Save,
}

/// A lease was refused. The holder must stop writing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The epoch is fenced.
    #[error("epochs below {floor} are fenced")]
    Fenced {
        /// The floor.
        floor: Epoch,
    },
    /// The epoch, or a newer one, belongs to another site.
    #[error("epoch {} belongs to {}", .0.epoch, .0.site)]
    Owned(Owner),
    /// Another site's lease may still run.
    #[error("another lease may still run for {0}")]
    Running(Span),
    /// A lease of no length, or a longer one than this grantor gives.
    #[error("a lease lasts at most {longest}")]
    Length {
        /// The longest it gives.
        longest: Span,
    },
}

impl Refused {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fenced { .. } => "lease-fenced",
            Self::Owned(_) => "lease-owned",
            Self::Running(_) => "lease-running",
            Self::Length { .. } => "lease-length",
        }
    }
}

/// A fence was raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fenced {
    /// The floor now; never lower than asked for.
    pub floor: Epoch,
    /// Whether the record must be durable first.
    pub save: Save,
}

/// Whether leases below an epoch have surely run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Surely: whoever held one has stopped.
    Surely,
    /// Not before so long.
    In(Span),
    /// No: the epoch is not fenced, so a lease could be granted any time.
    NotFenced,
}

/// Grants the leases of some stores. There is one grantor per store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grantor {
    record: LeaseRecord,
    /// When the leases of each epoch have surely run out.
    over: BTreeMap<ComponentId, BTreeMap<Epoch, Mono>>,
    /// Before this, leases from before a restart may still run.
    started: Option<Mono>,
    longest: Span,
    drift: Drift,
    bugs: Bugs,
}

impl Grantor {
    /// A grantor that never granted anything. It gives leases of at most this length.
    #[must_use]
    pub fn new(longest: Span, drift: Drift) -> Self {
        Self {
            record: LeaseRecord::default(),
            over: BTreeMap::new(),
            started: None,
            longest,
            drift,
            bugs: Bugs::NONE,
        }
    }

    /// A grantor after a restart at `now`, with its durable record.
    #[must_use]
    pub fn restart(record: LeaseRecord, longest: Span, drift: Drift, now: Mono) -> Self {
        Self {
            record,
            started: Some(now),
            ..Self::new(longest, drift)
        }
    }

    /// The same grantor, with planted bugs.
    #[must_use]
    pub fn with_bugs(self, bugs: Bugs) -> Self {
        Self { bugs, ..self }
    }

    /// What must be durable.
    #[must_use]
    pub fn record(&self) -> &LeaseRecord {
        &self.record
    }

    /// Grants or renews a lease.
    pub fn grant(
        &mut self,
        store: &ComponentId,
        wanted: &Owner,
        length: Span,
        now: Mono,
    ) -> Result<Granted, Refused> {
        if length == Span::ZERO || length > self.longest {
            let longest = self.longest;
            return Err(Refused::Length { longest });
        }
        let known = self.record.stores.get(store).cloned().unwrap_or_default();
        if wanted.epoch < known.floor && !self.bugs.has(Bug::GrantorIgnoresFloor) {
            return Err(Refused::Fenced { floor: known.floor });
        }
        if let Some(owner) = &known.owner
            && *owner != *wanted
        {
            let older = wanted.epoch < owner.epoch && !self.bugs.has(Bug::GrantorTakesOlderEpoch);
            let same = wanted.epoch == owner.epoch && !self.bugs.has(Bug::GrantorSharesEpoch);
            if older || same {
                return Err(Refused::Owned(owner.clone()));
            }
            if owner.site != wanted.site
                && let Some(left) = self.left(store, wanted.epoch, now)
            {
                return Err(Refused::Running(left));
            }
        }
        let record = StoreRecord {
            floor: known.floor,
            owner: Some(wanted.clone()),
            longest: known.longest.max(length),
        };
        let save = if record == known {
            Save::NotNeeded
        } else {
            Save::Needed
        };
        self.record.stores.insert(store.clone(), record);
        let over = now + length + self.margin(length);
        let ends = self.over.entry(store.clone()).or_default();
        ends.retain(|_, over| *over > now);
        let end = ends.entry(wanted.epoch).or_insert(over);
        if !self.bugs.has(Bug::GrantorForgetsRenewals) {
            *end = over.max(*end);
        }
        Ok(Granted { length, save })
    }

    /// The owner says that it has stopped and gives its lease back before its end, so that the next one need not wait.
    /// A renewal that it sent earlier and that arrives later only makes the next one wait again; its answer must not be
    /// used any more ([`super::Holder::stop`]). Where several processes of a site share a lease, only the last may say so.
    pub fn release(&mut self, store: &ComponentId, owner: &Owner) {
        let known = self.record.stores.get(store);
        if known.is_some_and(|known| known.owner.as_ref() == Some(owner))
            && let Some(ends) = self.over.get_mut(store)
        {
            ends.remove(&owner.epoch);
        }
    }

    /// Shuts out everyone below an epoch. The floor only rises. Nothing is claimed about leases that still run: ask
    /// [`Grantor::surely_expired`], once the record is durable.
    pub fn fence(&mut self, store: &ComponentId, below: Epoch) -> Fenced {
        let known = self.record.stores.entry(store.clone()).or_default();
        let save = if known.floor < below {
            known.floor = below;
            Save::Needed
        } else {
            Save::NotNeeded
        };
        Fenced {
            floor: known.floor,
            save,
        }
    }

    /// Whether every lease below an epoch has surely run out.
    #[must_use]
    pub fn surely_expired(&self, store: &ComponentId, below: Epoch, now: Mono) -> Expiry {
        let floor = self.record.stores.get(store).map(|known| known.floor);
        if floor.unwrap_or_default() < below {
            return Expiry::NotFenced;
        }
        match self.left(store, below, now) {
            Some(left) => Expiry::In(left),
            None => Expiry::Surely,
        }
    }

    /// How long leases below an epoch may still run.
    fn left(&self, store: &ComponentId, below: Epoch, now: Mono) -> Option<Span> {
        let ends = self.over.get(store).into_iter().flatten();
        let granted = ends
            .filter(|(epoch, _)| **epoch < below)
            .map(|(_, over)| *over)
            .max();
        let over = granted.max(self.unsure(store));
        over.filter(|over| now <= *over)
            .map(|over| over.since(now).saturating_add(Span(1)))
    }

    /// Until when leases from before a restart may run, of whatever epoch.
    fn unsure(&self, store: &ComponentId) -> Option<Mono> {
        let known = self.record.stores.get(store)?;
        if self.bugs.has(Bug::GrantorForgetsRestart) || known.longest == Span::ZERO {
            return None;
        }
        Some(self.started? + known.longest + self.margin(known.longest))
    }

    fn margin(&self, length: Span) -> Span {
        self.drift.margin(length)
    }
}
