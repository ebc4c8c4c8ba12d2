//! A site's agent: the engine's rules over a simulated journal, and orders that take their time.
//! Must not know what an operation does; [`super::drive`] does.

use mainstay_driver::{ActError, Cause, Handle, Order, Progress, Retry};
use mainstay_engine::{
    agent::{self, Admission, Change},
    lease::{Drift, Grantor},
};
use mainstay_model::{ComponentId, Direction, EffectId, Epoch, ExecutorEpoch, Op, Span};

use super::{
    Ev, Msg, World,
    truth::{Agent, Recorded, Reply, Task},
};
use crate::clock::{MS, SECOND, Time};

/// The longest lease that a grantor gives.
const LONGEST: Span = Span::from_secs(10);

pub(crate) fn not_done(code: &str, retry: Retry) -> Reply {
    Err(ActError::NotDone(cause(code, retry)))
}

fn unknown(code: &str) -> Reply {
    Err(ActError::Unknown(cause(code, Retry::MayHelp)))
}

fn cause(code: &str, retry: Retry) -> Cause {
    Cause {
        code: code.to_owned(),
        what: code.to_owned(),
        retry,
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "one of several answers that share a type"
)]
fn running(id: &EffectId) -> Reply {
    Ok(Progress::Running {
        handle: Handle(format!("agent:{id}")),
        again_in: Span::from_millis(1_500),
        note: None,
    })
}

/// The order as the rules look at it.
pub(crate) fn asked(order: &Order) -> agent::Asked<'_> {
    agent::Asked {
        id: &order.id,
        action: &order.action,
        fence: order.fence.as_ref(),
    }
}

impl Agent {
    /// Remembers.
    pub(crate) fn remember(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Floor(store, epoch) => raise(&mut self.floors, store, epoch),
                Change::Executor(executor) => self.executor = self.executor.max(executor),
                Change::Supervised(name) => {
                    self.supervised.insert(name);
                }
                Change::Unsupervised(name) => {
                    self.supervised.remove(&name);
                }
                Change::Owned(store, epoch) => raise(&mut self.owned, store, epoch),
                Change::Disowned(store) => {
                    self.owned.remove(&store);
                }
                Change::Freed(store) => {
                    self.held.remove(&store);
                }
                Change::FreedSite => self.quarantined &= !self.held.is_empty(),
            }
        }
    }

    /// Holds these stores and the site back.
    pub(crate) fn hold(&mut self, stores: impl IntoIterator<Item = ComponentId>) {
        for store in stores {
            self.owned.remove(&store);
            self.held.insert(store);
        }
        self.quarantined = true;
    }

    /// The latest order about the same step.
    fn latest(&self, id: &EffectId) -> Option<(Direction, u32)> {
        let known = self.effects.keys();
        let same = known.filter(|known| known.run == id.run && known.step == id.step);
        same.map(|known| (known.direction, known.attempt))
            .max_by_key(|(direction, attempt)| agent::age(*direction, *attempt))
    }

    /// The floor of a store.
    pub(crate) fn floor(&self, store: &ComponentId) -> Epoch {
        self.floors.get(store).copied().unwrap_or_default()
    }
}

fn raise(
    epochs: &mut std::collections::BTreeMap<ComponentId, Epoch>,
    store: ComponentId,
    to: Epoch,
) {
    let known = epochs.entry(store).or_default();
    *known = (*known).max(to);
}

