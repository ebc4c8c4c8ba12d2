//! Observers probe, the real detector judges, and sometimes Mainstay moves by itself.
//! Must not know the truth beyond what a probe shows; its checks do.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_engine::{
    Bugs,
    detect::{
        Answer, Automatic, DetectState, Part, Probe, Settings, SiteProbe, Verdict, Watched, detect,
    },
};
use mainstay_model::{Scenario, SiteId, Span};
use mainstay_planner::Request;

use crate::{
    clock::{MS, SECOND, Time},
    dice::Dice,
    mover::Begun,
    options::Mix,
    topology::Topology,
    world::{Ev, World},
};

/// The detector and what the checks need to judge it.
pub(crate) struct Watcher {
    state: DetectState,
    observers: Vec<usize>,
    /// For each observer and site: since when every report was a silence, by its own last reports.
    silent: BTreeMap<(usize, usize), Time>,
    /// The last report of each observer, and whether its controls answered.
    last: BTreeMap<usize, (Time, bool)>,
    /// When Mainstay moved by itself.
    moved: Vec<Time>,
    pub(crate) on: bool,
}

const EVERY: Time = SECOND;
const CONFIRM: Time = 3 * SECOND;
const COOLDOWN: Time = 60 * SECOND;

impl Watcher {
    pub(crate) fn new(topology: &Topology, dice: &mut Dice, bugs: Bugs, mix: Mix) -> Self {
        let mut observers = vec![1, topology.witness()];
        if topology.data() > 2 {
            observers.push(2);
        }
        let state = DetectState::new(settings(topology, &observers, 0)).with_bugs(bugs);
        Self {
            state,
            observers,
            silent: BTreeMap::new(),
            last: BTreeMap::new(),
            moved: Vec::new(),
            on: mix == Mix::Detector || dice.chance(300),
        }
    }
}

fn settings(topology: &Topology, observers: &[usize], site: usize) -> Settings {
    let names = observers.iter().map(|it| topology.sites[*it].clone());
    let stores = topology
        .stores
        .iter()
        .map(|it| (it.clone(), Part::Database));
    let watched = Watched {
        parts: stores.collect(),
    };
    Settings {
        observers: names.collect(),
        every: Span(EVERY),
        confirm: Span(CONFIRM),
        cooldown: Span(COOLDOWN),
        act: BTreeSet::from([Scenario::SiteLost]),
        sites: BTreeMap::from([(topology.sites[site].clone(), watched)]),
    }
}

impl World {
    pub(crate) fn begin_watching(&mut self) {
        if self.watcher.on {
            for observer in self.watcher.observers.clone() {
                let first = self.dice.between(0, SECOND);
                self.at(first, Ev::Probe(observer));
            }
        }
    }

    /// After a move other sites are watched, and observers are never watched by themselves.
    pub(crate) fn watch_anew(&mut self) {
        let Some(owner) = self.topology.stores.first().and_then(|name| {
            let weights = self.registry.placement.get(name)?;
            weights.keys().next().map(|site| self.topology.site(site))
        }) else {
            return;
        };
        let mut observers: Vec<usize> = (0..self.sites.len()).filter(|it| *it != owner).collect();
        observers.retain(|it| *it == self.topology.witness() || *it < 3);
        let settings = settings(&self.topology, &observers, owner);
        if *self.watcher.state.settings() == settings {
            return;
        }
        self.watcher.state = self.watcher.state.clone().watch(settings);
        self.watcher.silent.clear();
        self.watcher.last.clear();
        let new: Vec<usize> = observers
            .iter()
            .filter(|it| !self.watcher.observers.contains(it))
            .copied()
            .collect();
        self.watcher.observers = observers;
        if self.watcher.on {
            for observer in new {
                self.at(self.now + 300 * MS, Ev::Probe(observer));
            }
        }
    }

