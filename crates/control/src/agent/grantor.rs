//! Grants leases to the owners of stores, and fences them by letting a lease run out (fence class F1).
//! Must not know why a store is fenced.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use async_trait::async_trait;
use mainstay_driver::{ActError, Cause, Driver, Order, Progress};
use mainstay_engine::lease::{
    Drift, Expiry, Grantor as Machine, LeaseRecord, Mono, Owner, Refused, Save,
};
use mainstay_model::{
    ComponentId, Epoch, Facts, FenceClass, FenceFacts, Op, Output, PlanFile, Reading, Sample,
    Scope, SiteId, Span,
};
use tokio::sync::Mutex;

use super::{ledger::Ledger, site::agent_id};
use crate::{
    clock,
    db::DbError,
    wire::{LeaseGranted, LeaseRefused, LeaseRequest},
};

/// Grants leases and lets them run out. The machine decides; this keeps its record and its time.
pub(super) struct Grantor {
    site: SiteId,
    ledger: Arc<Ledger>,
    /// Length of each store's lease.
    lengths: BTreeMap<ComponentId, Span>,
    born: Instant,
    /// Held while a record is written, so that an older one never overwrites a newer one.
    turn: Mutex<Turn>,
}

/// The machine, and which processes of an owner may still hold its lease.
struct Turn {
    machine: Machine,
    holders: BTreeMap<ComponentId, (Owner, BTreeSet<String>)>,
}

impl Grantor {
    pub(super) fn new(site: SiteId, plan: &PlanFile, ledger: Arc<Ledger>) -> Result<Self, DbError> {
        let stores = plan.stores.iter();
        let lengths: BTreeMap<_, _> = stores
            .filter_map(|(name, store)| Some((name.clone(), store.lease?)))
            .collect();
        let longest = lengths.values().max().copied().unwrap_or(Span::ZERO);
        let record: Option<LeaseRecord> = ledger.leases()?;
        let machine = match record {
            Some(record) => Machine::restart(record, longest, Drift::default(), Mono(0)),
            None => Machine::new(longest, Drift::default()),
        };
        Ok(Self {
            site,
            ledger,
            lengths,
            born: Instant::now(),
            turn: Mutex::new(Turn {
                machine,
                holders: BTreeMap::new(),
            }),
        })
    }

    fn now(&self) -> Mono {
        Mono(Span::from(self.born.elapsed()).0)
    }

    /// Grants or renews. What must be durable is, before the answer goes out.
    pub(super) async fn grant(
        &self,
        store: &ComponentId,
        request: &LeaseRequest,
    ) -> Result<LeaseGranted, LeaseRefused> {
        let Some(length) = self.lengths.get(store).copied() else {
            return Err(LeaseRefused {
                refused: format!("{store} has no lease"),
                epoch: Epoch(0),
            });
        };
        let mut turn = self.turn.lock().await;
        let Turn { machine, holders } = &mut *turn;
        let owner = owner(request);
        let granted = machine.grant(store, &owner, length, self.now());
        let granted = granted.map_err(|refused| refuse(machine, store, &refused))?;
        let known = holders
            .entry(store.clone())
            .or_insert_with(|| (owner.clone(), BTreeSet::new()));
        if known.0 != owner {
            *known = (owner, BTreeSet::new());
        }
        known.1.insert(request.holder.clone());
        if granted.save == Save::Needed
            && let Err(error) = self.ledger.keep_leases(machine.record()).await
        {
            return Err(LeaseRefused {
                refused: error.to_string(),
                epoch: floor(machine, store),
            });
        }
        Ok(LeaseGranted {
            granted_ms: granted.length.0 / 1000,
            drift_ms: Drift::default().margin(length).0.div_ceil(1000),
        })
    }

