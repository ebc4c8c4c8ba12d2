//! Checks of what really moves: epochs, fences, equality, loss, what only one site has.
//! Must not know runs beyond their runbooks.

use std::collections::BTreeSet;

use mainstay_driver::Order;
use mainstay_model::{
    Access, Body, Epoch, LossBound, MoveMode, Op, Phase, Runbook, SiteId, Span, Weights,
};
use mainstay_planner::{Observed, Request};

use crate::{clock::Time, world::World};

impl World {
    /// Writes are enabled.
    pub(crate) fn check_enable(&mut self, store: usize, site: usize, epoch: Epoch, order: &Order) {
        let name = self.topology.stores[store].clone();
        // The same promote, once more at the same site, after that had no power.
        let mine = &self.stores[store].at[site].mark;
        let again = mine.epoch == epoch && mine.owner == self.topology.sites[site];
        if let Some((last, owner)) = self.stores[store].enabled.iter().max()
            && (epoch < *last || epoch == *last && !(again && *owner == site))
        {
            let words = format!("{name} is enabled at {epoch}, site {owner} had {last}");
            self.checks.fail(self.now, "I2", words);
        }
        for other in 0..self.topology.data() {
            if other != site && self.writable(store, other) {
                let words = format!("{name} is enabled at site {site}, site {other} still writes");
                self.checks.fail(self.now, "I4", words);
            }
        }
        let Some(runbook) = self.checks.runbooks.get(&order.id.run).cloned() else {
            return;
        };
        if !matches!(order.action.op, Op::Promote(_)) {
            return;
        }
        match runbook.mode {
            MoveMode::Switchover => self.check_equal(store, site, &runbook),
            MoveMode::Failover => self.forget_lost(store, site),
            // The simulator asks for no restore in place.
            MoveMode::Reprotect | MoveMode::Restore => {}
        }
    }

    /// I10: what is promoted in a planned move has every write, and so has its group.
    fn check_equal(&mut self, store: usize, site: usize, runbook: &Runbook) {
        if let Some(lost) = self.missing(store, site).first() {
            let words = format!(
                "{} is promoted at site {site} without acknowledged write {lost}",
                self.topology.stores[store]
            );
            self.checks.fail(self.now, "I10", words);
        }
        let name = &self.topology.stores[store];
        let groups = self.topology.file.groups.values();
        let with: BTreeSet<usize> = groups
            .filter(|group| group.stores.contains(name))
            .flat_map(|group| &group.stores)
            .filter(|other| runbook.epochs.contains_key(*other))
            .filter_map(|other| self.topology.store(other))
            .collect();
        for other in with {
            let mut others = (0..self.topology.data()).filter(|it| *it != site);
            let open = others.find(|it| self.stores[other].at[*it].access == Access::Open);
            let missing = self.missing(other, site);
            if open.is_some() || !missing.is_empty() {
                let words = format!(
                    "{name} is promoted while {} of its group is not equal: open at site {open:?}, lacks {missing:?}",
                    self.topology.stores[other]
                );
                self.checks.fail(self.now, "I10", words);
                return;
            }
        }
    }

    /// Acknowledged writes that a site does not have.
    pub(crate) fn missing(&self, store: usize, site: usize) -> Vec<u32> {
        let it = &self.stores[store];
        let content: BTreeSet<u32> = it.at[site].content.iter().copied().collect();
        let acked = it.acked.iter().map(|acked| acked.write);
        acked.filter(|write| !content.contains(write)).collect()
    }

    /// In a forced move, what is not there is lost, with consent.
    pub(crate) fn forget_lost(&mut self, store: usize, site: usize) {
        let lost: BTreeSet<u32> = self.missing(store, site).into_iter().collect();
        let words = lost.len();
        self.trace
            .say(self.now, || format!("{words} acknowledged writes are lost"));
        self.stores[store]
            .acked
            .retain(|it| !lost.contains(&it.write));
    }

