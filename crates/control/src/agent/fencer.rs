//! The `agent` driver: shuts a store or the whole site by stopping what runs here and sealing what is stored here
//! (fence class F2), and answers for the site itself.
//! Must not know other sites.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::join_all;
use mainstay_driver::{ActError, Cause, Driver, Drivers, Order, Progress};
use mainstay_model::{
    Access, Action, ComponentId, Declared, Epoch, Facts, FenceClass, FenceFacts, Health, Op,
    Output, PlanFile, Reading, Sample, Scope, SiteId, Subject, WorkloadRole,
};

use super::{ledger::Ledger, site::agent_id};
use crate::clock;

/// Stopping one workload or sealing one store may take so long.
const EACH: Duration = Duration::from_secs(60);

/// Fences the site it runs at.
pub(super) struct Fencer {
    pub(super) site: SiteId,
    pub(super) plan: PlanFile,
    pub(super) ledger: Arc<Ledger>,
    pub(super) drivers: Drivers,
}

/// What is to be shut.
struct Target<'a> {
    stores: Vec<&'a Declared>,
    workloads: Vec<(&'a Declared, WorkloadRole)>,
}

#[async_trait]
impl Driver for Fencer {
    async fn observe(&self, scope: &Scope) -> Sample {
        let at = clock::now();
        let facts = match &scope.subject {
            Subject::Component(store) => Facts {
                fence: Some(self.fence_of(store).await),
                ..Facts::default()
            },
            Subject::Site(_) | Subject::System | Subject::Group(_) => self.itself(),
        };
        Sample {
            reading: Reading::Known(Box::new(facts)),
            at,
            by: agent_id(&self.site),
        }
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        let Op::Fence(below) = &order.action.op else {
            return Err(ActError::NotDone(Cause::lasting(
                "unsupported",
                "an agent can only fence",
            )));
        };
        if order.action.site != self.site {
            return Err(ActError::NotDone(Cause::lasting(
                "wrong-site",
                format!(
                    "the agent of {} cannot fence {}",
                    self.site, order.action.site
                ),
            )));
        }
        let why = format!("fenced below epoch {below} by run {}", order.id.run);
        self.shut(&order.action.subject, *below, order, &why)
            .await?;
        Ok(Progress::Done(Output::default()))
    }
}

impl Fencer {
    /// Holds back, stops and seals; fails unless all of it is seen to be so.
    pub(super) async fn shut(
        &self,
        subject: &Subject,
        below: Epoch,
        order: &Order,
        why: &str,
    ) -> Result<(), ActError> {
        let target = self.target(subject);
        let stores = target.stores.iter().map(|store| store.name.clone());
        let held = self.ledger.hold(stores.collect(), why).await;
        held.map_err(|error| {
            ActError::Unknown(Cause::passing("agent-journal", error.to_string()))
        })?;
        let stops = target.workloads.iter().map(|(workload, role)| async {
            if *role == WorkloadRole::Scheduler {
                self.tell(workload, Op::Hold, order).await;
            }
            self.tell(workload, Op::Stop, order).await;
        });
        join_all(stops).await;
        let names = target.workloads.iter().map(|(w, _)| w.name.clone());
        let _ = self.ledger.stopped(names.collect()).await;
        let seals = target.stores.iter().map(|store| async {
            let floor = self.ledger.floor(&store.name).unwrap_or_default();
            self.tell(store, Op::Seal(below.max(floor)), order).await;
        });
        join_all(seals).await;
        self.prove(&target).await
    }

