//! Carries out effects: looks, acts and polls, each in a task of its own, and answers with events.
//! Must not know the run; it sends what it found to the dispatcher.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::join_all;
use mainstay_driver::{ActError, Driver, Handle, Order, Progress, Retry};
use mainstay_engine::{ActOutcome, Effect, Event, Evidence, Look, ObservedGoals};
use mainstay_model::{
    Access, Action, EffectId, Facts, Fence, Goal, Input, Kinds, Output, Reading, Runbook, Sample,
    Scope, SiteId, Span, Timestamp, Tri,
};
use tokio::sync::mpsc;

use crate::{clock, desk::own_name};

/// How long until a poll that was not heard is repeated.
const POLL_AGAIN: Span = Span::from_millis(500);
const NOBODY: &str = "there is no agent at the step's site";

/// The drivers of all sites, and the rules by which goals are judged.
#[derive(Clone)]
pub struct Hands {
    kinds: Kinds,
    sites: Arc<BTreeMap<SiteId, Arc<dyn Driver>>>,
}

impl Hands {
    /// Acts through these, by site.
    #[must_use]
    pub fn new(kinds: Kinds, sites: BTreeMap<SiteId, Arc<dyn Driver>>) -> Self {
        Self {
            kinds,
            sites: Arc::new(sites),
        }
    }

    /// Starts an effect. Effects that only tell somebody something are not for hands.
    pub(super) fn start(
        &self,
        effect: Effect,
        runbook: &Runbook,
        answers: &mpsc::UnboundedSender<Event>,
    ) {
        let (hands, answers) = (self.clone(), answers.clone());
        match effect {
            Effect::Observe {
                step,
                direction,
                attempt,
                look,
                requires,
                goals,
                at,
            } => {
                tokio::spawn(async move {
                    due(at).await;
                    let seen = hands.look(look, &requires, &goals).await;
                    let seen = Event::Observed {
                        step,
                        direction,
                        attempt,
                        look,
                        seen,
                    };
                    // The dispatcher is gone only when the process ends: the journal knows the rest.
                    let _ = answers.send(seen);
                });
            }
            Effect::Act {
                id,
                action,
                fence,
                inputs,
            } => {
                let driver = hands.driver(runbook, &id);
                let order = order(id, action, fence, inputs);
                tokio::spawn(async move {
                    let outcome = match driver {
                        Some(driver) => outcome(driver.act(&order).await),
                        None => nobody(),
                    };
                    let _ = answers.send(acted(&order, outcome));
                });
            }
            Effect::Poll {
                id,
                action,
                fence,
                handle,
                at,
            } => {
                let driver = hands.driver(runbook, &id);
                let order = order(id, action, fence, Vec::new());
                tokio::spawn(async move {
                    due(at).await;
                    let outcome = match driver {
                        Some(driver) => poll(driver.as_ref(), &order, handle).await,
                        None => ActOutcome::Unknown(NOBODY.to_owned()),
                    };
                    let _ = answers.send(acted(&order, outcome));
                });
            }
            Effect::Ask { .. } | Effect::Ended(_) => {}
        }
    }

    /// The hands of the site at which a step is carried out.
    fn driver(&self, runbook: &Runbook, id: &EffectId) -> Option<Arc<dyn Driver>> {
        let step = runbook.steps.get(id.step.index())?;
        self.sites.get(&step.at).cloned()
    }

    /// One look at each scope, all at the same time; then every goal is judged by its sample.
    async fn look(&self, look: Look, requires: &[Goal], goals: &[Goal]) -> ObservedGoals {
        let mut scopes: Vec<&Scope> = requires.iter().chain(goals).map(|g| &g.scope).collect();
        scopes.sort();
        scopes.dedup();
        let looks = scopes.iter().map(|scope| self.observe(scope));
        let samples: BTreeMap<&Scope, Sample> =
            scopes.iter().copied().zip(join_all(looks).await).collect();
        let now = clock::now();
        let judge = |goal: &Goal| match samples.get(&goal.scope) {
            Some(sample) => {
                let answer = self.kinds.holds(goal, sample, now);
                let why = if answer == Tri::Holds {
                    String::new()
                } else {
                    describe(goal, sample)
                };
                Evidence { answer, why }
            }
            None => Evidence {
                answer: Tri::CannotTell,
                why: "nobody looked".to_owned(),
            },
        };
        let asked = if look == Look::Before { requires } else { &[] };
        ObservedGoals {
            requires: asked.iter().map(judge).collect(),
            goals: goals.iter().map(judge).collect(),
            output: output(goals, &samples),
        }
    }

    async fn observe(&self, scope: &Scope) -> Sample {
        if let Some(driver) = self.sites.get(&scope.from) {
            return driver.observe(scope).await;
        }
        let at = clock::now();
        Sample {
            reading: Reading::Unreachable {
                since: at,
                why: format!("there is no agent at {}", scope.from),
            },
            at,
            by: own_name(),
        }
    }
}

