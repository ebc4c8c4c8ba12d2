//! The invariants, by number, checked against the truth.
//! Must not help anyone to keep them.

mod ends;
mod moves;
mod runs;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mainstay_driver::Order;
use mainstay_engine::agent;
use mainstay_model::{ComponentId, EffectId, ExecutorEpoch, MoveMode, RunId, Runbook};

use crate::{
    clock::Time,
    topology::Topology,
    world::{Instance, World},
};

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When, in microseconds since the world began.
    pub at: u64,
    /// Its number in the design.
    pub invariant: &'static str,
    /// What was seen.
    pub words: String,
}

/// What the checks remember.
#[derive(Debug, Clone)]
pub(crate) struct Checks {
    found: Option<Violation>,
    /// How often each effect was started, at each site.
    started: BTreeMap<(usize, EffectId), u32>,
    /// The newest executor that each agent was told of.
    heard: Vec<ExecutorEpoch>,
    /// Every runbook that was started.
    runbooks: BTreeMap<RunId, Arc<Runbook>>,
    newest: Option<RunId>,
    /// For each store, the site where it was open when the last run began.
    open: Vec<Option<usize>>,
    /// The workloads and the routes as they were then.
    workloads: Vec<Vec<Instance>>,
    routes: Vec<mainstay_model::RouteFacts>,
    began: Time,
    /// Components on which an order of another run, or of nobody's, was carried out since then.
    others: BTreeSet<ComponentId>,
    /// For each store: the newest epoch that got a lease, its site, and the newest fence.
    pub(crate) leases: Vec<(mainstay_model::Epoch, usize, mainstay_model::Epoch)>,
    /// Tokens that were admitted, for each site and store.
    tokens: BTreeMap<(usize, ComponentId), mainstay_model::Epoch>,
    /// Plans that the planner's own proof refused.
    pub(crate) unsafe_plans: u32,
    /// What it said about the first.
    pub(crate) unsafe_words: Option<String>,
    /// Moves that began, by mode.
    pub(crate) moves: [u32; 3],
}

impl Checks {
    pub(crate) fn new(topology: &Topology) -> Self {
        Self {
            found: None,
            started: BTreeMap::new(),
            heard: vec![ExecutorEpoch(0); topology.sites.len()],
            runbooks: BTreeMap::new(),
            newest: None,
            open: Vec::new(),
            workloads: Vec::new(),
            routes: Vec::new(),
            began: 0,
            others: BTreeSet::new(),
            leases: topology.stores.iter().map(|_| Default::default()).collect(),
            tokens: BTreeMap::new(),
            unsafe_plans: 0,
            unsafe_words: None,
            moves: [0; 3],
        }
    }

    /// An invariant is broken; only the first time counts.
    pub(crate) fn fail(&mut self, at: Time, invariant: &'static str, words: String) {
        self.found.get_or_insert(Violation {
            at,
            invariant,
            words,
        });
    }

    /// Whether one is.
    pub(crate) fn broken(&self) -> bool {
        self.found.is_some()
    }

    pub(crate) fn take(&mut self) -> Option<Violation> {
        self.found.take()
    }

    /// An agent was told of an executor.
    pub(crate) fn heard(&mut self, site: usize, executor: ExecutorEpoch) {
        self.heard[site] = self.heard[site].max(executor);
    }

    /// Whether no other run began after this one.
    pub(crate) fn is_newest(&self, run: &mainstay_engine::Run) -> bool {
        self.newest.as_ref() == Some(&run.created().run)
    }

    /// A run begins.
    pub(crate) fn begun(&mut self, mode: MoveMode, run: &mainstay_engine::Run) {
        let runbook = Arc::clone(run.runbook());
        self.runbooks.insert(run.created().run.clone(), runbook);
        self.newest = Some(run.created().run.clone());
        self.moves[match mode {
            MoveMode::Switchover => 0,
            MoveMode::Failover => 1,
            MoveMode::Reprotect | MoveMode::Restore => 2,
        }] += 1;
    }
}

impl World {
    /// After every event: one writer, one active scheduler (I1).
    pub(crate) fn check_always(&mut self) {
        let data = self.topology.data();
        for store in 0..self.stores.len() {
            let mut writers = (0..data).filter(|site| self.writable(store, *site));
            if let (Some(a), Some(b)) = (writers.next(), writers.next()) {
                let name = &self.topology.stores[store];
                let words = format!("{name} takes writes at site {a} and at site {b}");
                self.checks.fail(self.now, "I1", words);
            }
        }
        for workload in 0..self.workloads.len() {
            if !self.is_scheduler(workload) {
                continue;
            }
            let mut working = (0..data).filter(|site| self.works(workload, *site));
            if let (Some(a), Some(b)) = (working.next(), working.next()) {
                let name = &self.topology.workloads[workload];
                let words = format!("{name} works at site {a} and at site {b}");
                self.checks.fail(self.now, "I1", words);
            }
        }
    }

