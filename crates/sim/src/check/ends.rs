//! Checks when a run or a seed is over.
//! Must not know how it came to that.

use mainstay_engine::{Run, RunPhase, StepState};
use mainstay_model::{Access, Body, MoveMode, Op, Phase, SiteId, Undo};

use crate::world::World;

impl World {
    /// A run is over: the primary is intact, or the move is complete (I10, I22, I23).
    pub(crate) fn check_end(&mut self, run: &Run, phase: RunPhase) {
        let skipped = run
            .steps()
            .any(|it| matches!(it.state, StepState::Skipped { .. }));
        match phase {
            // What a run found is only remembered of the newest one.
            RunPhase::Retreated if !skipped && self.checks.is_newest(run) => {
                self.check_intact(run);
                self.check_serves(run);
            }
            RunPhase::Succeeded => {
                self.check_complete(run);
                if run.runbook().mode != MoveMode::Reprotect && self.checks.is_newest(run) {
                    self.check_moved(run);
                }
            }
            _ => {}
        }
    }

    /// Whether a site lived through the whole run.
    fn lived(&self, site: usize) -> bool {
        let it = &self.sites[site];
        it.up && it.died.is_none_or(|died| died < self.checks.began)
    }

    fn check_intact(&mut self, run: &Run) {
        for (name, epochs) in &run.runbook().epochs {
            let Some(store) = self.topology.store(name) else {
                continue;
            };
            let open = self.checks.open.get(store).copied().flatten();
            let Some(site) = open.filter(|site| self.lived(*site)) else {
                continue;
            };
            let replica = &self.stores[store].at[site];
            let held = self.sites[site].agent.held.contains(name);
            if replica.mark.epoch > epochs.retreat || held {
                // Somebody newer, or a quarantine, has its own reasons.
                continue;
            }
            if replica.access != Access::Open {
                let words = format!(
                    "after the retreat {name} at site {site} is {:?}",
                    replica.access
                );
                self.checks.fail(self.now, "I22", words);
            } else if !self.missing(store, site).is_empty() {
                let words = format!("after the retreat {name} at site {site} lacks writes");
                self.checks.fail(self.now, "I22", words);
            }
        }
    }

    /// Whoever worked before the run works again, and traffic goes where it went.
    fn check_serves(&mut self, run: &Run) {
        for step in &run.runbook().steps {
            let (Undo::Act { .. }, Some(name)) = (&step.undo, step.subject.component()) else {
                continue;
            };
            let site = self.topology.site(&step.site);
            let op = match &step.body {
                Body::Act(action) => Some(&action.op),
                _ => None,
            };
            if self.checks.others.contains(name) {
                continue;
            }
            if let Some(workload) = self.topology.workload(name)
                && self.lived(site)
                && self.sites[site].agent.held.is_empty()
            {
                let was = &self.checks.workloads[workload][site];
                let is = &self.workloads[workload][site];
                let stopped = op == Some(&Op::Stop) && was.running && !is.running;
                let held = op == Some(&Op::Hold) && !was.held && is.held;
                if stopped || held {
                    let words = format!(
                        "after the retreat {name} at site {site} runs: {}, is held: {}",
                        is.running, is.held
                    );
                    self.checks.fail(self.now, "I22", words);
                }
            }
            if let Some(route) = self.topology.route(name) {
                let (was, is) = (&self.checks.routes[route], &self.routes[route]);
                if was.weights != is.weights {
                    let words = format!("after the retreat {name} leads to {:?}", is.weights);
                    self.checks.fail(self.now, "I22", words);
                }
            }
        }
    }

    fn check_complete(&mut self, run: &Run) {
        let runbook = run.runbook().clone();
        for (name, epochs) in &runbook.epochs {
            let Some(store) = self.topology.store(name) else {
                continue;
            };
            if runbook.mode == MoveMode::Reprotect {
                self.check_protected(store, &runbook);
                continue;
            }
            let placed = runbook.target.get(name).and_then(|it| it.keys().next());
            let Some(site) = placed.map(|it| self.topology.site(it)) else {
                continue;
            };
            let replica = &self.stores[store].at[site];
            if !self.lived(site) || replica.mark.epoch > epochs.to {
                continue;
            }
            if replica.access != Access::Open {
                let words = format!(
                    "{name} was moved to site {site} and is {:?}",
                    replica.access
                );
                self.checks.fail(self.now, "I22", words);
            } else if let Some(lost) = self.missing(store, site).first() {
                let words = format!("{name} was moved to site {site} and lost write {lost}");
                self.checks.fail(self.now, "I10", words);
            }
        }
    }

    /// Everything that was moved works where it was moved to, and traffic goes there.
    fn check_moved(&mut self, run: &Run) {
        let runbook = run.runbook();
        for (name, weights) in &runbook.target {
            let Some(workload) = self.topology.workload(name) else {
                continue;
            };
            let started = |site: &SiteId| {
                let mut steps = runbook.steps.iter();
                steps.any(|it| {
                    it.phase == Phase::Activate
                        && it.subject.component() == Some(name)
                        && it.site == *site
                })
            };
            let sites = weights.keys().filter(|site| started(site));
            for site in sites.map(|site| self.topology.site(site)) {
                let is = &self.workloads[workload][site];
                let at_work = is.running && !is.held;
                let own = self.lived(site) && self.sites[site].agent.held.is_empty();
                if own && !at_work && !self.checks.others.contains(name) {
                    let words = format!(
                        "{name} was moved to site {site} and runs: {}, is held: {}",
                        is.running, is.held
                    );
                    self.checks.fail(self.now, "I22", words);
                }
            }
        }
        let shifts = runbook.steps.iter().filter(|it| it.phase == Phase::Shift);
        for step in shifts {
            let (Body::Act(action), Some(name)) = (&step.body, step.subject.component()) else {
                continue;
            };
            if let (Op::Route { weights, epoch }, Some(route)) =
                (&action.op, self.topology.route(name))
                && self.routes[route].epoch <= *epoch
                && self.routes[route].weights != *weights
            {
                let words = format!("after the move {name} leads to {:?}", self.routes[route]);
                self.checks.fail(self.now, "I21", words);
            }
        }
    }

    fn check_protected(&mut self, store: usize, runbook: &mainstay_model::Runbook) {
        let name = &self.topology.stores[store];
        let rebuilt = runbook.steps.iter().find(|it| {
            it.phase == mainstay_model::Phase::Rebuild && it.subject.component() == Some(name)
        });
        let Some(site) = rebuilt.map(|it| self.topology.site(&it.site)) else {
            return;
        };
        let replica = &self.stores[store].at[site];
        if self.lived(site) && (replica.access != Access::Replica || replica.recovery.is_none()) {
            let words = format!(
                "{name} at site {site} is called a copy and is {:?}",
                replica.access
            );
            self.checks.fail(self.now, "I23", words);
        }
    }

    /// The seed is over.
    pub(crate) fn check_last(&mut self) {
        for store in 0..self.stores.len() {
            let name = &self.topology.stores[store];
            let open = |site: &usize| self.stores[store].at[*site].access == Access::Open;
            let Some(site) = self.owner(store).filter(open) else {
                continue;
            };
            if let Some(lost) = self.missing(store, site).first() {
                let words = format!("in the end {name} at site {site} lacks write {lost}");
                self.checks.fail(self.now, "I22", words);
            }
        }
    }
}
