//! What an agent sees when it is asked to look.
//! Must not decide whether a goal holds.

use mainstay_model::{
    AgentId, Facts, FenceClass, FenceFacts, Health, Reading, Sample, Scope, StoreFacts, Subject,
    Timestamp, WorkloadFacts,
};

use super::{World, drive::position};
use crate::{clock::Time, topology::name};

impl World {
    /// An executor's look waits for an order on the same component that is under way, like the real agent's. Whoever
    /// asked has given up before a long one ends.
    pub(super) fn under_way(&self, site: usize, scope: &Scope) -> Option<Time> {
        let busy = &self.sites[site].agent.busy;
        let until = busy.get(scope.subject.component()?).copied();
        until.filter(|until| *until > self.now)
    }

    /// The agent of `site` looks.
    pub(crate) fn observe(&self, site: usize, scope: &Scope) -> Sample {
        let at = self.sites[site].clock.wall(self.now);
        Sample {
            reading: Reading::Known(Box::new(self.facts(site, scope))),
            at,
            by: name::<AgentId>(self.topology.sites[site].as_str()),
        }
    }

    /// Nobody answers.
    pub(crate) fn unreachable(&self, site: usize, at: Timestamp) -> Sample {
        Sample {
            reading: Reading::Unreachable {
                since: at,
                why: "no answer".to_owned(),
            },
            at,
            by: name::<AgentId>(self.topology.sites[site].as_str()),
        }
    }

    fn facts(&self, site: usize, scope: &Scope) -> Facts {
        let about = self.topology.site(&scope.site);
        let mut facts = Facts {
            exists: Some(true),
            health: Some(Health::Passed),
            ..Facts::default()
        };
        let Subject::Component(component) = &scope.subject else {
            return facts;
        };
        if let Some(store) = self.topology.store(component) {
            match scope.driver.as_str() {
                "lease" => facts.fence = Some(self.lease_facts(site, store)),
                "agent" => facts.fence = Some(self.agent_fence(site, store)),
                _ if about == site && site < self.topology.data() => {
                    facts.store = Some(self.store_facts(store, site));
                }
                _ => {}
            }
        } else if let Some(workload) = self.topology.workload(component) {
            if let Some(instance) = self.workloads[workload].get(site).filter(|_| about == site) {
                facts.exists = Some(instance.exists);
                let ready = instance.running && instance.ready_at <= self.now;
                facts.workload = Some(WorkloadFacts {
                    running: Some(instance.running.into()),
                    ready: Some(ready.into()),
                    held: self.is_scheduler(workload).then_some(instance.held),
                    version: None,
                });
                if !ready {
                    facts.health = Some(Health::Failed("not ready".to_owned()));
                }
            }
        } else if let Some(route) = self.topology.route(component) {
            facts.route = Some(self.route_facts(route).clone());
        }
        facts
    }

    /// A store, as its site's agent sees it.
    pub(crate) fn store_facts(&self, store: usize, site: usize) -> StoreFacts {
        let replica = &self.stores[store].at[site];
        StoreFacts {
            access: replica.access,
            mark: Some(replica.mark.clone()),
            position: Some(position(&replica.content)),
            recovery: replica.recovery.clone(),
            behind_bytes: None,
            written: Some(replica.written),
        }
    }

    /// The agent's own fence: its users are stopped, it is not open, older orders are refused.
    fn agent_fence(&self, site: usize, store: usize) -> FenceFacts {
        let component = &self.topology.stores[store];
        let agent = &self.sites[site].agent;
        let users = (0..self.workloads.len())
            .filter(|workload| self.topology.uses[*workload].contains(&store));
        let runs = users.clone().any(|workload| {
            self.workloads[workload]
                .get(site)
                .is_some_and(|it| it.running && !(self.is_scheduler(workload) && it.held))
        });
        let open = self.stores[store]
            .at
            .get(site)
            .is_some_and(|it| it.access == mainstay_model::Access::Open);
        let floor = agent.floor(component);
        let shut = !runs && !open && (agent.held.contains(component) || floor.0 > 0);
        FenceFacts {
            below: if shut {
                floor
            } else {
                mainstay_model::Epoch(0)
            },
            class: FenceClass::F2,
            evidence: String::new(),
        }
    }
}
