//! Grants leases to the owners of stores, and fences them by letting a lease run out (fence class F1).
//! Must not know why a store is fenced.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use mainstay_driver::{ActError, Driver, Order, Progress, Retry};
use mainstay_model::{
    ComponentId, Epoch, Facts, FenceClass, FenceFacts, Op, Output, PlanFile, Reading, Sample,
    Scope, SiteId, Span, Timestamp,
};

use super::{
    ledger::Ledger,
    site::{agent_id, cause},
};
use crate::{
    clock::{self, Steady},
    wire::{LeaseGranted, LeaseRefused, LeaseRequest},
};

/// The newest lease that was granted for a store.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease {
    site: SiteId,
    epoch: Epoch,
    /// When it has surely run out, by the grantor's steady clock.
    over: Timestamp,
}

/// Grants leases and lets them run out.
pub(super) struct Grantor {
    site: SiteId,
    ledger: Arc<Ledger>,
    /// Length of each store's lease.
    lengths: BTreeMap<ComponentId, Span>,
    steady: Steady,
    /// What an earlier life of this agent may have granted has surely run out by then.
    started: Timestamp,
    leases: Mutex<BTreeMap<ComponentId, Lease>>,
}

/// Clocks may run at rates that differ by so much of a lease's length.
fn drift(length: Span) -> Span {
    Span((length.0 / 20).max(10_000))
}

impl Grantor {
    pub(super) fn new(site: SiteId, plan: &PlanFile, ledger: Arc<Ledger>) -> Self {
        let steady = Steady::start();
        let lengths = plan.stores.iter();
        Self {
            site,
            ledger,
            lengths: lengths
                .filter_map(|(name, store)| Some((name.clone(), store.lease?)))
                .collect(),
            started: steady.now(),
            steady,
            leases: Mutex::default(),
        }
    }

    /// Grants or renews.
    pub(super) async fn grant(
        &self,
        store: &ComponentId,
        request: &LeaseRequest,
    ) -> Result<LeaseGranted, LeaseRefused> {
        let refuse = |refused: String, epoch| LeaseRefused { refused, epoch };
        let Some(length) = self.lengths.get(store).copied() else {
            return Err(refuse(format!("{store} has no lease"), Epoch(0)));
        };
        let floor = self.ledger.floor(store).unwrap_or(request.epoch.next());
        if request.epoch < floor {
            return Err(refuse(format!("{store} is at epoch {floor}"), floor));
        }
        if request.epoch > floor
            && let Err(error) = self.ledger.raise_floor(store, request.epoch).await
        {
            return Err(refuse(error.to_string(), floor));
        }
        let now = self.steady.now();
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        // The floor may have been raised while this one was written down.
        let floor = self.ledger.floor(store).unwrap_or(request.epoch.next());
        if request.epoch < floor {
            return Err(refuse(format!("{store} is at epoch {floor}"), floor));
        }
        if let Some(lease) = leases.get(store)
            && lease.epoch == request.epoch
            && lease.site != request.site
        {
            let owner = &lease.site;
            let refused = format!("epoch {} of {store} belongs to {owner}", request.epoch);
            return Err(refuse(refused, floor));
        }
        let drift = drift(length);
        leases.insert(
            store.clone(),
            Lease {
                site: request.site.clone(),
                epoch: request.epoch,
                over: now + length + drift,
            },
        );
        Ok(LeaseGranted {
            granted_ms: length.0 / 1000,
            drift_ms: drift.0.div_ceil(1000),
        })
    }

    /// When every lease below this epoch has surely run out.
    fn over(&self, store: &ComponentId, below: Epoch) -> Timestamp {
        let leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        match leases.get(store) {
            Some(lease) if lease.epoch < below => lease.over,
            // Nothing was granted in this life, or only newer ones: an earlier life's are what is left.
            Some(_) | None => self.restart_over(store),
        }
    }

    fn restart_over(&self, store: &ComponentId) -> Timestamp {
        match self.lengths.get(store) {
            Some(length) => self.started + *length + drift(*length),
            None => self.started,
        }
    }

    fn facts(&self, store: &ComponentId) -> FenceFacts {
        let floor = self.ledger.floor(store).unwrap_or_default();
        let (over, now) = (self.over(store, floor), self.steady.now());
        let surely = self.lengths.contains_key(store) && over <= now;
        FenceFacts {
            below: if surely { floor } else { Epoch(0) },
            class: FenceClass::F1,
            evidence: if surely {
                format!(
                    "every lease of {store} below epoch {floor} has run out, and none is granted"
                )
            } else {
                format!("a lease of {store} may still run for {}", over.since(now))
            },
        }
    }
}

#[async_trait]
impl Driver for Grantor {
    async fn observe(&self, scope: &Scope) -> Sample {
        let at = clock::now();
        let mut facts = Facts {
            exists: Some(true),
            ..Facts::default()
        };
        facts.fence = scope.subject.component().map(|store| self.facts(store));
        Sample {
            reading: Reading::Known(Box::new(facts)),
            at,
            by: agent_id(&self.site),
        }
    }

    /// The floor is durable by now: the agent raised it before it called.
    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        let not_done = |what: String| ActError::NotDone(cause("unsupported", what, Retry::Useless));
        let (Op::Fence(below), Some(store)) = (&order.action.op, order.action.subject.component())
        else {
            return Err(not_done("a lease can only be let run out".to_owned()));
        };
        if !self.lengths.contains_key(store) {
            return Err(not_done(format!("{store} has no lease")));
        }
        loop {
            let left = self.over(store, *below).since(self.steady.now());
            if left == Span::ZERO {
                return Ok(Progress::Done(Output::default()));
            }
            tokio::time::sleep(left.duration()).await;
        }
    }
}
