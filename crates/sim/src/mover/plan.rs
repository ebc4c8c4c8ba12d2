//! Observes, plans, accepts, starts.
//! Must not know how a run is executed.

use std::{collections::BTreeMap, sync::Arc};

use mainstay_driver::Order;
use mainstay_engine::{Approval, Created, Limits, Run, lease::Drift};
use mainstay_model::{
    Action, Direction, EffectId, ExecutorEpoch, LossBound, Op, PersonId, Pinned, Reading, RunId,
    Runbook, Sample, Scope, Span, StepId, Subject, Timestamp,
};
use mainstay_planner::{
    Code, Observed, Planned, Refusals, Request, SiteAgent, SiteNow, SiteStanding, StoreNow, accept,
    plan,
};

use super::{Active, Memory, disk::Disk, host::GOOD};
use crate::{
    topology::name,
    world::{Msg, World},
};

/// How an attempt to move ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begun {
    /// A run goes on.
    Started,
    /// Nothing to do.
    Nothing,
    /// Refused, for these reasons.
    Refused(Vec<Code>),
    /// Refused, because an earlier run is not over.
    Unfinished,
}

impl World {
    /// What an agent answers to a direct question, dated by the mover's clock: its own clock may be wrong, and then
    /// so are its recovery points; their age at the moment of the look is not.
    fn sample(&self, site: usize, scope: &Scope) -> Option<Sample> {
        let it = &self.sites[site];
        let talks = self.net.talks(self.topology.mover(), site);
        if !it.up || !it.agent.alive || !talks {
            return None;
        }
        let mut sample = self.observe(site, scope);
        let asked = self.mover_now();
        let seen = sample.at;
        if let Reading::Known(facts) = &mut sample.reading
            && let Some(store) = &mut facts.store
            && let Some(point) = &mut store.recovery
        {
            let age = seen.0 - point.taken_at.0;
            // That clock may also be slow, as slow as leases allow for.
            let margin = Drift::default().margin(Span(age.unsigned_abs()));
            point.taken_at = Timestamp(asked.0 - age) - margin;
        }
        sample.at = asked;
        Some(sample)
    }

    /// Everything that the planner is told.
    pub(crate) fn observed(&mut self) -> Observed {
        let mut observed = Observed::at(self.mover_now());
        observed.bugs = self.options.planner.clone();
        observed.placement = self.registry.placement.clone();
        for (at, site) in self.topology.sites.iter().enumerate() {
            let it = &self.sites[at];
            let talks = self.net.talks(self.topology.mover(), at);
            let answers = it.up && it.agent.alive && talks;
            let quarantined = if answers {
                it.agent.quarantined
            } else {
                self.registry.quarantined.contains(site)
            };
            let now = SiteNow {
                agent: if answers {
                    SiteAgent::Answers
                } else {
                    SiteAgent::Silent
                },
                standing: if quarantined {
                    SiteStanding::Quarantined
                } else {
                    SiteStanding::InService
                },
            };
            observed.sites.insert(site.clone(), now);
        }
        self.see_stores(&mut observed);
        self.see_workloads(&mut observed);
        self.see_routes(&mut observed);
        observed
    }

    fn scope(&self, component: &mainstay_model::ComponentId, site: usize) -> Option<Scope> {
        let declared = self.topology.file.declared(component)?;
        Some(Scope {
            driver: declared.kind.clone(),
            subject: Subject::Component(component.clone()),
            site: self.topology.sites[site].clone(),
            from: self.topology.sites[site].clone(),
        })
    }

    fn see_stores(&self, observed: &mut Observed) {
        for component in &self.topology.stores {
            let mut now = StoreNow {
                epoch: self.registry.epoch(component),
                granted: self.registry.granted(component),
                at: BTreeMap::new(),
                fenced: BTreeMap::new(),
                protection: mainstay_planner::Protection::NotProtected,
            };
            for site in 0..self.topology.data() {
                let scope = self.scope(component, site);
                if let Some(sample) = scope.and_then(|scope| self.sample(site, &scope)) {
                    now.at.insert(self.topology.sites[site].clone(), sample);
                }
            }
            observed.stores.insert(component.clone(), now);
        }
    }

