//! What is really there: replicas, instances, routes, sites, and who can really write.
//! Must not know what Mainstay believes.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_driver::{ActError, Order, Progress};
use mainstay_engine::lease::{Grantor, Holder, LeaseRecord, MayWrite};
use mainstay_model::{
    Access, ComponentId, EffectId, Epoch, ExecutorEpoch, Mark, RecoveryPoint, RouteFacts,
};

use super::World;
use crate::clock::{Clock, Time};

/// What an agent or a driver says.
pub(crate) type Reply = Result<Progress, ActError>;

/// A store at one site. Survives everything but a disaster of its own.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    pub(crate) access: Access,
    pub(crate) mark: Mark,
    /// Every write that it has, in order.
    pub(crate) content: Vec<u32>,
    pub(crate) recovery: Option<RecoveryPoint>,
    /// Whether an application wrote under the mark's epoch.
    pub(crate) written: bool,
    /// The lease of whoever writes here, if the store has leases. Forgotten in a crash.
    pub(crate) holder: Option<Holder>,
    /// The greatest token that was ever carried out here.
    pub(crate) token: Epoch,
    /// Whether a copy is on its way.
    pub(crate) copying: bool,
    /// Counts what was done to it: a copy that began before is void, as copies and orders take turns.
    pub(crate) changes: u64,
}

/// A write that a client was told is safe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acked {
    pub(crate) write: u32,
    pub(crate) at: Time,
}

/// A store, at all sites.
#[derive(Debug, Clone)]
pub(crate) struct StoreTruth {
    pub(crate) at: Vec<Replica>,
    /// Acknowledged, and not lost with consent.
    pub(crate) acked: Vec<Acked>,
    /// Saved in a repository.
    pub(crate) saved: BTreeSet<u32>,
    /// Epochs at which writes were enabled, with the site.
    pub(crate) enabled: Vec<(Epoch, usize)>,
}

/// A workload at one site.
#[derive(Debug, Clone, Default)]
pub(crate) struct Instance {
    pub(crate) exists: bool,
    pub(crate) running: bool,
    pub(crate) ready_at: Time,
    pub(crate) held: bool,
    /// For each store that it uses, the site it is connected to.
    pub(crate) bound: BTreeMap<usize, usize>,
}

/// What an agent's journal says about an effect.
#[derive(Debug, Clone)]
pub(crate) enum Recorded {
    Started,
    Answered(Reply),
}

/// An order that is being carried out.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) order: Order,
    /// The mover's life that waits for it.
    pub(crate) life: u64,
    pub(crate) told: bool,
}

/// An agent: what is durable, and what is lost when it dies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Agent {
    pub(crate) alive: bool,
    pub(crate) life: u64,
    pub(crate) executor: ExecutorEpoch,
    pub(crate) effects: BTreeMap<EffectId, Recorded>,
    pub(crate) floors: BTreeMap<ComponentId, Epoch>,
    pub(crate) owned: BTreeMap<ComponentId, Epoch>,
    pub(crate) supervised: BTreeSet<ComponentId>,
    pub(crate) held: BTreeSet<ComponentId>,
    pub(crate) quarantined: bool,
    pub(crate) leases: LeaseRecord,
    pub(crate) tasks: BTreeMap<EffectId, Task>,
    pub(crate) grantor: Option<Grantor>,
    /// One order of a store at a time.
    pub(crate) busy: BTreeMap<ComponentId, Time>,
}

/// A site.
#[derive(Debug, Clone)]
pub(crate) struct SiteTruth {
    pub(crate) up: bool,
    /// When it died last.
    pub(crate) died: Option<Time>,
    pub(crate) clock: Clock,
    pub(crate) agent: Agent,
    /// It stays away until somebody mends it.
    pub(crate) gone: bool,
    /// A lying observer.
    pub(crate) lies: bool,
}

impl World {
    /// Whether a write would really be accepted there now.
    pub(crate) fn writable(&self, store: usize, site: usize) -> bool {
        let Some(replica) = self.stores[store].at.get(site) else {
            return false;
        };
        if !self.sites[site].up || replica.access != Access::Open {
            return false;
        }
        let mono = self.sites[site].clock.mono(self.now);
        match (&replica.holder, self.lease(store)) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(holder), Some(_)) => matches!(holder.may_write(mono), MayWrite::Until(_)),
        }
    }

    /// The length of a store's lease, if it has one.
    pub(crate) fn lease(&self, store: usize) -> Option<mainstay_model::Span> {
        self.topology.leases[store]
    }

    /// Whether a scheduler really does work there.
    pub(crate) fn works(&self, workload: usize, site: usize) -> bool {
        let instance = &self.workloads[workload][site];
        if !self.sites[site].up || !instance.running || instance.held {
            return false;
        }
        let uses = &self.topology.uses[workload];
        uses.is_empty()
            || uses.iter().any(|store| {
                let bound = instance.bound.get(store).copied().unwrap_or(site);
                self.writable(*store, bound)
            })
    }

    /// The site that owns a store: the newest mark of those that are not copies.
    pub(crate) fn owner(&self, store: usize) -> Option<usize> {
        let replicas = self.stores[store].at.iter().enumerate();
        replicas
            .filter(|(_, replica)| matches!(replica.access, Access::Open | Access::Sealed))
            .max_by_key(|(_, replica)| (replica.mark.epoch, replica.access == Access::Open))
            .map(|(site, _)| site)
    }

    /// What a route says at its server.
    pub(crate) fn route_facts(&self, route: usize) -> &RouteFacts {
        &self.routes[route]
    }
}
