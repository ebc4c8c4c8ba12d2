//! Notices that this site was lost or moved away from while nobody looked, and quarantines it.
//! Must not know runs; only orders with a current epoch lift a quarantine.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::join_all;
use mainstay_driver::Order;
use mainstay_engine::agent;
use mainstay_model::{
    Access, Action, ComponentId, Direction, EffectId, Epoch, ExecutorEpoch, KindName, Op, Scope,
    StepId, Subject,
};

use super::{copies::background, fencer::Fencer, site::Site};
use crate::client::AgentClient;

/// How often the witness is asked.
const EVERY: Duration = Duration::from_secs(1);
/// A witness that does not answer so soon is asked again later.
const LIMIT: Duration = Duration::from_millis(800);

/// What watches over this site's own past.
pub(super) struct Wake {
    pub(super) site: Arc<Site>,
    pub(super) fencer: Arc<Fencer>,
    /// The agent that grants leases, unless this is it.
    pub(super) witness: Option<AgentClient>,
}

impl Wake {
    /// Before anything is served: did everything that ran here die?
    pub(super) async fn at_start(&self) -> Result<(), crate::db::DbError> {
        let supervised = self.site.ledger.supervised()?;
        let looks = supervised.iter().map(|name| self.runs(name));
        let alive = join_all(looks).await;
        if agent::was_lost(&alive) {
            let owned = self.believes_to_own().await?;
            if owned.is_empty() {
                // A standby that went down and came back: what ran here may run again.
                return Ok(());
            }
            let why =
                "the site went down: nothing that ran here was running when its agent returned";
            self.site.ledger.hold(owned, why).await?;
            self.site.ledger.stopped(supervised).await?;
            tracing::warn!(site = %self.site.name, "quarantined: {why}");
        }
        self.look_around().await;
        Ok(())
    }

    /// Stores that were opened here last, by this agent's journal or by their own marks.
    async fn believes_to_own(&self) -> Result<Vec<ComponentId>, crate::db::DbError> {
        let mut owned: BTreeSet<ComponentId> = self.site.ledger.owned()?.into_keys().collect();
        for store in self.site.plan.stores.values() {
            let declared = &store.declared;
            if !declared.at.contains_key(&self.site.name) {
                continue;
            }
            let sample = self
                .site
                .observe(&self.scope(&declared.name, &declared.kind))
                .await;
            let seen = sample.facts().and_then(|facts| facts.store.as_ref());
            // Any newer epoch would leave it behind: it counts as open here.
            if agent::left_behind(&self.site.name, None, seen, Epoch(u64::MAX)) {
                owned.insert(declared.name.clone());
            }
        }
        Ok(owned.into_iter().collect())
    }

    /// For as long as the agent lives.
    pub(super) async fn watch(self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.look_around().await;
        }
    }

    /// Asks the witness whether a store of this site has moved on.
    async fn look_around(&self) {
        let Some(witness) = &self.witness else { return };
        let Ok(status) = witness.within(LIMIT).status().await else {
            return;
        };
        for (store, floor) in status.floors {
            if self.left_behind(&store, floor).await {
                self.shut(&store, floor).await;
            }
        }
    }

    /// Whether this site still believes to own a store that is at a newer epoch.
    async fn left_behind(&self, store: &ComponentId, floor: Epoch) -> bool {
        let ledger = &self.site.ledger;
        let held = ledger.held().is_ok_and(|held| held.contains_key(store));
        let owned = ledger.owned().unwrap_or_default().get(store).copied();
        if owned.is_some() && !held {
            return agent::left_behind(&self.site.name, owned, None, floor);
        }
        // Stores that were open before this agent ever had an order are known by their marks.
        let Some(declared) = self.site.plan.stores.get(store) else {
            return false;
        };
        if !declared.declared.at.contains_key(&self.site.name) {
            return false;
        }
        let sample = self
            .site
            .observe(&self.scope(store, &declared.declared.kind))
            .await;
        let seen = sample.facts().and_then(|facts| facts.store.as_ref());
        // One that is held back since the site came back must not stay open either.
        let shut = held && seen.is_none_or(|seen| seen.access != Access::Open);
        !shut && agent::left_behind(&self.site.name, None, seen, floor)
    }

    async fn shut(&self, store: &ComponentId, floor: Epoch) {
        let why = format!("{store} has moved on to epoch {floor} without this site");
        tracing::warn!(site = %self.site.name, "quarantined: {why}");
        let ledger = &self.site.ledger;
        if let Err(error) = ledger.raise_floor(store, floor).await {
            tracing::error!(%error, "cannot record a floor");
        }
        let subject = Subject::Component(store.clone());
        let order = Order {
            id: EffectId {
                run: background(),
                step: StepId(0),
                direction: Direction::Forward,
                attempt: 1,
                executor: ExecutorEpoch(0),
            },
            action: Action {
                driver: kind_of_agent(),
                subject: subject.clone(),
                site: self.site.name.clone(),
                op: Op::Fence(floor),
            },
            fence: None,
            inputs: Vec::new(),
        };
        let lock = self.site.lock_of(store);
        let _turn = lock.lock().await;
        if let Err(error) = self.fencer.shut(&subject, floor, &order, &why).await {
            tracing::warn!(%error, "the quarantine is not complete yet");
        }
    }

    /// Whether a workload has running instances here; none if that cannot be seen.
    async fn runs(&self, name: &ComponentId) -> Option<bool> {
        let declared = self.site.plan.declared(name)?;
        let sample = self.site.observe(&self.scope(name, &declared.kind)).await;
        let running = sample.facts()?.workload.as_ref()?.running?;
        Some(running > 0)
    }

    fn scope(&self, name: &ComponentId, kind: &KindName) -> Scope {
        Scope {
            driver: kind.clone(),
            subject: Subject::Component(name.clone()),
            site: self.site.name.clone(),
            from: self.site.name.clone(),
        }
    }
}

fn kind_of_agent() -> KindName {
    match KindName::new("agent") {
        Ok(name) => name,
        Err(_) => unreachable!("a constant name that the rules allow"),
    }
}
