//! The story of a seed: moves, losses, returns, the way home.
//! Must not know how a move is made.

use std::collections::VecDeque;

use mainstay_model::{Access, Epoch, Op, Span, Subject, Weights};
use mainstay_planner::{Code, Request, Target};

use crate::{
    clock::{MS, SECOND},
    dice::Dice,
    mover::Begun,
    options::{Dies, Mix},
    topology::Topology,
    world::{Ev, World},
};

/// So many moves are added to a story at most.
const MORE: u32 = 8;

/// One act.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// A planned move of everything.
    Switchover(usize),
    /// A planned move of one component.
    Only(usize, usize),
    /// A forced move.
    Failover(usize),
    /// A site loses power.
    Lose(usize),
    /// A site is cut off.
    Isolate(usize),
    /// Everything is up and connected again.
    Mend,
    /// A site is made a copy again.
    Reprotect(usize),
    /// Old orders arrive.
    OldOrders,
    /// A person does by hand what no run does.
    Tidy,
    /// Nothing, for so many seconds.
    Rest(u64),
    /// A site dies in the middle of the next move, after so many milliseconds, and stays away.
    Doom(usize, u64),
    /// The agent at the witness dies and is started again at once.
    Restart,
    /// The first workload is spread over other sites.
    Spread,
    /// Somebody changes their mind in the middle of the next move, after so many milliseconds.
    Doubt(u64),
}

/// What is still to come.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    acts: VecDeque<Act>,
    tries: u32,
    /// Moves that were added to it.
    more: u32,
    /// The act that began the last run.
    last: Option<Act>,
}

impl Script {
    /// A random story.
    pub(crate) fn random(dice: &mut Dice, topology: &Topology, mix: Mix) -> Self {
        let there = 1 + dice.index(topology.data() - 1);
        let kind = match mix {
            Mix::All => dice.below(10),
            Mix::Planned | Mix::Spread => dice.below(4),
            Mix::Disaster => 4 + dice.below(4),
            Mix::Detector => 8 + dice.below(2),
        };
        let mut acts = match kind {
            _ if mix == Mix::Spread => spread(),
            0..=3 => planned(kind, there, dice),
            _ => forced(kind, there, dice),
        };
        acts.extend([Act::Mend, Act::Rest(3), Act::Tidy, Act::Tidy, Act::Rest(2)]);
        Self {
            acts: acts.into(),
            tries: 0,
            more: 0,
            last: None,
        }
    }
}

/// A weighted story: the first workload is spread, then everything moves.
fn spread() -> Vec<Act> {
    vec![
        Act::Rest(2),
        Act::Spread,
        Act::OldOrders,
        Act::Rest(3),
        Act::Switchover(2),
    ]
}

fn rest(dice: &mut Dice) -> Act {
    Act::Rest(dice.between(1, 12))
}

fn lose(dice: &mut Dice) -> Act {
    match dice.below(3) {
        0 => Act::Isolate(0),
        _ => Act::Lose(0),
    }
}

/// Stories of planned moves.
fn planned(kind: u64, there: usize, dice: &mut Dice) -> Vec<Act> {
    match kind {
        0 => vec![
            Act::Switchover(there),
            rest(dice),
            Act::Reprotect(0),
            rest(dice),
            Act::Switchover(0),
        ],
        1 if dice.chance(300) => vec![
            Act::Doom(there, dice.between(50, 3_000)),
            Act::Switchover(there),
            rest(dice),
        ],
        1 => vec![
            Act::Doubt(dice.between(50, 4_000)),
            Act::Switchover(there),
            rest(dice),
        ],
        2 => vec![
            Act::Only(dice.index(5), there),
            rest(dice),
            Act::Switchover(there),
            Act::OldOrders,
        ],
        _ => vec![
            Act::Switchover(there),
            Act::OldOrders,
            Act::Lose(there),
            Act::Failover(0),
        ],
    }
}

/// Stories of disasters.
fn forced(kind: u64, there: usize, dice: &mut Dice) -> Vec<Act> {
    match kind {
        // A failover without any disaster: it loses what was not copied, and says so.
        4 => vec![
            Act::Failover(there),
            rest(dice),
            Act::Tidy,
            Act::Reprotect(0),
        ],
        5 if dice.chance(600) => vec![
            Act::Isolate(0),
            Act::Restart,
            Act::Failover(there),
            Act::OldOrders,
            Act::Mend,
            rest(dice),
            Act::OldOrders,
            Act::Tidy,
            Act::Reprotect(0),
            Act::OldOrders,
        ],
        5..=7 => vec![
            lose(dice),
            rest(dice),
            Act::Failover(there),
            Act::OldOrders,
            Act::Mend,
            rest(dice),
            Act::Tidy,
            Act::Reprotect(0),
            rest(dice),
            Act::Switchover(0),
        ],
        _ => vec![
            rest(dice),
            lose(dice),
            Act::Rest(dice.between(1, 25)),
            Act::Mend,
            Act::Rest(8),
            Act::Tidy,
            Act::Reprotect(0),
            Act::Lose(there),
            Act::Rest(dice.between(1, 25)),
        ],
    }
}