    fn see_workloads(&self, observed: &mut Observed) {
        for component in &self.topology.workloads {
            let mut seen = BTreeMap::new();
            for site in 0..self.topology.data() {
                let scope = self.scope(component, site);
                let sample = scope.and_then(|scope| self.sample(site, &scope));
                let facts = sample.as_ref().and_then(|it| it.facts()?.workload.clone());
                if let Some(facts) = facts {
                    seen.insert(self.topology.sites[site].clone(), facts);
                }
            }
            observed.workloads.insert(component.clone(), seen);
        }
    }

    fn see_routes(&mut self, observed: &mut Observed) {
        let witness = self.topology.witness();
        for component in self.topology.routes.clone() {
            let scope = self.scope(&component, witness);
            let sample = scope.and_then(|scope| self.sample(witness, &scope));
            if let Some(facts) = sample.as_ref().and_then(|it| it.facts()?.route.clone()) {
                self.registry.routes.insert(component, facts);
            }
        }
        observed.routes = self.registry.routes.clone();
    }

    /// Plans and starts. A loss is accepted up to `limit`, if there is one.
    pub(crate) fn begin_move(&mut self, request: &Request, limit: Option<Span>) -> Begun {
        if self.leaves_unfinished() {
            self.trace.say(self.now, || {
                "refused: an earlier run is not over".to_owned()
            });
            return Begun::Unfinished;
        }
        let mut observed = self.observed();
        if let Some(old) = self.registry.glance.take() {
            // Planned from what was seen a while ago.
            observed = Observed {
                now: observed.now,
                ..old
            };
        } else if limit.is_some() && self.options.faults && self.decisions.chance(250) {
            self.registry.glance = Some(observed);
            return Begun::Refused(Vec::new());
        }
        self.registry.shown = observed.routes.clone();
        let file = self.topology.file.clone();
        let kinds = self.topology.kinds.clone();
        let first = plan(&file, &kinds, &observed, request);
        let planned = match (first, limit) {
            (Err(refusals), Some(limit)) if refusals.has(Code::LossNotAccepted) => {
                self.accepted(&observed, request, refusals, limit)
            }
            (other, _) => other,
        };
        match planned {
            Ok(planned) => {
                self.start(planned);
                Begun::Started
            }
            Err(refusals) => {
                let codes: Vec<Code> = refusals.list.iter().map(|it| it.code).collect();
                self.trace.say(self.now, || format!("refused: {refusals}"));
                self.check_refusal(&refusals);
                if codes == [Code::NothingToMove] || codes == [Code::NothingToReprotect] {
                    return Begun::Nothing;
                }
                Begun::Refused(codes)
            }
        }
    }

    /// Somebody accepts what was shown; sometimes only after a while, and sometimes not for long.
    fn accepted(
        &mut self,
        observed: &Observed,
        request: &Request,
        refusals: Refusals,
        limit: Span,
    ) -> Result<Planned, Refusals> {
        let Some(loss): Option<LossBound> = refusals.loss.clone() else {
            return Err(refusals);
        };
        self.check_bound(&loss, request);
        let worst = loss.worst.max(loss.skew);
        if worst > limit {
            return Err(refusals);
        }
        let hasty = self.options.faults && self.decisions.chance(120);
        let long = if hasty { Span::from_secs(4) } else { GOOD };
        let until = observed.now + long;
        let acceptance = accept(&loss, worst, name::<PersonId>("ann"), until);
        let mut later = observed.clone();
        if self.options.faults && self.decisions.chance(200) {
            // Hesitated for so long that it may have run out, or that the copies may have gone away.
            later.now = observed.now + Span::from_secs(self.decisions.between(1, 8));
            if self.decisions.chance(400) {
                worsen(&mut later);
            }
        }
        let request = Request {
            acceptance: Some(acceptance),
            ..request.clone()
        };
        let planned = plan(&self.topology.file, &self.topology.kinds, &later, &request);
        if let Ok(planned) = &planned {
            self.check_acceptance(&later, &planned.runbook);
        }
        planned
    }