/// Waits until then. Most looks are due at once, and even the shortest sleep lasts a millisecond.
async fn due(at: Timestamp) {
    let wait = clock::until(at);
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
}

fn acted(order: &Order, outcome: ActOutcome) -> Event {
    Event::Acted {
        step: order.id.step,
        direction: order.id.direction,
        attempt: order.id.attempt,
        outcome,
    }
}

fn nobody() -> ActOutcome {
    ActOutcome::NotDone {
        code: "no-agent".to_owned(),
        what: NOBODY.to_owned(),
        retry: false,
    }
}

async fn poll(driver: &dyn Driver, order: &Order, handle: String) -> ActOutcome {
    match driver.poll(order, &Handle(handle.clone())).await {
        // The agent was not there to be asked. That says nothing about what it was asked about.
        Err(ActError::Unknown(cause)) if silent(&cause.code) => ActOutcome::Running {
            handle,
            again_at: clock::now() + POLL_AGAIN,
            note: Some(cause.what),
        },
        answer => outcome(answer),
    }
}

/// Codes of [`crate::client::ClientError`]: the question did not get through.
fn silent(code: &str) -> bool {
    matches!(code, "agent-not-running" | "agent-silent" | "agent-refused")
}

fn outcome(answer: Result<Progress, ActError>) -> ActOutcome {
    match answer {
        Ok(Progress::Done(output)) => ActOutcome::Done(output),
        Ok(Progress::Running {
            handle,
            again_in,
            note,
        }) => ActOutcome::Running {
            handle: handle.0,
            again_at: clock::now() + again_in,
            note,
        },
        Err(ActError::NotDone(cause)) => ActOutcome::NotDone {
            code: cause.code,
            what: cause.what,
            retry: cause.retry == Retry::MayHelp,
        },
        Err(ActError::StaleEpoch(epoch)) => ActOutcome::StaleEpoch(epoch),
        Err(ActError::Unknown(cause)) => {
            // The journal has words only for it: the code goes at their end, for `mainstay explain`.
            ActOutcome::Unknown(format!("{cause} [{}]", cause.code))
        }
    }
}

/// The position and the values that were seen at the first goals that have some, for later steps.
fn output(goals: &[Goal], samples: &BTreeMap<&Scope, Sample>) -> Output {
    let mut output = Output::default();
    let seen = goals.iter().filter_map(|goal| samples.get(&goal.scope));
    for facts in seen.filter_map(Sample::facts) {
        if output.position.is_none() {
            let store = facts.store.as_ref();
            output.position = store.and_then(|store| store.position.clone());
            let recovery = store.and_then(|store| store.recovery.as_ref());
            output
                .values
                .extend(recovery.map(Output::of_recovery).into_iter().flatten());
        }
        for (key, value) in &facts.extra {
            let entry = output.values.entry(key.clone());
            entry.or_insert_with(|| value.clone());
        }
    }
    output
}

/// What was seen instead of the goal, for people.
fn describe(goal: &Goal, sample: &Sample) -> String {
    match &sample.reading {
        Reading::Unreachable { why, .. } => why.clone(),
        Reading::Known(facts) => {
            let seen = summary(facts);
            format!("wanted {}, saw {seen}", wanted(goal))
        }
    }
}

fn wanted(goal: &Goal) -> String {
    let text = format!("{:?}", goal.is).to_lowercase();
    text.replace("epoch(", "epoch ").replace("))", ")")
}

fn summary(facts: &Facts) -> String {
    let mut seen = Vec::new();
    if let Some(store) = &facts.store {
        let access = match store.access {
            Access::Open => "open",
            Access::Sealed => "sealed",
            Access::Replica => "a copy",
            Access::Stopped => "stopped",
            Access::Empty => "empty",
        };
        let mark = store.mark.as_ref().map_or_else(
            || "no mark".to_owned(),
            |mark| format!("epoch {} of {}", mark.epoch, mark.owner),
        );
        seen.push(format!("{access}, {mark}"));
    }
    if let Some(workload) = &facts.workload {
        let count = |n: Option<u32>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
        seen.push(format!(
            "{} running, {} ready",
            count(workload.running),
            count(workload.ready)
        ));
    }
    if let Some(route) = &facts.route {
        let weights = route.weights.iter();
        let weights: Vec<_> = weights.map(|(site, w)| format!("{site} {w}")).collect();
        seen.push(format!("{} at epoch {}", weights.join(", "), route.epoch));
    }
    if let Some(fence) = &facts.fence {
        seen.push(fence.evidence.clone());
    }
    if let Some(mainstay_model::Health::Failed(why)) = &facts.health {
        seen.push(why.clone());
    }
    if seen.is_empty() {
        return "nothing that tells".to_owned();
    }
    seen.join("; ")
}

fn order(id: EffectId, action: Action, fence: Option<Fence>, inputs: Vec<Input>) -> Order {
    Order {
        id,
        action,
        fence,
        inputs,
    }
}
