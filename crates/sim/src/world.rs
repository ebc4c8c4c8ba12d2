//! The world: true time, what is waiting to happen, and the order in which it does.
//! Must not know what any single event means; its neighbours do.

mod agent;
mod build;
mod client;
mod drive;
mod lease;
mod look;
mod net;
mod queue;
mod truth;

use std::collections::BTreeSet;

use mainstay_driver::Order;
use mainstay_engine::{Effect, lease::Mono};
use mainstay_model::{
    ComponentId, EffectId, Epoch, ExecutorEpoch, RouteFacts, Sample, Scope, Span,
};

pub(crate) use self::{
    agent::asked,
    truth::{Instance, Replica, Reply},
};
use self::{
    client::Taken,
    drive::Update,
    net::Net,
    queue::Queue,
    truth::{SiteTruth, StoreTruth},
};
use crate::{
    check::Checks,
    clock::{SECOND, Time},
    dice::Dice,
    faults::Fault,
    mover::{Mover, Registry},
    options::Options,
    script::Script,
    topology::Topology,
    trace::Trace,
};

/// A message.
#[derive(Debug, Clone)]
pub(crate) enum Msg {
    Hello(ExecutorEpoch),
    Act {
        life: u64,
        order: Order,
    },
    Poll {
        life: u64,
        order: Order,
    },
    Reply {
        life: u64,
        id: EffectId,
        reply: Reply,
    },
    Ask {
        life: u64,
        look: u64,
        at: usize,
        scope: Scope,
    },
    Seen {
        life: u64,
        look: u64,
        at: usize,
        sample: Sample,
    },
    Lease {
        store: usize,
        site: usize,
        epoch: Epoch,
        asked: Mono,
    },
    Leased {
        store: usize,
        epoch: Epoch,
        asked: Mono,
        length: Option<Span>,
    },
    Floors {
        from: usize,
    },
    FloorsAre(Vec<(ComponentId, Epoch)>),
}

/// Something that will happen.
#[derive(Debug, Clone)]
pub(crate) enum Ev {
    Arrive(usize, Box<Msg>),
    Client(usize),
    Ack {
        store: usize,
        write: u32,
        site: usize,
    },
    Copy(usize, usize),
    CopyRead(Box<Taken>),
    CopyDone(Box<Taken>),
    LeaseTick(usize, usize),
    Watch(usize),
    Probe(usize),
    TaskDone(usize, u64, EffectId),
    LateUpdate(Box<Update>),
    Synced(u64),
    Wake(u64),
    Emit(u64, Box<Effect>),
    NoReply(u64, EffectId, u64),
    Impatient(u64, EffectId, u64),
    NoSight(u64, u64),
    Person(u64),
    MoverUp,
    Fault(Fault),
    Script,
}

/// Everything.
pub(crate) struct World {
    pub(crate) topology: Topology,
    pub(crate) options: Options,
    pub(crate) now: Time,
    queue: Queue,
    /// Chance of the world's ordinary doings.
    pub(crate) dice: Dice,
    /// Chance of what goes wrong; another stream, so that a crash does not change the rest.
    pub(crate) fault_dice: Dice,
    /// Chance of what people decide.
    pub(crate) decisions: Dice,
    pub(crate) sites: Vec<SiteTruth>,
    pub(crate) stores: Vec<StoreTruth>,
    pub(crate) workloads: Vec<Vec<Instance>>,
    pub(crate) routes: Vec<RouteFacts>,
    pub(crate) net: Net,
    writes: u32,
    pub(crate) mover: Mover,
    pub(crate) registry: Registry,
    pub(crate) script: Script,
    pub(crate) watcher: crate::watcher::Watcher,
    pub(crate) checks: Checks,
    pub(crate) trace: Trace,
    /// No faults begin after this.
    pub(crate) calm_at: Time,
    /// Faults that were injected.
    pub(crate) faults: u64,
    pub(crate) last_fault: u8,
    pub(crate) states: BTreeSet<u32>,
    pub(crate) over: bool,
}

