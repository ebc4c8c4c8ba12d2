//! What each operation really does to the world: the drivers' part.
//! Must not know runs, journals or who asked.

use mainstay_driver::{ActError, Order, Progress, Retry};
use mainstay_model::{
    Access, Action, ComponentId, Epoch, Mark, Op, Output, Position, RecoveryPoint, RouteFacts,
    SiteId, Subject, Weights,
};

use super::{
    Ev, World,
    agent::not_done,
    truth::{Replica, Reply},
};
use crate::{
    bugs::Own,
    clock::{MS, SECOND},
    topology::STRICT,
};

#[expect(
    clippy::unnecessary_wraps,
    reason = "one of several answers that share a type"
)]
fn done() -> Reply {
    Ok(Progress::Done(Output::default()))
}

/// A change of a route that is on its way to the route's server.
#[derive(Debug, Clone)]
pub(crate) struct Update {
    route: usize,
    to: RouteFacts,
    /// The number that the record must still have: the update's own condition.
    was: Epoch,
}

/// How far content goes.
pub(crate) fn position(content: &[u32]) -> Position {
    Position::Counter(u64::try_from(content.len()).unwrap_or(u64::MAX))
}

impl World {
    /// Carries an order out.
    pub(super) fn drive(&mut self, site: usize, order: &Order) -> Reply {
        let action = &order.action;
        self.trace.say(self.now, || {
            format!("site {site} does {:?} {}", action.op, action.subject)
        });
        self.check_driven(order);
        match (&action.op, action.driver.as_str()) {
            (Op::Fence(_), "lease") => return done(),
            (Op::Fence(below), "agent") => return self.shut(site, &action.subject, *below),
            _ => {}
        }
        let Some(name) = action.subject.component() else {
            return not_done("unsupported", Retry::Useless);
        };
        if let Some(store) = self.topology.store(name) {
            return self.drive_store(store, site, order);
        }
        if let Some(workload) = self.topology.workload(name) {
            return self.drive_workload(workload, site, action);
        }
        match (&action.op, self.topology.route(name)) {
            (Op::Route { weights, epoch }, Some(route)) => self.set_route(route, weights, *epoch),
            _ => not_done("unsupported", Retry::Useless),
        }
    }

