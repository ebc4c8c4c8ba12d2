//! What the parts of one agent share: its journal, its drivers, locks per store, and how it looks at things.
//! Must not know HTTP.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mainstay_driver::Drivers;
use mainstay_model::{
    Access, AgentId, ComponentId, FenceClass, FenceFacts, PlanFile, Reading, Sample, Scope, SiteId,
    Subject, Timestamp,
};

use super::ledger::Ledger;
use crate::{
    clock,
    wire::{AgentStatus, CopyReport, PROTOCOL},
};

/// An observation that takes longer did not answer.
const LOOK: Duration = Duration::from_secs(8);

/// One site's agent, without its ears.
pub(super) struct Site {
    pub(super) name: SiteId,
    pub(super) by: AgentId,
    pub(super) plan: PlanFile,
    pub(super) ledger: Arc<Ledger>,
    pub(super) drivers: Drivers,
    pub(super) started: Timestamp,
    locks: Mutex<BTreeMap<ComponentId, Arc<tokio::sync::Mutex<()>>>>,
    copies: Mutex<BTreeMap<ComponentId, CopyReport>>,
}

impl Site {
    pub(super) fn new(
        name: SiteId,
        plan: PlanFile,
        ledger: Arc<Ledger>,
        drivers: Drivers,
    ) -> Arc<Self> {
        Arc::new(Self {
            by: agent_id(&name),
            name,
            plan,
            ledger,
            drivers,
            started: clock::now(),
            locks: Mutex::default(),
            copies: Mutex::default(),
        })
    }

    /// One at a time per store: an order of a run and a background copy never work on the same one.
    pub(super) fn lock_of(&self, store: &ComponentId) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(store.clone()).or_default())
    }

    pub(super) fn report(&self, store: &ComponentId, change: impl FnOnce(&mut CopyReport)) {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        change(copies.entry(store.clone()).or_default());
    }

    /// Looks through the scope's driver, and adds what this agent's own journal proves.
    pub(super) async fn observe(&self, scope: &Scope) -> Sample {
        let at = clock::now();
        let Some(driver) = self.drivers.get(scope.driver.as_str()) else {
            return self.silent(
                at,
                format!("the agent of {} knows no kind {}", self.name, scope.driver),
            );
        };
        let look = tokio::time::timeout(LOOK, driver.observe(scope));
        let Ok(mut sample) = look.await else {
            return self.silent(at, format!("no answer within {} s", LOOK.as_secs()));
        };
        // Never dated later than the start of the look: a stale sample must not seem fresh.
        sample.at = sample.at.min(at);
        sample.by = self.by.clone();
        if scope.site == self.name {
            self.overlay(scope, &mut sample);
        }
        sample
    }

    /// A store that is seen not to be open and whose agent refuses older epochs is fenced below its floor. One that is
    /// held back is no copy that anybody relies on, however recent it looks: only a rebuild makes it one again.
    fn overlay(&self, scope: &Scope, sample: &mut Sample) {
        let Subject::Component(store) = &scope.subject else {
            return;
        };
        let Reading::Known(facts) = &mut sample.reading else {
            return;
        };
        let free = matches!(self.ledger.held(), Ok(held) if !held.contains_key(store));
        if let Some(seen) = facts.store.as_mut().filter(|_| !free) {
            seen.recovery = None;
        }
        let closed = facts
            .store
            .as_ref()
            .is_some_and(|seen| seen.access != Access::Open);
        let Ok(floor) = self.ledger.floor(store) else {
            return;
        };
        let better = facts.fence.as_ref().is_none_or(|seen| seen.below < floor);
        if closed && better && floor.0 > 0 {
            facts.fence = Some(FenceFacts {
                below: floor,
                class: FenceClass::F2,
                evidence: format!(
                    "{store} is not open at {} and its agent refuses orders below epoch {floor}",
                    self.name
                ),
            });
        }
    }

    pub(super) fn silent(&self, at: Timestamp, why: String) -> Sample {
        Sample {
            reading: Reading::Unreachable { since: at, why },
            at,
            by: self.by.clone(),
        }
    }

    /// What the agent says of itself.
    pub(super) fn status(&self) -> Result<AgentStatus, crate::db::DbError> {
        Ok(AgentStatus {
            protocol: PROTOCOL,
            site: self.name.clone(),
            pid: std::process::id(),
            started: self.started,
            plan_hash: self.plan.hash.clone(),
            executor: self.ledger.executor()?,
            floors: self.ledger.floors()?,
            quarantine: self.ledger.quarantine()?,
            held: self.ledger.held()?,
            copies: self
                .copies
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            backups: self.ledger.backups()?,
        })
    }
}

/// The name under which an agent's samples are signed.
pub(super) fn agent_id(site: &SiteId) -> AgentId {
    // Every site's name is a valid agent's name: the rules are the same.
    match AgentId::new(site.as_str()) {
        Ok(id) => id,
        Err(_) => unreachable!("names of sites and agents have the same rules"),
    }
}
