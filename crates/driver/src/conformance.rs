//! What every driver promises, as checks that any driver's tests can run against a real instance.
//! Must not know any concrete driver; a case says what to order and what then holds.

use std::{sync::Arc, time::Duration};

use mainstay_model::{
    Action, Direction, EffectId, Epoch, ExecutorEpoch, Facts, FenceClass, Goal, Idempotence, Kind,
    Op, Reading, RunId, Sample, Scope, StepId, Traits, Tri,
};

use crate::{ActError, Driver, Handle, Order, Progress, now::now};

/// A driver with something to order.
pub struct Case {
    /// The pure half.
    pub kind: Arc<dyn Kind>,
    /// The async half, over a real instance on which the goal does not hold yet.
    pub driver: Arc<dyn Driver>,
    /// What the pure half promises for the declared component.
    pub traits: Traits,
    /// What to order.
    pub action: Action,
    /// What holds once it is done.
    pub goal: Goal,
    /// How long it may take.
    pub within: Duration,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each case means")]
pub enum Breach {
    #[error("a sample was dated {dated}, outside of the look from {began} to {ended}")]
    Dated {
        dated: mainstay_model::Timestamp,
        began: mainstay_model::Timestamp,
        ended: mainstay_model::Timestamp,
    },
    #[error("two looks without an order between them differ: {first:?}, then {second:?}")]
    LookChanges {
        first: Box<Facts>,
        second: Box<Facts>,
    },
    #[error("the instance cannot be seen: {0}")]
    Unseen(String),
    #[error("the goal held before anything was ordered, so this case shows nothing")]
    HeldBefore,
    #[error("an operation that it cannot know was answered with {0}, not with \"not done\"")]
    AcceptsUnknown(String),
    #[error("an operation that it does not know changed something")]
    UnknownChanges,
    #[error("the order failed: {0}")]
    Failed(ActError),
    #[error("the order was not over after {0:?}")]
    NotOver(Duration),
    #[error("the order was said to be done, and its goal is {0:?}")]
    NotReached(Tri),
    #[error("it promises that a repeated action is harmless, and the second one failed: {0}")]
    NotIdempotent(ActError),
    #[error("a handle that nobody gave out was answered with {0}")]
    AnswersAnyHandle(String),
    #[error("asked what became of something that nobody ordered, it answered with {0}")]
    RecallsAnything(String),
    #[error("it promises to reject old epochs, and answered one with {0}")]
    AcceptsStale(String),
}

/// Checks every promise that the case can show. Stops at the first one that makes the rest meaningless.
pub async fn check(case: &Case) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let before = match look(case, &mut breaches).await {
        Ok(facts) => facts,
        Err(breach) => return vec![breach],
    };
    if let Ok(again) = look(case, &mut breaches).await
        && again != before
    {
        breaches.push(Breach::LookChanges {
            first: Box::new(before.clone()),
            second: Box::new(again),
        });
    }
    if holds(case).await == Tri::Holds {
        breaches.push(Breach::HeldBefore);
        return breaches;
    }
    refuses_the_unknown(case, &before, &mut breaches).await;
    if let Err(breach) = does(case, 2).await {
        breaches.push(breach);
        return breaches;
    }
    match holds(case).await {
        Tri::Holds => {}
        other => breaches.push(Breach::NotReached(other)),
    }
    repeats(case, &mut breaches).await;
    refuses_the_stale(case, &mut breaches).await;
    breaches
}

/// One look, with its date checked.
async fn look(case: &Case, breaches: &mut Vec<Breach>) -> Result<Facts, Breach> {
    let began = now();
    let sample = case.driver.observe(&case.goal.scope).await;
    let ended = now();
    if sample.at < began || sample.at > ended {
        breaches.push(Breach::Dated {
            dated: sample.at,
            began,
            ended,
        });
    }
    match sample.reading {
        Reading::Known(facts) => Ok(*facts),
        Reading::Unreachable { why, .. } => Err(Breach::Unseen(why)),
    }
}