impl World {
    /// Something will happen at that time.
    pub(crate) fn at(&mut self, at: Time, event: Ev) {
        self.queue.push(at.max(self.now), event);
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, from: usize, to: usize, msg: Msg) {
        let [first, second] = self.net.send(from, to, &mut self.dice);
        if let Some(delay) = second {
            self.at(self.now + delay, Ev::Arrive(to, Box::new(msg.clone())));
        }
        if let Some(delay) = first {
            self.at(self.now + delay, Ev::Arrive(to, Box::new(msg)));
        }
    }

    /// Whether things still go wrong by themselves.
    pub(crate) fn is_faulty(&self) -> bool {
        self.options.faults && self.now < self.calm_at
    }

    /// Whether one of the simulator's own bugs is planted.
    pub(crate) fn has(&self, bug: crate::bugs::Own) -> bool {
        self.options.own == Some(bug)
    }

    /// Runs until the script is over or an invariant is broken.
    pub(crate) fn run(&mut self) {
        while let Some((at, event)) = self.queue.pop() {
            self.now = at;
            self.trace.mix(&[at, event.code()]);
            self.happen(event);
            self.check_always();
            if self.over || self.checks.broken() {
                return;
            }
            if self.now > self.options.longest {
                self.check_never_ends();
                return;
            }
        }
    }

    fn happen(&mut self, event: Ev) {
        match event {
            Ev::Arrive(to, msg) if to == self.topology.mover() => self.arrive_at_mover(*msg),
            Ev::Arrive(to, msg) => self.arrive(to, *msg),
            Ev::Client(store) => self.client(store),
            Ev::Ack { store, write, site } => self.acknowledge(store, write, site),
            Ev::Copy(store, site) => self.copy(store, site),
            Ev::CopyRead(taken) => self.copy_read(*taken),
            Ev::CopyDone(taken) => self.copy_done(*taken),
            Ev::LeaseTick(store, site) => self.lease_tick(store, site),
            Ev::Watch(site) => self.watch(site),
            Ev::Probe(observer) => self.probe(observer),
            Ev::TaskDone(site, life, id) => self.task_done(site, life, &id),
            Ev::LateUpdate(update) => self.late_update(&update),
            Ev::Synced(life) => self.synced(life),
            Ev::Wake(life) => self.wake(life),
            Ev::Emit(life, effect) => self.emit(life, *effect),
            Ev::NoReply(life, id, token) => self.no_reply(life, &id, token),
            Ev::Impatient(life, id, token) => self.impatient(life, &id, token),
            Ev::NoSight(life, look) => self.no_sight(life, look),
            Ev::Person(life) => self.person(life),
            Ev::MoverUp => self.mover_up(),
            Ev::Fault(fault) => self.strike(fault),
            Ev::Script => self.next_act(),
        }
    }

    /// A message reaches a site.
    fn arrive(&mut self, to: usize, msg: Msg) {
        if !self.sites[to].up {
            return;
        }
        // Holders live beside their stores, not in the agent.
        if let Msg::Leased {
            store,
            epoch,
            asked,
            length,
        } = msg
        {
            self.leased(store, to, epoch, asked, length);
            return;
        }
        if !self.sites[to].agent.alive {
            return;
        }
        match msg {
            Msg::Hello(executor) => self.hello(to, executor),
            Msg::Act { life, order } => self.order(to, life, order),
            Msg::Poll { life, order } => self.poll(to, life, &order),
            Msg::Ask {
                life,
                look,
                at,
                scope,
            } => {
                if let Some(settled) = self.under_way(to, &scope) {
                    let ask = Msg::Ask {
                        life,
                        look,
                        at,
                        scope,
                    };
                    self.at(settled, Ev::Arrive(to, Box::new(ask)));
                    return;
                }
                let sample = self.observe(to, &scope);
                let mover = self.topology.mover();
                let seen = Msg::Seen {
                    life,
                    look,
                    at,
                    sample,
                };
                self.send(to, mover, seen);
            }
            Msg::Lease {
                store,
                site,
                epoch,
                asked,
            } => self.grant(store, site, epoch, asked),
            Msg::Floors { from } => {
                let floors = self.known_floors(to);
                self.send(to, from, Msg::FloorsAre(floors));
            }
            Msg::FloorsAre(floors) => self.look_around(to, floors),
            Msg::Reply { .. } | Msg::Seen { .. } | Msg::Leased { .. } => {}
        }
    }

