//! From streaks to a verdict: quorum, confirmation time, the scenario's name, cool-down (I5 to I8).
//! Must not know how anything was probed.

use std::collections::BTreeSet;

use mainstay_model::{ComponentId, Scenario, SiteId, Timestamp};

use super::{
    probe::Probe,
    state::{DetectState, Incident, Item, Part},
    verdict::{Automatic, Stand, Verdict, Vote},
};
use crate::bugs::Bug;

/// Takes in one observer's round. A verdict is given once for each incident, and once more if the cool-down ends while
/// it lasts. The time `now` is by the same clock as the probe's.
#[must_use]
pub fn detect(
    state: &DetectState,
    probe: &Probe,
    now: Timestamp,
) -> (DetectState, Option<Verdict>) {
    let mut state = state.clone();
    if !state.take_in(probe) {
        return (state, None);
    }
    let sites: Vec<SiteId> = state.settings.sites.keys().cloned().collect();
    let mut given = None;
    for site in sites {
        match state.judge(&site, now) {
            None if state.is_quiet(&site, now) => {
                state.incidents.remove(&site);
            }
            Some(verdict) if given.is_none() && state.is_news(&verdict) => {
                state.give(&verdict, now);
                given = Some(verdict);
            }
            _ => {}
        }
    }
    (state, given)
}

impl DetectState {
    /// The worst thing that a quorum has confirmed at a site.
    fn judge(&self, site: &SiteId, now: Timestamp) -> Option<Verdict> {
        let watched = self.settings.sites.get(site)?;
        if self.is_confirmed(site, &Item::Whole, now) {
            let all = watched.parts.keys().cloned().collect();
            return Some(self.verdict(Scenario::SiteLost, site, all, &Item::Whole, now));
        }
        let scenarios = [
            (Part::Database, Scenario::DatabaseDown),
            (Part::Storage, Scenario::StorageDown),
            (Part::Application, Scenario::ApplicationDown),
        ];
        for (part, scenario) in scenarios {
            let of_part = || watched.parts.iter().filter(|(_, is)| **is == part);
            let confirmed =
                |name: &ComponentId| self.is_confirmed(site, &Item::Part(name.clone()), now);
            if let Some((first, _)) = of_part().find(|(name, _)| confirmed(name)) {
                let down = watched.parts.keys().filter(|name| confirmed(name));
                let item = Item::Part(first.clone());
                return Some(self.verdict(scenario, site, down.cloned().collect(), &item, now));
            }
            // What may turn out to be the cause is waited for: an application is down with its database.
            let suspected = |name: &ComponentId| {
                let stands = self.stands(site, &Item::Part(name.clone()), now);
                let mut stands = stands.into_iter();
                stands.any(|(_, stand)| matches!(stand, Stand::For { .. } | Stand::Unsure { .. }))
            };
            if of_part().any(|(name, _)| suspected(name)) && part != Part::Application {
                return None;
            }
        }
        None
    }

    fn is_confirmed(&self, site: &SiteId, item: &Item, now: Timestamp) -> bool {
        let stands = self.stands(site, item, now);
        let votes = stands.iter();
        let votes = votes
            .filter(|(_, stand)| matches!(stand, Stand::For { .. }))
            .count();
        votes >= self.needed(&stands)
    }

    fn needed(&self, stands: &[(SiteId, Stand)]) -> usize {
        if self.bugs.has(Bug::OneObserverSuffices) {
            return 1;
        }
        if self.bugs.has(Bug::MinoritySuffices) {
            return (stands.len() / 2).max(1);
        }
        if self.bugs.has(Bug::AbstentionsShrinkQuorum) {
            let present = stands.iter();
            let present =
                present.filter(|(_, stand)| !matches!(stand, Stand::Abstains | Stand::Stale));
            return present.count() / 2 + 1;
        }
        self.settings.quorum()
    }