async fn holds(case: &Case) -> Tri {
    let sample: Sample = case.driver.observe(&case.goal.scope).await;
    case.kind.holds(&case.goal, &sample, now())
}

/// What it does not know it refuses, and touches nothing; a handle from nowhere is not a success, and
/// what was never done is not recalled.
async fn refuses_the_unknown(case: &Case, before: &Facts, breaches: &mut Vec<Breach>) {
    let op = Op::Custom {
        name: "no-driver-knows-this".to_owned(),
        args: std::collections::BTreeMap::new(),
    };
    let strange = order(case, 1, Some(op));
    match case.driver.act(&strange).await {
        Err(ActError::NotDone(_)) => {}
        other => breaches.push(Breach::AcceptsUnknown(words(&other))),
    }
    if let Ok(after) = look(case, breaches).await
        && after != *before
    {
        breaches.push(Breach::UnknownChanges);
    }
    let nowhere = Handle("no-driver-gave-this-out".to_owned());
    if let Ok(progress) = case.driver.poll(&strange, &nowhere).await {
        breaches.push(Breach::AnswersAnyHandle(words(&Ok(progress))));
    }
    if let Ok(progress) = case.driver.recall(&strange).await {
        breaches.push(Breach::RecallsAnything(words(&Ok(progress))));
    }
}

async fn does(case: &Case, attempt: u32) -> Result<(), Breach> {
    let order = order(case, attempt, None);
    let whole = async {
        let mut progress = case.driver.act(&order).await;
        while let Ok(Progress::Running {
            handle, again_in, ..
        }) = progress
        {
            tokio::time::sleep(again_in.duration()).await;
            progress = case.driver.poll(&order, &handle).await;
        }
        progress.map(|_| ()).map_err(Breach::Failed)
    };
    tokio::time::timeout(case.within, whole)
        .await
        .unwrap_or(Err(Breach::NotOver(case.within)))
}

async fn repeats(case: &Case, breaches: &mut Vec<Breach>) {
    if case.traits.idempotence == Idempotence::Once {
        return;
    }
    match does(case, 3).await {
        Err(Breach::Failed(error)) => breaches.push(Breach::NotIdempotent(error)),
        Err(other) => breaches.push(other),
        Ok(()) => match holds(case).await {
            Tri::Holds => {}
            other => breaches.push(Breach::NotReached(other)),
        },
    }
}

/// Class F3: the store itself rejects an epoch below the one it has just taken.
async fn refuses_the_stale(case: &Case, breaches: &mut Vec<Breach>) {
    let older = |epoch: Epoch| Epoch(epoch.0.saturating_sub(1));
    let op = match &case.action.op {
        Op::Promote(epoch) => Op::Promote(older(*epoch)),
        Op::Unseal(epoch) => Op::Unseal(older(*epoch)),
        _ => return,
    };
    if case.traits.fence != FenceClass::F3 {
        return;
    }
    let answer = case.driver.act(&order(case, 4, Some(op))).await;
    if !matches!(answer, Err(ActError::StaleEpoch(_))) {
        breaches.push(Breach::AcceptsStale(words(&answer)));
    }
}

fn words(answer: &Result<Progress, ActError>) -> String {
    match answer {
        Ok(Progress::Done(_)) => "done".to_owned(),
        Ok(Progress::Running { .. }) => "running".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn order(case: &Case, attempt: u32, op: Option<Op>) -> Order {
    let action = case.action.clone();
    Order {
        id: EffectId {
            run: run(),
            step: StepId(0),
            direction: Direction::Forward,
            attempt,
            executor: ExecutorEpoch(1),
        },
        action: Action {
            op: op.unwrap_or_else(|| action.op.clone()),
            ..action
        },
        fence: None,
        inputs: Vec::new(),
    }
}

fn run() -> RunId {
    match RunId::new("conformance") {
        Ok(run) => run,
        Err(_) => unreachable!("a constant name that the rules allow"),
    }
}

/// What the goal's scope is, for a case's tests.
impl Case {
    /// The scope that is looked at.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.goal.scope
    }
}
