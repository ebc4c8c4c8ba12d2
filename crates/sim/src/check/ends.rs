//! Checks when a run or a seed is over.
//! Must not know how it came to that.

use mainstay_engine::{Run, RunPhase, StepState};
use mainstay_model::{Access, MoveMode};

use crate::world::World;

impl World {
    /// A run is over: the primary is intact, or the move is complete (I10, I22, I23).
    pub(crate) fn check_end(&mut self, run: &Run, phase: RunPhase) {
        let skipped = run
            .steps()
            .any(|it| matches!(it.state, StepState::Skipped { .. }));
        match phase {
            // What a run found is only remembered of the newest one.
            RunPhase::Retreated if !skipped && self.checks.is_newest(run) => self.check_intact(run),
            RunPhase::Succeeded => self.check_complete(run),
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
            let Some(site) = (0..self.topology.data())
                .find(|site| self.stores[store].at[*site].access == Access::Open)
            else {
                continue;
            };
            if let Some(lost) = self.missing(store, site).first() {
                let words = format!("in the end {name} at site {site} lacks write {lost}");
                self.checks.fail(self.now, "I22", words);
            }
        }
    }
}