    /// Where each configured observer stands.
    fn stands(&self, site: &SiteId, item: &Item, now: Timestamp) -> Vec<(SiteId, Stand)> {
        let all = self.settings.observers.iter();
        all.map(|name| (name.clone(), self.stand(name, site, item, now)))
            .collect()
    }

    fn stand(&self, name: &SiteId, site: &SiteId, item: &Item, now: Timestamp) -> Stand {
        let Some(observer) = self.observers.get(name) else {
            return Stand::Stale;
        };
        let fresh = observer
            .last
            .is_some_and(|last| now.since(last) <= self.settings.stale());
        if !fresh {
            return Stand::Stale;
        }
        if observer.abstains {
            return Stand::Abstains;
        }
        let streak = observer.sites.get(site).and_then(|seen| seen.streak(item));
        match streak {
            None => Stand::Against,
            Some(streak) => {
                let long = streak.until.since(streak.since) >= self.settings.confirm;
                if long || self.bugs.has(Bug::NoConfirmation) {
                    Stand::For {
                        since: streak.since,
                        until: streak.until,
                    }
                } else {
                    Stand::Unsure {
                        since: streak.since,
                    }
                }
            }
        }
    }

    fn verdict(
        &self,
        scenario: Scenario,
        site: &SiteId,
        components: BTreeSet<ComponentId>,
        item: &Item,
        now: Timestamp,
    ) -> Verdict {
        let stands = self.stands(site, item, now);
        let mut since: Vec<Timestamp> = stands
            .iter()
            .filter_map(|(_, stand)| match stand {
                Stand::For { since, .. } => Some(*since),
                _ => None,
            })
            .collect();
        since.sort_unstable();
        let quorum = self.needed(&stands).saturating_sub(1);
        let votes = stands.into_iter().map(|(observer, stand)| Vote {
            saw: self.words(&observer, site),
            observer,
            stand,
        });
        Verdict {
            scenario,
            site: site.clone(),
            components,
            since: since.get(quorum).copied().unwrap_or(now),
            at: now,
            votes: votes.collect(),
            automatic: match self.cools_until(site, now) {
                _ if !self.settings.act.contains(&scenario) => Automatic::NotDeclared,
                None => Automatic::Allowed,
                Some(until) => Automatic::CoolingDown { until },
            },
        }
    }

    fn words(&self, observer: &SiteId, site: &SiteId) -> String {
        let seen = self
            .observers
            .get(observer)
            .and_then(|known| known.sites.get(site));
        seen.map(|seen| seen.words.clone()).unwrap_or_default()
    }

    /// Whether a verdict says anything that was not said before about this incident.
    fn is_news(&self, verdict: &Verdict) -> bool {
        match self.incidents.get(&verdict.site) {
            None => true,
            Some(known) => {
                let freed = matches!(known.automatic, Automatic::CoolingDown { .. })
                    && verdict.automatic == Automatic::Allowed;
                known.scenario != verdict.scenario || freed
            }
        }
    }

    fn give(&mut self, verdict: &Verdict, now: Timestamp) {
        if verdict.automatic == Automatic::Allowed {
            self.acted = Some((now, verdict.site.clone()));
        }
        let incident = Incident {
            scenario: verdict.scenario,
            automatic: verdict.automatic,
        };
        self.incidents.insert(verdict.site.clone(), incident);
    }

    /// Whether a quorum sees no failure at a site any more.
    fn is_quiet(&self, site: &SiteId, now: Timestamp) -> bool {
        let well = self.settings.observers.iter().filter(|name| {
            let nothing = |observer: &super::state::Observer| {
                let seen = observer.sites.get(site);
                seen.is_some_and(|seen| seen.streaks.is_empty())
            };
            let whole = self.stand(name, site, &Item::Whole, now);
            whole == Stand::Against && self.observers.get(*name).is_some_and(nothing)
        });
        well.count() >= self.settings.quorum()
    }
}