    /// A holder has stopped by itself. Once the last one of its site has, the next site need not wait.
    pub(super) async fn release(&self, store: &ComponentId, request: &LeaseRequest) {
        let mut turn = self.turn.lock().await;
        let Turn { machine, holders } = &mut *turn;
        let owner = owner(request);
        if let Some((of, names)) = holders.get_mut(store)
            && *of == owner
            && names.remove(&request.holder)
            && names.is_empty()
        {
            machine.release(store, &owner);
        }
    }

    /// Per store, the epoch below which nobody can have a lease any more.
    pub(super) async fn floors(&self) -> BTreeMap<ComponentId, Epoch> {
        let turn = self.turn.lock().await;
        let machine = &turn.machine;
        let stores = machine.record().stores.keys();
        stores
            .map(|store| (store.clone(), floor(machine, store)))
            .collect()
    }

    async fn facts(&self, store: &ComponentId) -> FenceFacts {
        let turn = self.turn.lock().await;
        let machine = &turn.machine;
        let known = machine.record().stores.get(store);
        let floor = known.map(|known| known.floor).unwrap_or_default();
        let (below, evidence) = match machine.surely_expired(store, floor, self.now()) {
            _ if floor.0 == 0 => (Epoch(0), format!("the lease of {store} was never fenced")),
            Expiry::Surely => (
                floor,
                format!("every lease of {store} below epoch {floor} has surely run out"),
            ),
            Expiry::In(left) => (
                Epoch(0),
                format!("a lease of {store} below epoch {floor} may still run for {left}"),
            ),
            Expiry::NotFenced => (Epoch(0), format!("{store} is not fenced")),
        };
        FenceFacts {
            below,
            class: FenceClass::F1,
            evidence,
        }
    }

    async fn fence(&self, store: &ComponentId, below: Epoch) -> Result<(), ActError> {
        {
            let mut turn = self.turn.lock().await;
            let machine = &mut turn.machine;
            if machine.fence(store, below).save == Save::Needed {
                let kept = self.ledger.keep_leases(machine.record()).await;
                kept.map_err(|error| {
                    ActError::Unknown(Cause::passing("agent-journal", error.to_string()))
                })?;
            }
        }
        loop {
            let expiry = {
                let turn = self.turn.lock().await;
                turn.machine.surely_expired(store, below, self.now())
            };
            match expiry {
                Expiry::Surely => return Ok(()),
                Expiry::In(left) => tokio::time::sleep(left.duration()).await,
                Expiry::NotFenced => {
                    let what = format!("{store} is not fenced below epoch {below}");
                    return Err(ActError::Unknown(Cause::passing("not-fenced", what)));
                }
            }
        }
    }
}

fn owner(request: &LeaseRequest) -> Owner {
    Owner {
        site: request.site.clone(),
        epoch: request.epoch,
    }
}

/// Nobody below the floor, nor below the newest owner, gets a lease.
fn floor(machine: &Machine, store: &ComponentId) -> Epoch {
    let known = machine.record().stores.get(store);
    known.map_or(Epoch(0), |known| {
        let owner = known.owner.as_ref().map(|owner| owner.epoch);
        known.floor.max(owner.unwrap_or_default())
    })
}

fn refuse(machine: &Machine, store: &ComponentId, refused: &Refused) -> LeaseRefused {
    LeaseRefused {
        refused: refused.to_string(),
        epoch: floor(machine, store),
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
        if let Some(store) = scope.subject.component() {
            facts.fence = Some(self.facts(store).await);
        }
        Sample {
            reading: Reading::Known(Box::new(facts)),
            at,
            by: agent_id(&self.site),
        }
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        let not_done = |what: String| ActError::NotDone(Cause::lasting("unsupported", what));
        let (Op::Fence(below), Some(store)) = (&order.action.op, order.action.subject.component())
        else {
            return Err(not_done("a lease can only be let run out".to_owned()));
        };
        if !self.lengths.contains_key(store) {
            return Err(not_done(format!("{store} has no lease")));
        }
        self.fence(store, *below).await?;
        Ok(Progress::Done(Output::default()))
    }
}
