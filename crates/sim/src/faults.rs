//! What goes wrong, and when.
//! Must not know who suffers from it.

use mainstay_engine::Event;
use mainstay_model::PersonId;

use crate::{
    clock::{MS, SECOND, Time},
    options::Dies,
    topology::name,
    world::{Ev, World},
};

/// A sort of fault, for the coverage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Slow = 1,
    Unknown,
    Blind,
    ExecutorCrash,
    SecondMover,
    AgentCrash,
    SiteDown,
    Partition,
    OneWay,
    Network,
    Person,
    OldPlan,
    Liar,
    Hangs,
    Late,
}

/// A fault to come.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The mover's process dies.
    Mover,
    /// An agent dies and comes back.
    Agent(usize),
    AgentUp(usize),
    /// A site dies and comes back.
    Site(usize),
    SiteUp(usize),
    /// Links are cut, for a while.
    Cut(usize, usize),
    OneWay(usize, usize),
    Heal,
    /// The network is bad, for a while.
    Bad,
    Calm,
    /// A person interferes.
    Meddle,
    /// Old orders arrive again.
    OldOrders,
    /// A site dies and stays away until somebody mends it.
    Gone(usize),
    /// An observer begins to lie.
    Liar(usize),
    /// No more faults.
    Peace,
}

impl World {
    /// A fault was injected.
    pub(crate) fn fault(&mut self, kind: Kind) {
        self.faults += 1;
        self.last_fault = kind as u8;
    }

    /// Draws the seed's faults.
    pub(crate) fn begin_faults(&mut self) {
        let calm_at = self.calm_at;
        self.at(calm_at, Ev::Fault(Fault::Peace));
        if !self.options.faults {
            return;
        }
        if self.options.dies == Dies::Somewhen {
            if self.fault_dice.chance(500) {
                self.mover.dies_at = Some(self.fault_dice.between(1, 80));
            } else {
                let at = self.fault_dice.between(4 * SECOND, 60 * SECOND);
                self.at(at, Ev::Fault(Fault::Mover));
            }
        }
        let nodes = self.topology.mover() + 1;
        let sites = self.sites.len();
        for _ in 0..self.fault_dice.below(5) {
            let at = self.fault_dice.between(2 * SECOND, 100 * SECOND);
            let site = self.fault_dice.index(sites);
            let (a, b) = (self.fault_dice.index(nodes), self.fault_dice.index(nodes));
            let fault = match self.fault_dice.below(10) {
                0..=2 => Fault::Agent(site),
                3 => Fault::Site(site),
                4 => Fault::Cut(a, b),
                5 => Fault::OneWay(a, b),
                6 => Fault::Bad,
                7..=8 => Fault::Meddle,
                _ => Fault::OldOrders,
            };
            self.at(at, Ev::Fault(fault));
        }
        if self.fault_dice.chance(150) {
            let site = self.fault_dice.index(sites);
            self.at(SECOND, Ev::Fault(Fault::Liar(site)));
        }
    }

    /// It happens.
    pub(crate) fn strike(&mut self, fault: Fault) {
        self.trace.say(self.now, || format!("fault: {fault:?}"));
        let for_a_while = |world: &mut Self| -> Time {
            world.now + world.fault_dice.between(500 * MS, 25 * SECOND)
        };
        match fault {
            Fault::Mover => {
                if self.mover.died {
                    return;
                }
                if self.mover.active.is_none() {
                    // It dies in the middle of something, or not at all.
                    let at = self.now + self.fault_dice.between(100 * MS, 3 * SECOND);
                    self.at(at, Ev::Fault(Fault::Mover));
                } else {
                    self.mover.died = true;
                    self.mover_dies(Kind::ExecutorCrash);
                }
            }
            Fault::Agent(site) => {
                if self.sites[site].agent.alive {
                    self.fault(Kind::AgentCrash);
                    self.agent_dies(site);
                    let at = for_a_while(self);
                    self.at(at, Ev::Fault(Fault::AgentUp(site)));
                }
            }
            Fault::AgentUp(site) => self.agent_starts(site),
            Fault::Site(site) => {
                self.site_dies(site);
                let at = for_a_while(self);
                self.at(at, Ev::Fault(Fault::SiteUp(site)));
            }
            Fault::Gone(site) => {
                self.sites[site].gone = true;
                self.site_dies(site);
            }
            Fault::SiteUp(site) => self.site_returns(site),
            Fault::Cut(a, b) => {
                self.fault(Kind::Partition);
                self.net.cut(a, b);
                self.net.cut(b, a);
                let at = for_a_while(self);
                self.at(at, Ev::Fault(Fault::Heal));
            }
            Fault::OneWay(a, b) => {
                self.fault(Kind::OneWay);
                self.net.cut(a, b);
                let at = for_a_while(self);
                self.at(at, Ev::Fault(Fault::Heal));
            }
            Fault::Heal => self.net.heal(),
            Fault::Bad => {
                self.fault(Kind::Network);
                self.net.loss = self.fault_dice.between(0, 150);
                self.net.twice = self.fault_dice.between(0, 250);
                self.net.slow = self.fault_dice.between(0, 120);
                let at = for_a_while(self);
                self.at(at, Ev::Fault(Fault::Calm));
            }
            Fault::Calm => self.net.calm(),
            Fault::Meddle => self.meddle(),
            Fault::OldOrders => self.old_orders(),
            Fault::Liar(site) => {
                self.fault(Kind::Liar);
                self.sites[site].lies = true;
            }
            Fault::Peace => self.peace(),
        }
    }