impl World {
    /// An order arrives.
    pub(super) fn order(&mut self, site: usize, life: u64, order: Order) {
        let needs = agent::needs(&self.topology.file, &order.action);
        let it = &self.sites[site].agent;
        let floor = agent::token(&asked(&order)).map(|(store, _)| it.floor(&store));
        let known = agent::Known {
            recorded: it.effects.get(&order.id).cloned(),
            latest: it.latest(&order.id),
            executor: it.executor,
            floor: floor.unwrap_or_default(),
            held: needs
                .into_iter()
                .find(|store| it.held.contains(store))
                .map(|store| (store, ())),
        };
        let reply = match agent::admit(&asked(&order), known, self.options.engine) {
            Admission::New(changes) => {
                self.check_start(site, &order);
                let it = &mut self.sites[site].agent;
                it.remember(changes);
                it.effects.insert(order.id.clone(), Recorded::Started);
                self.take_on(site, life, order);
                return;
            }
            Admission::Known(Recorded::Answered(reply)) => reply,
            Admission::Known(Recorded::Started) if it.tasks.contains_key(&order.id) => {
                running(&order.id)
            }
            Admission::Known(Recorded::Started) => unknown("agent-restarted"),
            Admission::Superseded(_) => not_done("executor-superseded", Retry::Useless),
            Admission::Overtaken(..) => not_done("order-overtaken", Retry::Useless),
            Admission::Stale(floor) => Err(ActError::StaleEpoch(floor)),
            Admission::Held(..) => not_done("quarantined", Retry::Useless),
        };
        self.reply(site, life, order.id, reply);
    }

    pub(super) fn reply(&mut self, site: usize, life: u64, id: EffectId, reply: Reply) {
        let mover = self.topology.mover();
        self.send(site, mover, Msg::Reply { life, id, reply });
    }

    /// It takes its time.
    fn take_on(&mut self, site: usize, life: u64, order: Order) {
        let mut takes = self.dice.between(3 * MS, 80 * MS);
        if self.is_faulty() && self.fault_dice.chance(15) {
            self.fault(crate::faults::Kind::Slow);
            takes = self.fault_dice.between(SECOND, 150 * SECOND);
        }
        let mut done_at = self.now + takes;
        if let Some(store) = order.action.subject.component() {
            let busy = self.sites[site]
                .agent
                .busy
                .entry(store.clone())
                .or_default();
            done_at = done_at.max(*busy + takes);
            *busy = done_at;
        }
        let id = order.id.clone();
        let told = takes > 3 * SECOND;
        let task = Task { order, life, told };
        let agent = &mut self.sites[site].agent;
        agent.tasks.insert(id.clone(), task);
        let agent_life = agent.life;
        self.at(done_at, Ev::TaskDone(site, agent_life, id.clone()));
        if told {
            self.reply(site, life, id.clone(), running(&id));
        }
    }

    /// The order has had its time.
    pub(super) fn task_done(&mut self, site: usize, agent_life: u64, id: &EffectId) {
        let it = &mut self.sites[site].agent;
        if !it.alive || it.life != agent_life {
            return;
        }
        let Some(task) = it.tasks.remove(id) else {
            return;
        };
        if let Some(again) = self.lease_runs(site, &task.order) {
            let (at, told) = (self.now + again, task.told);
            let (life, id) = (task.life, id.clone());
            let task = Task { told: true, ..task };
            self.sites[site].agent.tasks.insert(id.clone(), task);
            self.at(at, Ev::TaskDone(site, agent_life, id.clone()));
            if !told {
                self.reply(site, life, id.clone(), running(&id));
            }
            return;
        }
        let reply = self.carry_out(site, &task.order);
        self.answer(site, &task.order, &reply);
        self.reply(site, task.life, id.clone(), reply);
    }

    /// The floor that an order does not reach any more.
    fn is_void(&self, site: usize, order: &Order) -> Option<Epoch> {
        let (store, epoch) = agent::token(&asked(order))?;
        let floor = self.sites[site].agent.floor(&store);
        (epoch < floor).then_some(floor)
    }

    /// What the agent's driver says; somebody newer may have come while the order waited.
    fn carry_out(&mut self, site: usize, order: &Order) -> Reply {
        if let Some(floor) = self.is_void(site, order) {
            return Err(ActError::StaleEpoch(floor));
        }
        if self.is_faulty() && self.fault_dice.chance(25) {
            self.fault(crate::faults::Kind::Unknown);
            return match self.fault_dice.below(3) {
                0 => not_done("try-again", Retry::MayHelp),
                1 => {
                    self.send_late(order);
                    unknown("lost")
                }
                _ => {
                    let _ = self.drive(site, order);
                    unknown("happened")
                }
            };
        }
        self.drive(site, order)
    }