impl World {
    /// The last run left no trace: it is asked for again.
    pub(crate) fn begin_again(&mut self) {
        if let Some(act) = self.script.last {
            self.script.acts.push_front(act);
        }
    }

    /// The next act, if nothing goes on.
    pub(crate) fn next_act(&mut self) {
        if self.mover.active.is_some() || self.mover.down {
            self.at(self.now + 2 * SECOND, Ev::Script);
            return;
        }
        let Some(act) = self.script.acts.front().copied() else {
            if self.one_more_move() {
                self.at(self.now, Ev::Script);
                return;
            }
            self.check_last();
            self.over = true;
            return;
        };
        self.trace.say(self.now, || format!("act: {act:?}"));
        let mut pause = SECOND / 2;
        let mut done = true;
        match act {
            Act::Switchover(site) => {
                let to = self.topology.sites[site].clone();
                done = self.moved(&Request::switchover(to), None);
            }
            Act::Only(component, site) => done = self.move_one(component, site),
            Act::Failover(site) => {
                let to = self.topology.sites[site].clone();
                let limit = if self.dice.chance(700) {
                    Span::MAX
                } else {
                    Span::from_secs(self.dice.between(1, 20))
                };
                done = self.moved(&Request::failover(to, None), Some(limit));
            }
            Act::Reprotect(site) => {
                let site = self.topology.sites[site].clone();
                done = self.moved(&Request::reprotect(site), None);
            }
            Act::Lose(site) => self.site_dies(site),
            Act::Isolate(site) => self.isolate(site),
            Act::Mend => self.mend(),
            Act::OldOrders => self.old_orders(),
            Act::Tidy => done = self.tidy(),
            Act::Rest(seconds) => pause = seconds * SECOND,
            Act::Doom(site, after) => {
                if self.options.faults {
                    let at = self.now + SECOND / 2 + after * MS;
                    self.at(at, Ev::Fault(crate::faults::Fault::Gone(site)));
                }
            }
            Act::Restart => {
                let witness = self.topology.witness();
                self.agent_dies(witness);
                self.agent_starts(witness);
            }
            Act::Spread => done = self.spread(),
            Act::Doubt(after) => {
                let at = self.now + SECOND / 2 + after * MS;
                self.at(at, Ev::Fault(crate::faults::Fault::Meddle));
            }
        }
        self.script.last = Some(act);
        self.script.tries += 1;
        if done || self.script.tries > 6 {
            self.script.acts.pop_front();
            self.script.tries = 0;
        } else {
            pause = 8 * SECOND;
        }
        self.at(self.now + pause, Ev::Script);
    }

    /// The mover dies once in every seed: if it has not, there is one more move for it to die in.
    fn one_more_move(&mut self) -> bool {
        let dies = self.options.faults && self.options.dies == Dies::Somewhen;
        if !dies || self.mover.died || self.script.more >= MORE {
            return false;
        }
        self.script.more += 1;
        self.mover.dies_at = Some(self.mover.entries + self.dice.between(1, 30));
        let owner = self.owner(0).unwrap_or(0);
        let to = (owner + 1) % self.topology.data();
        self.script.acts.extend([
            Act::Mend,
            Act::Rest(3),
            Act::Tidy,
            Act::Reprotect(to),
            Act::Switchover(to),
            Act::Rest(2),
            Act::Tidy,
            Act::Rest(2),
        ]);
        true
    }

    /// Nobody hears of this site any more.
    fn isolate(&mut self, site: usize) {
        self.fault(crate::faults::Kind::Partition);
        for other in 0..=self.topology.mover() {
            if other != site {
                self.net.cut(site, other);
                self.net.cut(other, site);
            }
        }
    }

    /// The network is whole and every site is there again.
    fn mend(&mut self) {
        self.net.heal();
        for site in 0..self.sites.len() {
            self.sites[site].gone = false;
            self.site_returns(site);
            self.agent_starts(site);
        }
    }