    /// An observer's turn.
    pub(crate) fn probe(&mut self, observer: usize) {
        if !self.watcher.observers.contains(&observer) {
            return;
        }
        self.at(self.now + EVERY, Ev::Probe(observer));
        let it = &self.sites[observer];
        let mover = self.topology.mover();
        if !it.up || !it.agent.alive || !self.net.passes(observer, mover) {
            return;
        }
        let lies = it.lies;
        let watched: Vec<SiteId> = self
            .watcher
            .state
            .settings()
            .sites
            .keys()
            .cloned()
            .collect();
        let well = || Answer::Well { took: Span(MS) };
        let silent = || Answer::Silent("no answer".to_owned());
        let mut sites = BTreeMap::new();
        let mut controls = Vec::new();
        for other in 0..=mover {
            let is_watched = watched.iter().any(|name| self.topology.site(name) == other);
            if other == observer || is_watched {
                continue;
            }
            let up = self
                .sites
                .get(other)
                .is_none_or(|it| it.up && it.agent.alive);
            let answers = up && self.net.talks(observer, other);
            controls.push(if answers || lies { well() } else { silent() });
        }
        let sees = controls.iter().filter(|it| it.is_well()).count() * 2 > controls.len();
        for name in &watched {
            let site = self.topology.site(name);
            let alive = self.sites[site].up && self.net.talks(observer, site) && !lies;
            let answer = |up: bool| if alive && up { well() } else { silent() };
            let parts = self.topology.stores.iter();
            let probe = SiteProbe {
                agent: answer(self.sites[site].agent.alive),
                health: Some(answer(true)),
                parts: parts.map(|store| (store.clone(), answer(true))).collect(),
            };
            if probe.is_all_silent() && sees {
                let since = self.now;
                self.watcher.silent.entry((observer, site)).or_insert(since);
            } else {
                self.watcher.silent.remove(&(observer, site));
            }
            sites.insert(name.clone(), probe);
        }
        self.break_at_gap(observer);
        self.watcher.last.insert(observer, (self.now, sees));
        let now = self.mover_now();
        let probe = Probe {
            observer: self.topology.sites[observer].clone(),
            at: now,
            ended: now,
            controls,
            sites,
        };
        let (state, verdict) = detect(&self.watcher.state, &probe, now);
        self.watcher.state = state;
        if let Some(verdict) = verdict {
            self.judged(&verdict);
        }
    }

    /// A gap in an observer's probes breaks what it has seen without a break.
    fn break_at_gap(&mut self, observer: usize) {
        if let Some((last, _)) = self.watcher.last.get(&observer)
            && self.now - last > 3 * EVERY
        {
            let now = self.now;
            for ((by, _), since) in &mut self.watcher.silent {
                if *by == observer {
                    *since = now;
                }
            }
        }
    }

    /// The detector has spoken.
    fn judged(&mut self, verdict: &Verdict) {
        self.trace.say(self.now, || {
            format!(
                "verdict: {:?} at {}, {:?}",
                verdict.scenario, verdict.site, verdict.automatic
            )
        });
        self.check_verdict(verdict);
        let leased = (0..self.stores.len()).all(|store| self.lease(store).is_some());
        let free = self.mover.active.is_none() && !self.mover.down && self.mover.parked.is_empty();
        if verdict.automatic != Automatic::Allowed || verdict.scenario != Scenario::SiteLost {
            return;
        }
        self.check_cooldown();
        if !leased || !free {
            return;
        }
        let lost = self.topology.site(&verdict.site);
        let to = usize::from(lost == 0);
        let request = Request::failover(self.topology.sites[to].clone(), None);
        let limit = Span::from_secs(self.dice.between(5, 60));
        if self.begin_move(&request, Some(limit)) == Begun::Started {
            let now = self.mover_now();
            self.watcher.state.acted(verdict.site.clone(), now);
        }
    }

    /// I5, I6, I7: enough honest eyes, for long enough.
    fn check_verdict(&mut self, verdict: &Verdict) {
        if verdict.scenario != Scenario::SiteLost {
            return;
        }
        let site = self.topology.site(&verdict.site);
        let all = self.watcher.observers.clone();
        let needed = (all.len() / 2 + 1).max(2);
        let sees = |by: &&usize| {
            let last = self.watcher.last.get(*by);
            let fresh = last.is_some_and(|(at, sees)| self.now - at <= 3 * EVERY && *sees);
            fresh && self.watcher.silent.contains_key(&(**by, site))
        };
        let seeing: Vec<usize> = all.iter().filter(sees).copied().collect();
        let long = seeing.iter().filter(|by| {
            let since = self.watcher.silent.get(&(**by, site));
            let last = self.watcher.last.get(*by);
            match (since, last) {
                (Some(since), Some((last, _))) => last - since >= CONFIRM,
                _ => false,
            }
        });
        let (count, enough) = (seeing.len(), long.count() >= needed);
        let up = self.sites[site].up;
        if count < needed {
            let fault = if count <= 1 && up { "I6" } else { "I5" };
            let words = format!(
                "{count} of {} observers saw it, {needed} are needed",
                all.len()
            );
            self.checks.fail(self.now, fault, words);
        } else if !enough {
            let words = "the outage was shorter than the confirmation time".to_owned();
            self.checks.fail(self.now, "I7", words);
        }
    }

    /// I8: at most one automatic failover in a cool-down.
    fn check_cooldown(&mut self) {
        let last = self.watcher.moved.last().copied();
        if last.is_some_and(|last| self.now < last + COOLDOWN) {
            let words = "a second automatic failover within the cool-down".to_owned();
            self.checks.fail(self.now, "I8", words);
        }
        self.watcher.moved.push(self.now);
    }
}