    /// I13: the loss that is shown is never below the true loss.
    pub(crate) fn check_bound(&mut self, loss: &LossBound, _request: &Request) {
        for (name, bound) in &loss.stores {
            let Some(store) = self.topology.store(name) else {
                continue;
            };
            let placed = self.registry.placement.get(name);
            let from = placed
                .and_then(|it| it.keys().next())
                .map(|it| self.topology.site(it));
            let Some(from) = from else { continue };
            let to = (0..self.topology.data()).filter(|site| *site != from);
            // The bound is about one destination; the best of them must not be worse than it says.
            let truth = to.map(|to| self.true_loss(store, from, to)).min();
            if truth.is_some_and(|truth| bound.time < Span(truth)) {
                let words = format!(
                    "{name} would lose {}, shown is {}",
                    Span(truth.unwrap_or(0)),
                    bound.time
                );
                self.checks.fail(self.now, "I13", words);
            }
        }
    }

    /// From the acknowledgement of the oldest lost write to the death of the source, or to now.
    fn true_loss(&self, store: usize, from: usize, to: usize) -> Time {
        let lost: BTreeSet<u32> = self.missing(store, to).into_iter().collect();
        let acked = self.stores[store].acked.iter();
        let oldest = acked
            .filter(|it| lost.contains(&it.write))
            .map(|it| it.at)
            .min();
        let site = &self.sites[from];
        let end = match site.died {
            Some(died) if !site.up => died,
            _ => self.now,
        };
        oldest.map_or(0, |oldest| end.saturating_sub(oldest))
    }

    /// I9, at the start of a forced move: unexpired, and no recovery point got worse.
    pub(crate) fn check_acceptance(&mut self, observed: &Observed, runbook: &Runbook) {
        let (Some(acceptance), Some(loss)) = (&runbook.acceptance, &runbook.loss) else {
            let words = "a forced move begins without an acceptance".to_owned();
            self.checks.fail(self.now, "I9", words);
            return;
        };
        let worse = loss.stores.iter().any(|(name, bound)| {
            match (acceptance.points.get(name), &bound.recovery) {
                (Some(Some(then)), Some(now)) => now.taken_at < then.taken_at,
                (Some(Some(_)), None) => true,
                _ => false,
            }
        });
        if worse || acceptance.until < observed.now {
            let words = "a forced move begins with an acceptance that is void".to_owned();
            self.checks.fail(self.now, "I9", words);
        }
    }

    /// I21: newer plans only, and never nowhere.
    pub(crate) fn check_route(&mut self, route: usize, weights: &Weights, epoch: Epoch) {
        let name = &self.topology.routes[route];
        let record = self.routes[route].epoch;
        if epoch <= record {
            let words = format!("{name} at {record} is changed by an older plan's {epoch}");
            self.checks.fail(self.now, "I21", words);
        } else if weights.values().all(|weight| *weight == 0) {
            let words = format!("{name} leads nowhere");
            self.checks.fail(self.now, "I21", words);
        }
    }

    /// I23: a rebuild destroys nothing that only this site has.
    pub(crate) fn check_rebuild(&mut self, store: usize, site: usize, from: &SiteId) {
        let owner = self.topology.site(from);
        let it = &self.stores[store];
        let there: BTreeSet<u32> = it.at[owner].content.iter().copied().collect();
        let only = it.at[site].content.iter();
        let gone = only.filter(|write| !there.contains(write) && !it.saved.contains(write));
        if let Some(write) = gone.into_iter().next() {
            let words = format!(
                "rebuilding {} at site {site} destroys write {write}",
                self.topology.stores[store]
            );
            self.checks.fail(self.now, "I23", words);
        }
    }

    /// I23: a reprotect ends with a look at every reverse copy.
    pub(crate) fn check_reprotect(&mut self, runbook: &Runbook) {
        let phase = |phase: Phase| runbook.steps.iter().filter(move |it| it.phase == phase);
        for rebuild in phase(Phase::Rebuild) {
            if !matches!(&rebuild.body, Body::Act(action) if matches!(action.op, Op::Rebuild { .. }))
            {
                continue;
            }
            let checked = phase(Phase::Protect).any(|it| {
                it.subject == rebuild.subject && it.site == rebuild.site && !it.goals.is_empty()
            });
            if !checked {
                let words = format!("nobody looks at the copy after {}", rebuild.title());
                self.checks.fail(self.now, "I23", words);
            }
        }
    }
}