    /// Tries to begin a move; whether there is nothing more to try.
    fn moved(&mut self, request: &Request, limit: Option<Span>) -> bool {
        match self.begin_move(request, limit) {
            Begun::Started | Begun::Nothing => true,
            Begun::Unfinished => {
                self.resume_parked();
                false
            }
            Begun::Refused(codes) => {
                if codes.contains(&Code::UnsafePlan) {
                    let words = "the planner made a plan that its proof refuses".to_owned();
                    self.trace.say(self.now, || words);
                    self.checks.unsafe_plans += 1;
                }
                if codes.contains(&Code::MovedExternally) {
                    self.adopt();
                }
                false
            }
        }
    }

    fn spread(&mut self) -> bool {
        let Some(web) = self
            .topology
            .workloads
            .iter()
            .find(|it| it.as_str() == "web")
        else {
            return true;
        };
        let sites = self.topology.sites[1..self.topology.data()].iter();
        let weights: Weights = sites.map(|site| (site.clone(), 50)).collect();
        let target = Target::Placement(std::iter::once((web.clone(), weights)).collect());
        let mode = mainstay_model::MoveMode::Switchover;
        self.moved(&Request::new(mode, target), None)
    }

    fn move_one(&mut self, component: usize, site: usize) -> bool {
        let stores = self.topology.stores.iter();
        let all: Vec<_> = stores.chain(&self.topology.workloads).cloned().collect();
        let component = all[component % all.len()].clone();
        let to = self.topology.sites[site].clone();
        let target = Target::Only { component, to };
        self.moved(
            &Request::new(mainstay_model::MoveMode::Switchover, target),
            None,
        )
    }

    /// Learns from the stores' own marks who owns them.
    fn adopt(&mut self) {
        for store in 0..self.stores.len() {
            let Some(site) = self.owner(store) else {
                continue;
            };
            let replica = &self.stores[store].at[site];
            if replica.mark.owner == self.topology.sites[site] {
                let name = self.topology.stores[store].clone();
                let (owner, epoch) = (replica.mark.owner.clone(), replica.mark.epoch);
                self.registry.opened(&name, &owner, epoch);
            }
        }
    }

    /// Finishes what was begun, and takes back into service what a short outage closed.
    fn tidy(&mut self) -> bool {
        if !self.mover.parked.is_empty() {
            self.resume_parked();
            return false;
        }
        self.adopt();
        let mut done = true;
        for store in 0..self.stores.len() {
            done &= !self.reopen(store);
        }
        for workload in 0..self.workloads.len() {
            self.restart(workload);
        }
        done
    }

    /// Opens a store that is open nowhere, where it was last.
    fn reopen(&mut self, store: usize) -> bool {
        let name = self.topology.stores[store].clone();
        let open = |it: &crate::world::Replica| it.access == Access::Open;
        if self.stores[store].at.iter().any(open) {
            return false;
        }
        let Some(site) = self.owner(store) else {
            return false;
        };
        if self.registry.placement.get(&name) != Some(&self.weights(site)) {
            return false;
        }
        let known = self.stores[store].at.iter().map(|it| it.mark.epoch).max();
        let epoch = self.registry.granted(&name).max(known.unwrap_or_default());
        let epoch = Epoch(epoch.0 + 1);
        self.registry.grant(&name, epoch);
        // Whoever opens a store by hand takes what is there.
        self.forget_lost(store, site);
        self.by_hand(site, Subject::Component(name), Op::Unseal(epoch));
        true
    }

    fn weights(&self, site: usize) -> Weights {
        Weights::from([(self.topology.sites[site].clone(), 100)])
    }

    /// Starts a workload where it belongs, if it does not run there.
    fn restart(&mut self, workload: usize) {
        let name = self.topology.workloads[workload].clone();
        let placed = self
            .registry
            .placement
            .get(&name)
            .cloned()
            .unwrap_or_default();
        let sites: Vec<usize> = placed.keys().map(|site| self.topology.site(site)).collect();
        let scheduler = self.is_scheduler(workload);
        for site in &sites {
            let instance = &self.workloads[workload][*site];
            let (runs, held, exists) = (instance.running, instance.held, instance.exists);
            let subject = || Subject::Component(name.clone());
            if !runs && exists {
                self.by_hand(*site, subject(), Op::Start);
            }
            let elsewhere = (0..self.topology.data())
                .any(|other| !sites.contains(&other) && self.works(workload, other));
            if scheduler && held && !elsewhere {
                self.by_hand(*site, subject(), Op::Release);
            }
        }
    }
}