    /// A run begins.
    fn start(&mut self, planned: Planned) {
        let mut runbook = planned.runbook;
        if self.options.faults && runbook.acceptance.is_some() && self.decisions.chance(30) {
            // Somebody went round the planner: the engine has its own eyes.
            runbook.acceptance = None;
        }
        let runbook = Arc::new(runbook);
        self.check_runbook(&runbook);
        for (store, epochs) in &runbook.epochs {
            self.registry.grant(store, epochs.retreat.max(epochs.to));
        }
        self.mover.runs += 1;
        let pinned = Pinned::from(Arc::clone(&runbook));
        let approval = if self.decisions.chance(100) {
            Approval::Needed
        } else {
            Approval::NotNeeded
        };
        let created = Created {
            run: name::<RunId>(&format!("r{}", self.mover.runs)),
            parent: None,
            runbook: pinned.hash.clone(),
            by: name::<PersonId>("ann"),
            executor: self.next_executor(),
            approval,
            limits: Limits {
                concurrency: [1, 2, 8, 64][self.decisions.index(4)],
                retries: 3,
            },
            once: Vec::new(),
        };
        let mode = runbook.mode;
        let now = self.mover_now();
        self.trace.say(self.now, || words(&runbook));
        let fresh = Run::create_with(pinned.clone(), created, now, self.options.engine);
        let Ok(run) = fresh else {
            self.checks
                .fail(self.now, "I19", "a fresh runbook made no run".to_owned());
            return;
        };
        self.checks.begun(mode, &run);
        self.greet();
        self.activate((run, pinned), Disk::default(), Memory::default());
        self.pump();
    }

    /// A number that no executor had.
    pub(crate) fn next_executor(&mut self) -> ExecutorEpoch {
        self.mover.executors += 1;
        ExecutorEpoch(self.mover.executors)
    }

    /// Tells every agent that there is a new executor. Some hear it only with the first order.
    pub(crate) fn greet(&mut self) {
        let executor = ExecutorEpoch(self.mover.executors);
        if self.dice.chance(300) {
            return;
        }
        for site in 0..self.sites.len() {
            self.send(self.topology.mover(), site, Msg::Hello(executor));
        }
    }

    pub(super) fn activate(&mut self, (run, pinned): (Run, Pinned), disk: Disk, memory: Memory) {
        self.mover.lives += 1;
        self.mover.active = Some(Active {
            life: self.mover.lives,
            run,
            pinned,
            disk,
            looks: BTreeMap::new(),
            next_look: 0,
            waiting: BTreeMap::new(),
            wake: None,
            syncing: false,
            intents: BTreeMap::new(),
            memory,
            person_called: false,
        });
    }

    /// Somebody does by hand what no run does: takes a site back into service after a short outage.
    pub(crate) fn by_hand(&mut self, site: usize, subject: Subject, op: Op) {
        let driver = match subject
            .component()
            .and_then(|it| self.topology.file.declared(it))
        {
            Some(declared) => declared.kind.clone(),
            None => name("agent"),
        };
        self.mover.by_hand += 1;
        let order = Order {
            id: EffectId {
                run: name::<RunId>(&format!("by-hand-{}", self.mover.by_hand)),
                step: StepId(0),
                direction: Direction::Forward,
                attempt: 1,
                executor: ExecutorEpoch(self.mover.executors),
            },
            action: Action {
                driver,
                subject,
                site: self.topology.sites[site].clone(),
                op,
            },
            fence: None,
            inputs: Vec::new(),
        };
        let msg = Msg::Act { life: 0, order };
        self.send(self.topology.mover(), site, msg);
    }
}

/// All recovery points went back in time.
fn worsen(observed: &mut Observed) {
    for store in observed.stores.values_mut() {
        for sample in store.at.values_mut() {
            if let Reading::Known(facts) = &mut sample.reading
                && let Some(point) = facts.store.as_mut().and_then(|it| it.recovery.as_mut())
            {
                point.taken_at = point.taken_at - Span::from_secs(30);
                if let mainstay_model::Position::Counter(count) = &mut point.position {
                    *count = count.saturating_sub(3);
                }
            }
        }
    }
}

fn words(runbook: &Runbook) -> String {
    let steps = runbook.steps.iter().map(|step| {
        let after: Vec<String> = step.after.iter().map(|id| id.0.to_string()).collect();
        format!(
            "\n      {} {} < {}",
            step.id.0,
            step.title(),
            after.join(" ")
        )
    });
    let steps: String = steps.collect();
    format!(
        "{:?} planned, epochs {:?}{steps}",
        runbook.mode, runbook.epochs
    )
}