    /// An agent starts an effect: once (I14), and for nobody older than whom it has heard of (I20).
    pub(crate) fn check_start(&mut self, site: usize, order: &Order) {
        let key = (site, order.id.clone());
        let times = self.checks.started.entry(key).or_default();
        *times += 1;
        if *times > 1 {
            let words = format!("{} was started again at site {site}", order.id);
            self.checks.fail(self.now, "I14", words);
        }
        if let Some((store, epoch)) = agent::token(&crate::world::asked(order)) {
            let known = self.checks.tokens.entry((site, store)).or_default();
            let old = *known;
            *known = old.max(epoch);
            if epoch < old {
                let words = format!("site {site} starts {} at {epoch} after {old}", order.id);
                self.checks.fail(self.now, "I3", words);
            }
        }
        let held = &self.sites[site].agent.held;
        let needs = agent::needs(&self.topology.file, &order.action);
        if needs.iter().any(|store| held.contains(store)) {
            let words = format!("quarantined site {site} starts {}", order.id);
            self.checks.fail(self.now, "I22", words);
        }
        if order.id.executor < self.checks.heard[site] {
            let words = format!(
                "site {site} obeys executor {} after {}",
                order.id.executor.0, self.checks.heard[site].0
            );
            self.checks.fail(self.now, "I20", words);
        }
        self.checks.heard(site, order.id.executor);
    }

    /// An order is carried out.
    pub(crate) fn check_driven(&mut self, order: &Order) {
        let own = self
            .run_now()
            .is_some_and(|run| run.created().run == order.id.run);
        if let (false, Some(name)) = (own, order.action.subject.component()) {
            self.checks.others.insert(name.clone());
        }
    }

    /// What a store at a site carries out never has an older token than what it carried out before (I3).
    pub(crate) fn check_token(&mut self, store: usize, site: usize, order: &Order) {
        let asked = crate::world::asked(order);
        let Some((_, epoch)) = agent::token(&asked) else {
            return;
        };
        let replica = &mut self.stores[store].at[site];
        if epoch < replica.token {
            let words = format!(
                "{} carries epoch {epoch}, the store has seen {}",
                order.id, replica.token
            );
            self.checks.fail(self.now, "I3", words);
        }
        replica.token = replica.token.max(epoch);
    }

    /// A lease was granted: never below a fence (I3), never an older epoch, never one epoch to two sites (I2).
    pub(crate) fn check_grant(&mut self, store: usize, site: usize, epoch: mainstay_model::Epoch) {
        let (newest, owner, floor) = self.checks.leases[store];
        let broken = if epoch < floor {
            Some("I3")
        } else if epoch < newest || (epoch == newest && owner != site && newest.0 > 0) {
            Some("I2")
        } else {
            None
        };
        if let Some(invariant) = broken {
            let words = format!(
                "site {site} got a lease at {epoch}; {newest} is site {owner}'s, the fence is {floor}"
            );
            self.checks.fail(self.now, invariant, words);
        }
        self.checks.leases[store] = (epoch.max(newest), site, floor);
    }

    /// Whether an old order, given once more as a new one, has to be refused.
    pub(crate) fn must_be_refused(&self, site: usize, order: &Order) -> bool {
        let it = &self.sites[site];
        if !it.up || !it.agent.alive {
            return false;
        }
        let token = agent::token(&crate::world::asked(order));
        let stale = token.is_some_and(|(store, epoch)| {
            let known = self.checks.tokens.get(&(site, store));
            known.is_some_and(|known| epoch < *known)
        });
        let needs = agent::needs(&self.topology.file, &order.action);
        let held = needs.iter().any(|store| it.agent.held.contains(store));
        let record = match (&order.action.op, order.action.subject.component()) {
            (mainstay_model::Op::Route { epoch, .. }, Some(name)) => {
                let route = self.topology.route(name);
                route.is_some_and(|route| *epoch < self.routes[route].epoch)
            }
            _ => false,
        };
        order.id.executor < self.checks.heard[site] || stale || held || record
    }

    /// Things that never come to rest (I29).
    pub(crate) fn check_never_ends(&mut self) {
        let phase = self.run_now().map(mainstay_engine::Run::phase);
        let words = format!("long after the last fault, the run is {phase:?}");
        self.checks.fail(self.now, "I29", words);
    }
}
