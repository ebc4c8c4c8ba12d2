//! The world as it begins: everything at the first site, copied to the others, owned at epoch one.
//! Must not know what will happen.

use std::collections::BTreeSet;

use mainstay_model::{Access, Epoch, Mark, Position, RecoveryPoint, RouteFacts, Standby};

use super::{
    Ev, World,
    net::Net,
    queue::Queue,
    truth::{Agent, Instance, Replica, SiteTruth, StoreTruth},
};
use crate::{
    check::Checks,
    clock::{Clock, MS, SECOND},
    dice::Dice,
    mover::{Mover, Registry},
    options::Options,
    script::Script,
    topology::Topology,
    trace::Trace,
    watcher::Watcher,
};

impl World {
    /// The world of a seed.
    pub(crate) fn new(options: Options) -> Self {
        let mut dice = Dice::new(options.seed, 1);
        let topology = Topology::random(&mut dice, options.mix);
        let sites: Vec<SiteTruth> = (topology.sites.iter())
            .map(|_| SiteTruth {
                up: true,
                died: None,
                clock: Clock::random(&mut dice),
                agent: Agent::default(),
                gone: false,
                lies: false,
            })
            .collect();
        let mut world = Self {
            registry: Registry::new(&topology),
            checks: Checks::new(&topology),
            script: Script::random(&mut dice, &topology, options.mix),
            watcher: Watcher::new(&topology, &mut dice, options.engine, options.mix),
            trace: Trace::new(options.trace),
            fault_dice: Dice::new(options.seed, 2),
            decisions: Dice::new(options.seed, 3),
            calm_at: options.calm_at,
            stores: Vec::new(),
            workloads: Vec::new(),
            routes: Vec::new(),
            net: Net::new(),
            mover: Mover::default(),
            now: 0,
            queue: Queue::default(),
            writes: 0,
            faults: 0,
            last_fault: 0,
            states: BTreeSet::new(),
            over: false,
            sites,
            dice,
            options,
            topology,
        };
        world.watcher.on &= world.options.faults;
        world.open_stores();
        world.start_workloads();
        world.begin();
        world
    }

    fn open_stores(&mut self) {
        let data = self.topology.data();
        for store in 0..self.topology.stores.len() {
            let leased = self.lease(store);
            let replica = |site: usize| Replica {
                access: if site == 0 {
                    Access::Open
                } else {
                    Access::Replica
                },
                mark: Mark {
                    epoch: Epoch(1),
                    owner: self.topology.sites[0].clone(),
                    run: None,
                },
                content: Vec::new(),
                recovery: (site > 0).then(|| RecoveryPoint {
                    source: self.topology.sites[0].clone(),
                    taken_at: self.sites[site].clock.wall(0),
                    position: Position::Counter(0),
                }),
                written: false,
                holder: leased
                    .filter(|_| site == 0)
                    .map(|it| self.options.holder(it)),
                token: Epoch(0),
                copying: false,
                changes: 0,
            };
            let at = (0..data).map(replica).collect();
            self.stores.push(StoreTruth {
                at,
                acked: Vec::new(),
                saved: BTreeSet::new(),
                enabled: vec![(Epoch(1), 0)],
            });
            let name = self.topology.stores[store].clone();
            self.sites[0].agent.owned.insert(name, Epoch(1));
        }
        for (name, route) in &self.topology.file.routes {
            let served = route.serves.first();
            let weights = served.and_then(|it| self.topology.file.placement.get(it));
            let _ = name;
            self.routes.push(RouteFacts {
                weights: weights.cloned().unwrap_or_default(),
                epoch: Epoch(1),
            });
        }
    }

    fn start_workloads(&mut self) {
        let data = self.topology.data();
        for workload in 0..self.topology.workloads.len() {
            let name = self.topology.workloads[workload].clone();
            let standby = self.topology.declared_workload(workload).standby;
            let placed = self.topology.file.placement.get(&name).cloned();
            let mut instances = Vec::new();
            for site in 0..data {
                let here = &self.topology.sites[site];
                let active = placed.as_ref().is_some_and(|it| it.contains_key(here));
                instances.push(Instance {
                    exists: active || standby != Standby::Cold,
                    running: active || standby == Standby::Hot,
                    ready_at: 0,
                    held: !active && self.is_scheduler(workload),
                    bound: self.bindings(workload, site),
                });
                if active {
                    self.sites[site].agent.supervised.insert(name.clone());
                }
            }
            self.workloads.push(instances);
        }
    }

    fn begin(&mut self) {
        let data = self.topology.data();
        for site in 0..self.sites.len() {
            self.agent_first(site, 0);
        }
        for store in 0..self.stores.len() {
            let first = self.dice.between(MS, 300 * MS);
            self.at(first, Ev::Client(store));
            for site in 0..data {
                let first = self.dice.between(0, 50 * MS);
                self.at(first, Ev::LeaseTick(store, site));
                let first = self.dice.between(100 * MS, 2 * SECOND);
                self.at(first, Ev::Copy(store, site));
            }
        }
        for site in 0..data {
            let first = self.dice.between(0, SECOND);
            self.at(first, Ev::Watch(site));
        }
        self.begin_watching();
        self.begin_faults();
        let first = self.dice.between(3 * SECOND, 12 * SECOND);
        self.at(first, Ev::Script);
    }
}