    /// From now on nothing goes wrong by itself; what is broken is mended.
    fn peace(&mut self) {
        self.net.calm();
        for site in 0..self.sites.len() {
            self.sites[site].lies = false;
            self.site_returns(site);
            self.agent_starts(site);
        }
    }

    /// A person pauses or turns round a run that is doing well.
    fn meddle(&mut self) {
        if !self.options.faults {
            return;
        }
        if self.mover.active.is_none() {
            let at = self.now + self.fault_dice.between(100 * MS, 5 * SECOND);
            if self.now < self.calm_at {
                self.at(at, Ev::Fault(Fault::Meddle));
            }
            return;
        }
        self.fault(Kind::Person);
        if self.fault_dice.chance(600) {
            self.turn_round("changed my mind");
        } else {
            let by = name::<PersonId>("ann");
            let _ = self.feed(&Event::Paused { by });
        }
    }

    /// Orders of earlier plans arrive once more, or for the first time.
    pub(crate) fn old_orders(&mut self) {
        if self.mover.old_orders.is_empty() {
            return;
        }
        self.fault(Kind::OldPlan);
        for _ in 0..12 {
            let at = self.fault_dice.index(self.mover.old_orders.len());
            let (site, order) = self.mover.old_orders[at].clone();
            let delay = self.fault_dice.between(0, 2 * SECOND);
            let forged = self.must_be_refused(site, &order).then(|| {
                let mut forged = order.clone();
                forged.id.attempt += 100;
                forged
            });
            if let Some(order) = forged {
                let msg = crate::world::Msg::Act { life: 0, order };
                self.at(self.now, Ev::Arrive(site, Box::new(msg)));
            }
            let msg = crate::world::Msg::Act { life: 0, order };
            self.at(self.now + delay, Ev::Arrive(site, Box::new(msg)));
        }
    }

    /// A site loses power.
    pub(crate) fn site_dies(&mut self, site: usize) {
        if !self.sites[site].up {
            return;
        }
        self.fault(Kind::SiteDown);
        self.trace.say(self.now, || format!("site {site} dies"));
        self.agent_dies(site);
        let it = &mut self.sites[site];
        it.up = false;
        it.died = Some(self.now);
        for store in &mut self.stores {
            if let Some(replica) = store.at.get_mut(site) {
                replica.holder = None;
                replica.copying = false;
            }
        }
        for instances in &mut self.workloads {
            if let Some(instance) = instances.get_mut(site) {
                instance.running = false;
            }
        }
    }

    /// A site has power again. Writable is never what a store boots into.
    pub(crate) fn site_returns(&mut self, site: usize) {
        if self.sites[site].up || self.sites[site].gone {
            return;
        }
        self.trace.say(self.now, || format!("site {site} returns"));
        self.sites[site].up = true;
        for store in 0..self.stores.len() {
            let leased = self.lease(store).is_some();
            if let Some(replica) = self.stores[store].at.get_mut(site)
                && replica.access == mainstay_model::Access::Open
                && !leased
            {
                replica.access = mainstay_model::Access::Sealed;
            }
        }
        self.agent_starts(site);
    }

    /// A person makes sure that a site is off.
    pub(crate) fn switch_off(&mut self, site: usize) {
        self.site_dies(site);
        let back = self.now + self.dice.between(20 * SECOND, 120 * SECOND);
        self.at(back, Ev::Fault(Fault::SiteUp(site)));
    }
}