    /// An agent asks the witness whether a store has moved on.
    fn watch(&mut self, site: usize) {
        self.at(self.now + 2 * SECOND, Ev::Watch(site));
        if self.sites[site].up && self.sites[site].agent.alive {
            let witness = self.topology.witness();
            self.send(site, witness, Msg::Floors { from: site });
        }
    }

    fn known_floors(&self, witness: usize) -> Vec<(ComponentId, Epoch)> {
        let agent = &self.sites[witness].agent;
        let stores = self.topology.stores.iter().map(|name| {
            let record = agent.leases.stores.get(name);
            let granted = record.and_then(|record| Some(record.owner.as_ref()?.epoch));
            let floor = record.map(|record| record.floor).max(granted);
            (
                name.clone(),
                agent.floor(name).max(floor.unwrap_or_default()),
            )
        });
        stores.collect()
    }

    /// The witness's answer: what this site still believes to own and is elsewhere, is shut.
    fn look_around(&mut self, site: usize, floors: Vec<(ComponentId, Epoch)>) {
        if self.has(crate::bugs::Own::NeverLooksAround) {
            return;
        }
        for (name, floor) in floors {
            let Some(store) = self.topology.store(&name) else {
                continue;
            };
            let agent = &self.sites[site].agent;
            let owned = agent.owned.get(&name).copied();
            let seen = self.store_facts(store, site);
            let held = agent.held.contains(&name);
            // What is held back has been shut, unless nobody knew then that it had moved on.
            if held && seen.access != mainstay_model::Access::Open {
                continue;
            }
            let here = &self.topology.sites[site];
            if mainstay_engine::agent::left_behind(here, owned, Some(&seen), floor) {
                let known = self.sites[site]
                    .agent
                    .floors
                    .entry(name.clone())
                    .or_default();
                *known = (*known).max(floor);
                let subject = mainstay_model::Subject::Component(name);
                let _ = self.shut(site, &subject, floor);
            }
        }
    }
}

impl Ev {
    /// A number for the trace's hash.
    fn code(&self) -> u64 {
        match self {
            Self::Arrive(to, msg) => {
                let code = match msg.as_ref() {
                    Msg::Hello(_) => 1,
                    Msg::Act { .. } => 2,
                    Msg::Poll { .. } => 3,
                    Msg::Reply { .. } => 4,
                    Msg::Ask { .. } => 5,
                    Msg::Seen { .. } => 6,
                    Msg::Lease { .. } => 7,
                    Msg::Leased { .. } => 8,
                    Msg::Floors { .. } => 9,
                    Msg::FloorsAre(_) => 10,
                };
                code * 16 + u64::try_from(*to).unwrap_or(0)
            }
            Self::Client(_) => 1_000,
            Self::Ack { write, .. } => 1_000_000 + u64::from(*write),
            Self::Copy(..) => 1_001,
            Self::CopyRead(_) => 1_002,
            Self::CopyDone(_) => 1_003,
            Self::LeaseTick(..) => 1_004,
            Self::Watch(_) => 1_005,
            Self::Probe(_) => 1_006,
            Self::TaskDone(..) => 1_007,
            Self::Synced(_) => 1_008,
            Self::Wake(_) => 1_009,
            Self::Emit(..) => 1_010,
            Self::NoReply(..) => 1_011,
            Self::NoSight(..) => 1_012,
            Self::Person(_) => 1_013,
            Self::MoverUp => 1_014,
            Self::Fault(_) => 1_015,
            Self::Script => 1_016,
            Self::Impatient(..) => 1_017,
            Self::LateUpdate(_) => 1_018,
        }
    }
}