    fn drive_store(&mut self, store: usize, site: usize, order: &Order) -> Reply {
        let strict = self.topology.declared_store(store).declared.kind.as_str() == STRICT;
        let known = self.stores[store].at[site].mark.epoch;
        let op = &order.action.op;
        if let Op::Seal(epoch) | Op::Unseal(epoch) | Op::Promote(epoch) | Op::Demote(epoch) = op
            && strict
            && known > *epoch
        {
            return Err(ActError::StaleEpoch(known));
        }
        self.check_token(store, site, order);
        self.stores[store].at[site].changes += 1;
        match op {
            Op::Seal(epoch) => self.seal(store, site, *epoch),
            Op::Unseal(epoch) | Op::Promote(epoch) => self.enable(store, site, *epoch, order),
            Op::Demote(epoch) => self.demote(store, site, *epoch),
            Op::CatchUp { from } => self.copy_now(store, site, from, false),
            Op::Rebuild { from } => {
                self.check_rebuild(store, site, from);
                self.copy_now(store, site, from, true)
            }
            Op::Salvage { owner } => self.salvage(store, site, owner),
            Op::Provision | Op::Reconcile { .. } => done(),
            _ => not_done("unsupported", Retry::Useless),
        }
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "one of several answers that share a type"
    )]
    fn seal(&mut self, store: usize, site: usize, epoch: Epoch) -> Reply {
        let replica = &mut self.stores[store].at[site];
        if replica.access == Access::Open {
            replica.access = Access::Sealed;
        }
        replica.holder = None;
        replica.mark.epoch = replica.mark.epoch.max(epoch);
        let output = Output {
            position: Some(position(&replica.content)),
            ..Output::default()
        };
        Ok(Progress::Done(output))
    }

    /// Promote and unseal: writes are enabled at a new epoch.
    fn enable(&mut self, store: usize, site: usize, epoch: Epoch, order: &Order) -> Reply {
        let replica = &self.stores[store].at[site];
        if replica.access == Access::Open && replica.mark.epoch == epoch {
            return done();
        }
        self.check_enable(store, site, epoch, order);
        let name = self.topology.sites[site].clone();
        let leased = self.lease(store);
        let replica = &mut self.stores[store].at[site];
        replica.access = Access::Open;
        replica.mark = Mark {
            epoch,
            owner: name,
            run: None,
        };
        replica.recovery = None;
        replica.written = false;
        replica.holder = leased.map(|length| self.options.holder(length));
        self.stores[store].enabled.push((epoch, site));
        done()
    }

    fn demote(&mut self, store: usize, site: usize, epoch: Epoch) -> Reply {
        let replica = &mut self.stores[store].at[site];
        if replica.access == Access::Open {
            replica.access = if replica.written {
                Access::Sealed
            } else {
                Access::Replica
            };
        }
        replica.holder = None;
        replica.mark.epoch = replica.mark.epoch.max(epoch);
        done()
    }

    /// Whether that site's data can be read from there.
    pub(super) fn reads(&self, site: usize, source: usize) -> bool {
        self.sites[source].up && self.net.talks(site, source)
    }

    fn copy_now(&mut self, store: usize, site: usize, from: &SiteId, rebuild: bool) -> Reply {
        let source = self.topology.site(from);
        if !self.reads(site, source) || source >= self.stores[store].at.len() {
            return not_done("source-unreachable", Retry::MayHelp);
        }
        let access = self.stores[store].at[site].access;
        let fits = match access {
            Access::Open => false,
            Access::Sealed => rebuild,
            _ => true,
        };
        if !fits {
            return not_done("store-open", Retry::Useless);
        }
        let seen = &self.stores[store].at[source];
        if seen.mark.epoch < self.stores[store].at[site].mark.epoch {
            return not_done("source-stale", Retry::Useless);
        }
        let (content, mark) = (seen.content.clone(), seen.mark.clone());
        let taken_at = self.sites[site].clock.wall(self.now);
        self.install(store, site, source, content, mark, taken_at);
        done()
    }

    /// A verified copy is in its place.
    pub(super) fn install(
        &mut self,
        store: usize,
        site: usize,
        source: usize,
        content: Vec<u32>,
        mark: Mark,
        taken_at: mainstay_model::Timestamp,
    ) {
        let source = self.topology.sites[source].clone();
        let replica: &mut Replica = &mut self.stores[store].at[site];
        replica.recovery = Some(RecoveryPoint {
            source,
            taken_at,
            position: position(&content),
        });
        replica.access = Access::Replica;
        replica.content = content;
        replica.mark = mark;
        replica.written = false;
    }

    fn salvage(&mut self, store: usize, site: usize, owner: &SiteId) -> Reply {
        let owner = self.topology.site(owner);
        if !self.reads(site, owner) {
            return not_done("source-unreachable", Retry::MayHelp);
        }
        let here = self.stores[store].at[site].content.clone();
        if !self.has(Own::SalvageSavesNothing) {
            self.stores[store].saved.extend(here);
        }
        done()
    }

    /// The agent shuts a store, or everything, at its site.
    pub(super) fn shut(&mut self, site: usize, subject: &Subject, below: Epoch) -> Reply {
        let stores: Vec<usize> = match subject {
            Subject::Component(name) => self.topology.store(name).into_iter().collect(),
            _ => (0..self.stores.len()).collect(),
        };
        for workload in 0..self.workloads.len() {
            if self.topology.uses[workload]
                .iter()
                .any(|it| stores.contains(it))
            {
                self.workloads[workload][site].running = false;
                let name = self.topology.workloads[workload].clone();
                self.sites[site].agent.supervised.remove(&name);
            }
        }
        let names: Vec<ComponentId> = stores
            .iter()
            .map(|it| self.topology.stores[*it].clone())
            .collect();
        self.sites[site].agent.hold(names);
        for store in stores {
            if site < self.stores[store].at.len() {
                let floor = self.sites[site]
                    .agent
                    .floor(&self.topology.stores[store].clone());
                let _ = self.seal(store, site, below.max(floor));
            }
        }
        done()
    }

    fn drive_workload(&mut self, workload: usize, site: usize, action: &Action) -> Reply {
        let ready_at = self.now + self.dice.between(20 * MS, 400 * MS);
        let scheduler = self.is_scheduler(workload);
        let bound = self.bindings(workload, site);
        let Some(instance) = self.workloads[workload].get_mut(site) else {
            return not_done("wrong-site", Retry::Useless);
        };
        match action.op {
            Op::Provision => instance.exists = true,
            Op::Start | Op::Rebind if !instance.exists => {
                return not_done("absent", Retry::Useless);
            }
            Op::Start | Op::Rebind => {
                instance.bound = bound;
                if !instance.running {
                    instance.running = true;
                    instance.ready_at = ready_at;
                }
            }
            Op::Stop => instance.running = false,
            Op::Hold if scheduler => instance.held = true,
            Op::Release if scheduler => instance.held = false,
            Op::Sweep | Op::Reconcile { .. } => {}
            _ => return not_done("unsupported", Retry::Useless),
        }
        done()
    }

    /// Where a workload finds its stores: through their routes, else at the site that owns them, if it can be seen.
    pub(super) fn bindings(
        &self,
        workload: usize,
        site: usize,
    ) -> std::collections::BTreeMap<usize, usize> {
        let uses = self.topology.declared_workload(workload).uses.iter();
        let bind = uses.filter_map(|used| {
            let store = self.topology.store(&used.store)?;
            let route = used.via.as_ref().and_then(|via| self.topology.route(via));
            let routed = route.and_then(|route| {
                let weights = &self.routes[route].weights;
                let first = weights.iter().find(|(_, weight)| **weight > 0);
                first.map(|(name, _)| self.topology.site(name))
            });
            Some((store, routed.or_else(|| self.owner(store)).unwrap_or(site)))
        });
        bind.collect()
    }

    fn set_route(&mut self, route: usize, weights: &Weights, epoch: Epoch) -> Reply {
        let record: &RouteFacts = &self.routes[route];
        if record.epoch == epoch && record.weights == *weights {
            return done();
        }
        if record.epoch >= epoch && !self.has(Own::RouteIgnoresRecord) {
            return Err(ActError::StaleEpoch(record.epoch));
        }
        self.check_route(route, weights, epoch);
        self.routes[route] = RouteFacts {
            weights: weights.clone(),
            epoch,
        };
        done()
    }

    /// A route's update is lost on its way to the server, or comes late.
    pub(super) fn send_late(&mut self, order: &Order) {
        let (Op::Route { weights, epoch }, Some(name)) =
            (&order.action.op, order.action.subject.component())
        else {
            return;
        };
        let Some(route) = self.topology.route(name) else {
            return;
        };
        let was = self.routes[route].epoch;
        if was >= *epoch {
            return;
        }
        self.fault(crate::faults::Kind::Late);
        let update = Update {
            route,
            to: RouteFacts {
                weights: weights.clone(),
                epoch: *epoch,
            },
            was,
        };
        let late = self.fault_dice.between(SECOND, 40 * SECOND);
        self.at(self.now + late, Ev::LateUpdate(Box::new(update)));
    }

    /// It arrives. The server takes it only if the record still says what the update was made for.
    pub(super) fn late_update(&mut self, update: &Update) {
        let Update { route, to, was } = update;
        let record = &self.routes[*route];
        let fits = record.epoch == *was || self.has(Own::RouteIgnoresRecord);
        if fits && record != to {
            self.trace.say(self.now, || {
                format!("a late update sets route {route} to {to:?}")
            });
            self.check_route(*route, &to.weights, to.epoch);
            self.routes[*route] = to.clone();
        }
    }

    /// Whether the workload is a scheduler.
    pub(crate) fn is_scheduler(&self, workload: usize) -> bool {
        self.topology.schedulers[workload]
    }
}
