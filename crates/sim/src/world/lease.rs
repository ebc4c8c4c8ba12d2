//! Leases on the wire: holders ask, the grantor at the witness answers, orders let them run out.
//! Must not know the arithmetic; the engine's lease module has it.

use mainstay_driver::Order;
use mainstay_engine::lease::{Expiry, Mono, Owner};
use mainstay_model::{Access, Epoch, FenceClass, FenceFacts, Op};

use super::{Ev, Msg, World};
use crate::clock::{MS, Time};

impl World {
    /// A holder's turn to ask.
    pub(super) fn lease_tick(&mut self, store: usize, site: usize) {
        let Some(length) = self.lease(store) else {
            return;
        };
        let next = self.now + length.0 / 4;
        self.at(next, Ev::LeaseTick(store, site));
        if self.options.faults && self.fault_dice.chance(30) {
            self.impostor(store);
        }
        let replica = &mut self.stores[store].at[site];
        if !self.sites[site].up || replica.access != Access::Open {
            return;
        }
        if replica.holder.is_none() {
            replica.holder = Some(self.options.holder(length));
        }
        let epoch = replica.mark.epoch;
        let asked = self.sites[site].clock.mono(self.now);
        let witness = self.topology.witness();
        let msg = Msg::Lease {
            store,
            site,
            epoch,
            asked,
        };
        self.send(site, witness, msg);
    }

    /// A site that is not the owner asks, at the owner's epoch or at an old one.
    fn impostor(&mut self, store: usize) {
        let (newest, owner, _) = self.checks.leases[store];
        if newest.0 == 0 {
            return;
        }
        let site = usize::from(owner == 0);
        let epoch = Epoch(
            self.fault_dice
                .between(newest.0.saturating_sub(2).max(1), newest.0),
        );
        let msg = Msg::Lease {
            store,
            site,
            epoch,
            asked: Mono(0),
        };
        let witness = self.topology.witness();
        self.send(site, witness, msg);
    }

    /// The grantor is asked.
    pub(super) fn grant(&mut self, store: usize, site: usize, epoch: Epoch, asked: Mono) {
        let Some(length) = self.lease(store) else {
            return;
        };
        let witness = self.topology.witness();
        let mono = self.sites[witness].clock.mono(self.now);
        let owner = Owner {
            site: self.topology.sites[site].clone(),
            epoch,
        };
        let name = &self.topology.stores[store];
        let agent = &mut self.sites[witness].agent;
        let Some(grantor) = &mut agent.grantor else {
            return;
        };
        let granted = grantor.grant(name, &owner, length, mono);
        // Durable before anyone is told.
        agent.leases = grantor.record().clone();
        let length = granted.ok().map(|granted| granted.length);
        if length.is_some() {
            self.check_grant(store, site, epoch);
        }
        let msg = Msg::Leased {
            store,
            epoch,
            asked,
            length,
        };
        self.send(witness, site, msg);
    }

    /// The grantor's answer.
    pub(super) fn leased(
        &mut self,
        store: usize,
        site: usize,
        epoch: Epoch,
        asked: Mono,
        length: Option<mainstay_model::Span>,
    ) {
        let replica = &mut self.stores[store].at[site];
        if !self.sites[site].up || replica.mark.epoch != epoch || replica.access != Access::Open {
            return;
        }
        if let Some(holder) = &mut replica.holder {
            match length {
                Some(length) => holder.granted(asked, length),
                None => holder.refused(),
            }
        }
    }

    /// For a fence by lease: how long it has to wait still, if it has.
    pub(super) fn lease_runs(&mut self, site: usize, order: &Order) -> Option<Time> {
        let (Op::Fence(below), "lease") = (&order.action.op, order.action.driver.as_str()) else {
            return None;
        };
        let mono = self.sites[site].clock.mono(self.now);
        let agent = &mut self.sites[site].agent;
        let grantor = agent.grantor.as_mut()?;
        let name = order.action.subject.component()?;
        grantor.fence(name, *below);
        if let Some(store) = self.topology.store(name) {
            let fence = &mut self.checks.leases[store].2;
            *fence = (*fence).max(*below);
        }
        agent.leases = grantor.record().clone();
        match grantor.surely_expired(name, *below, mono) {
            Expiry::Surely => None,
            Expiry::In(left) => Some(left.0 + left.0 / 50 + MS),
            Expiry::NotFenced => Some(100 * MS),
        }
    }

    /// What the grantor can prove about a store.
    pub(super) fn lease_facts(&self, site: usize, store: usize) -> FenceFacts {
        let mono = self.sites[site].clock.mono(self.now);
        let name = &self.topology.stores[store];
        let grantor = self.sites[site].agent.grantor.as_ref();
        let floor = grantor
            .and_then(|grantor| grantor.record().stores.get(name))
            .map(|record| record.floor)
            .unwrap_or_default();
        let over = grantor.map(|grantor| grantor.surely_expired(name, floor, mono));
        FenceFacts {
            below: match over {
                Some(Expiry::Surely) => floor,
                _ => Epoch(0),
            },
            class: FenceClass::F1,
            evidence: String::new(),
        }
    }
}