    /// What a subject comprises at this site.
    fn target(&self, subject: &Subject) -> Target<'_> {
        let here = |declared: &Declared| declared.at.contains_key(&self.site);
        let stores = self.plan.stores.values().filter(|store| {
            here(&store.declared)
                && match subject {
                    Subject::Component(name) => store.declared.name == *name,
                    _ => true,
                }
        });
        let workloads = self.plan.workloads.values().filter(|workload| {
            here(&workload.declared)
                && match subject {
                    Subject::Component(name) => workload.uses.iter().any(|u| u.store == *name),
                    _ => true,
                }
        });
        Target {
            stores: stores.map(|store| &store.declared).collect(),
            workloads: workloads.map(|w| (&w.declared, w.role)).collect(),
        }
    }

    /// Tells a driver to do something. What it answers is not believed: the proof looks.
    async fn tell(&self, declared: &Declared, op: Op, order: &Order) {
        let Some(driver) = self.drivers.get(declared.kind.as_str()) else {
            return;
        };
        let order = Order {
            id: order.id.clone(),
            action: Action {
                driver: declared.kind.clone(),
                subject: Subject::Component(declared.name.clone()),
                site: self.site.clone(),
                op,
            },
            fence: None,
            inputs: Vec::new(),
        };
        let carry_out = async {
            let mut progress = driver.act(&order).await;
            while let Ok(Progress::Running {
                handle, again_in, ..
            }) = progress
            {
                tokio::time::sleep(again_in.duration()).await;
                progress = driver.poll(&order, &handle).await;
            }
            progress
        };
        match tokio::time::timeout(EACH, carry_out).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(component = %declared.name, %error, "while fencing"),
            Err(_) => tracing::warn!(component = %declared.name, "did not end while fencing"),
        }
    }

    async fn prove(&self, target: &Target<'_>) -> Result<(), ActError> {
        let looks = target
            .stores
            .iter()
            .map(|store| self.open_path(&store.name));
        let open: Vec<String> = join_all(looks).await.into_iter().flatten().collect();
        let all = self.plan.workloads.values().map(|w| (&w.declared, w.role));
        let running = if target.stores.is_empty() {
            self.running(all.collect()).await
        } else {
            self.running(target.workloads.clone()).await
        };
        if open.is_empty() && running.is_empty() {
            return Ok(());
        }
        let what = [open, running].concat().join("; ");
        Err(ActError::Unknown(Cause::passing("not-shut", what)))
    }

    /// Why writes may still reach a store here, if they may.
    async fn open_path(&self, store: &ComponentId) -> Option<String> {
        let declared = self.plan.declared(store)?;
        let sample = self.look(declared).await?;
        match sample.facts().map(|facts| &facts.store) {
            Some(Some(seen)) if seen.access == Access::Open => {
                Some(format!("{store} still takes writes"))
            }
            Some(Some(_)) => None,
            _ => Some(format!("{store} cannot be seen to refuse writes")),
        }
    }

    /// Which of these workloads still work.
    async fn running(&self, workloads: Vec<(&Declared, WorkloadRole)>) -> Vec<String> {
        let looks = workloads.into_iter().map(|(declared, role)| async move {
            let sample = self.look(declared).await?;
            let seen = sample.facts().and_then(|facts| facts.workload.clone());
            let Some(seen) = seen else {
                return Some(format!("{} cannot be seen to be stopped", declared.name));
            };
            let held = role == WorkloadRole::Scheduler && seen.held == Some(true);
            let stopped = seen.running == Some(0) || held;
            (!stopped).then(|| format!("{} still runs", declared.name))
        });
        join_all(looks).await.into_iter().flatten().collect()
    }

    async fn look(&self, declared: &Declared) -> Option<Sample> {
        let driver = self.drivers.get(declared.kind.as_str())?;
        let scope = Scope {
            driver: declared.kind.clone(),
            subject: Subject::Component(declared.name.clone()),
            site: self.site.clone(),
            from: self.site.clone(),
        };
        Some(driver.observe(&scope).await)
    }

    /// How surely older writers of a store are shut out here.
    async fn fence_of(&self, store: &ComponentId) -> FenceFacts {
        let floor = self.ledger.floor(store).unwrap_or_default();
        let target = self.target(&Subject::Component(store.clone()));
        let held = self.ledger.held().unwrap_or_default().contains_key(store);
        match self.prove(&target).await {
            Ok(()) if held || floor.0 > 0 => FenceFacts {
                below: floor,
                class: FenceClass::F2,
                evidence: format!(
                    "at {} the users of {store} are stopped, it is not open, and its agent refuses orders below epoch {floor}",
                    self.site
                ),
            },
            Ok(()) => FenceFacts {
                below: Epoch(0),
                class: FenceClass::F2,
                evidence: format!("{store} was never fenced at {}", self.site),
            },
            Err(why) => FenceFacts {
                below: Epoch(0),
                class: FenceClass::F0,
                evidence: why.to_string(),
            },
        }
    }

    /// The site itself: it answers, and says whether it is quarantined.
    fn itself(&self) -> Facts {
        let quarantine = self.ledger.quarantine().ok().flatten();
        let mut extra = BTreeMap::from([("plan".to_owned(), self.plan.hash.clone())]);
        let health = match quarantine {
            None => Health::Passed,
            Some(held) => {
                extra.insert("quarantine".to_owned(), held.why.clone());
                Health::Failed(format!("{} is quarantined: {}", self.site, held.why))
            }
        };
        Facts {
            exists: Some(true),
            health: Some(health),
            extra,
            ..Facts::default()
        }
    }
}