    /// Remembers what became of it.
    fn answer(&mut self, site: usize, order: &Order, reply: &Reply) {
        let it = &mut self.sites[site].agent;
        it.effects
            .insert(order.id.clone(), Recorded::Answered(reply.clone()));
        match reply {
            Ok(Progress::Done(_)) => it.remember(agent::done(&order.action)),
            Err(ActError::StaleEpoch(epoch)) => {
                if let Some((store, _)) = agent::token(&asked(order)) {
                    raise(&mut it.floors, store, *epoch);
                }
            }
            _ => {}
        }
    }

    /// What became of an order. One that was never had is barred, should it still arrive.
    pub(super) fn poll(&mut self, site: usize, life: u64, order: &Order) {
        let it = &mut self.sites[site].agent;
        let reply = if it.tasks.contains_key(&order.id) {
            running(&order.id)
        } else {
            match it.effects.get(&order.id) {
                Some(Recorded::Started) => unknown("agent-restarted"),
                Some(Recorded::Answered(reply)) => reply.clone(),
                None => {
                    let never = not_done("never-ordered", Retry::MayHelp);
                    let barred = Recorded::Answered(never.clone());
                    it.effects.insert(order.id.clone(), barred);
                    never
                }
            }
        };
        self.reply(site, life, order.id.clone(), reply);
    }

    /// A newer executor says hello.
    pub(super) fn hello(&mut self, site: usize, executor: ExecutorEpoch) {
        let it = &mut self.sites[site].agent;
        it.executor = it.executor.max(executor);
        self.checks.heard(site, executor);
    }

    /// The agent's process dies. What was being done may have happened.
    pub(crate) fn agent_dies(&mut self, site: usize) {
        let tasks = std::mem::take(&mut self.sites[site].agent.tasks);
        for (_, task) in tasks {
            let waits = matches!(task.order.action.op, Op::Fence(_));
            let void = self.is_void(site, &task.order);
            if self.sites[site].up && !waits && void.is_none() && self.fault_dice.chance(400) {
                let _ = self.drive(site, &task.order);
            }
        }
        let it = &mut self.sites[site].agent;
        it.alive = false;
        it.grantor = None;
        it.busy.clear();
    }

    /// The agent's process starts.
    pub(crate) fn agent_starts(&mut self, site: usize) {
        if !self.sites[site].up || self.sites[site].agent.alive {
            return;
        }
        let mono = self.sites[site].clock.mono(self.now);
        let witness = self.topology.witness();
        let supervised: Vec<ComponentId> =
            self.sites[site].agent.supervised.iter().cloned().collect();
        let alive: Vec<Option<bool>> = supervised
            .iter()
            .filter_map(|name| self.topology.workload(name))
            .map(|workload| Some(self.workloads[workload][site].running))
            .collect();
        let it = &mut self.sites[site].agent;
        it.alive = true;
        it.life += 1;
        if site == witness {
            let record = it.leases.clone();
            let grantor = Grantor::restart(record, LONGEST, Drift::default(), mono);
            it.grantor = Some(grantor.with_bugs(self.options.engine));
        }
        if agent::was_lost(&alive) {
            let owned: Vec<ComponentId> = it.owned.keys().cloned().collect();
            it.hold(owned);
            it.supervised.clear();
            self.trace
                .say(self.now, || format!("site {site} is quarantined"));
        }
    }

    /// The first start of all.
    pub(super) fn agent_first(&mut self, site: usize, time: Time) {
        let _ = time;
        let it = &mut self.sites[site].agent;
        it.alive = true;
        it.life = 1;
        if site == self.topology.witness() {
            let grantor = Grantor::new(LONGEST, Drift::default());
            self.sites[site].agent.grantor = Some(grantor.with_bugs(self.options.engine));
        }
    }
}
