//! The decorators keep the contract's promises, and the conformance suite notices drivers that do not.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mainstay_driver::{
    ActError, Cause, Driver, Order, Progress, Retry,
    conformance::{Breach, Case, check},
    decorate::{DryRun, Fault, Faults, Limited, Limits, Traced},
};
use mainstay_model::*;

/// A workload in memory. Its sins can be switched on.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each sin is switched on by itself"
)]
struct Toy {
    running: Mutex<u32>,
    acts: AtomicU32,
    accepts_anything: bool,
    counts_up: bool,
    lies: bool,
    dates_late: bool,
}

#[async_trait]
impl Driver for Toy {
    async fn observe(&self, _: &Scope) -> Sample {
        let running = *self.running.lock().unwrap();
        let facts = Facts {
            workload: Some(WorkloadFacts {
                running: Some(running),
                ready: Some(running),
                ..WorkloadFacts::default()
            }),
            ..Facts::default()
        };
        let micros = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
        let late = if self.dates_late { 60_000_000 } else { 0 };
        Sample {
            reading: Reading::Known(Box::new(facts)),
            at: Timestamp(i64::try_from(micros).unwrap() + late),
            by: AgentId::new("toy").unwrap(),
        }
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        let known = matches!(order.action.op, Op::Start);
        if !known && !self.accepts_anything {
            return Err(ActError::NotDone(Cause {
                code: "unsupported".to_owned(),
                what: "not for me".to_owned(),
                retry: Retry::Useless,
            }));
        }
        let again = self.acts.fetch_add(1, Ordering::SeqCst) > 0;
        let mut running = self.running.lock().unwrap();
        if again && self.counts_up {
            *running = 0;
        } else if !self.lies {
            *running = 1;
        }
        Ok(Progress::Done(Output::default()))
    }
}

struct ToyKind;

impl Kind for ToyKind {
    fn name(&self) -> &'static str {
        "toy"
    }
    fn classes(&self) -> &'static [Class] {
        &[Class::Workload]
    }
    fn schema(&self, _: Class) -> KindSchema {
        KindSchema {
            at: serde_json::json!({}),
            options: serde_json::json!({}),
        }
    }
    fn traits(&self, _: &Declared) -> Traits {
        TRAITS
    }
}

const TRAITS: Traits = Traits {
    fence: FenceClass::F0,
    loss: LossMode::Disposable,
    seal: SealStrength::Asserted,
    idempotence: Idempotence::Idempotent,
};

fn scope() -> Scope {
    Scope {
        driver: KindName::new("toy").unwrap(),
        subject: Subject::Component(ComponentId::new("web").unwrap()),
        site: SiteId::new("dr").unwrap(),
        from: SiteId::new("dr").unwrap(),
    }
}

fn order() -> Order {
    Order {
        id: EffectId {
            run: RunId::new("r").unwrap(),
            step: StepId(0),
            direction: Direction::Forward,
            attempt: 1,
            executor: ExecutorEpoch(1),
        },
        action: Action {
            driver: scope().driver,
            subject: scope().subject,
            site: scope().site,
            op: Op::Start,
        },
        fence: None,
        inputs: Vec::new(),
    }
}

fn case(driver: Arc<dyn Driver>) -> Case {
    Case {
        kind: Arc::new(ToyKind),
        driver,
        traits: TRAITS,
        action: order().action,
        goal: Goal {
            scope: scope(),
            is: Predicate::Ready(1),
        },
        within: Duration::from_secs(5),
    }
}

#[tokio::test]
async fn a_good_driver_conforms_also_when_it_is_traced() {
    assert_eq!(check(&case(Arc::new(Toy::default()))).await, []);
    let traced = Traced::new(Arc::new(Toy::default()));
    assert_eq!(check(&case(Arc::new(traced))).await, []);
}

#[tokio::test]
async fn each_sin_is_noticed() {
    let found = |toy: Toy| async move { check(&case(Arc::new(toy))).await };
    let greedy = found(Toy {
        accepts_anything: true,
        ..Toy::default()
    });
    let greedy = greedy.await;
    assert!(matches!(greedy[0], Breach::AcceptsUnknown(_)), "{greedy:?}");
    assert!(greedy.contains(&Breach::UnknownChanges), "{greedy:?}");
    let liar = found(Toy {
        lies: true,
        ..Toy::default()
    });
    assert!(liar.await.contains(&Breach::NotReached(Tri::DoesNot)));
    let fickle = found(Toy {
        counts_up: true,
        ..Toy::default()
    });
    assert_eq!(fickle.await, [Breach::NotReached(Tri::DoesNot)]);
    let late = found(Toy {
        dates_late: true,
        ..Toy::default()
    });
    assert!(matches!(late.await[0], Breach::Dated { .. }));
}

#[tokio::test]
async fn a_dry_run_looks_and_does_nothing() {
    let toy = Arc::new(Toy::default());
    let dry = DryRun::new(toy.clone());
    let answer = dry.act(&order()).await;
    assert!(matches!(answer, Err(ActError::NotDone(_))));
    assert_eq!(dry.orders(), [order()]);
    assert_eq!(toy.acts.load(Ordering::SeqCst), 0);
    assert!(dry.observe(&scope()).await.facts().is_some());
}

#[tokio::test]
async fn faults_come_in_the_given_order() {
    let toy = Arc::new(Toy::default());
    let acts = [Fault::Refused, Fault::Lost, Fault::AnswerLost, Fault::Twice];
    let faults = Faults::new(toy.clone(), acts, [Fault::Lost]);
    let done = || toy.acts.load(Ordering::SeqCst);
    let refused = faults.act(&order()).await;
    assert!(matches!(refused, Err(ActError::NotDone(_))));
    let lost = faults.act(&order()).await;
    assert!(matches!(lost, Err(ActError::Unknown(_))) && done() == 0);
    let unanswered = faults.act(&order()).await;
    assert!(matches!(unanswered, Err(ActError::Unknown(_))) && done() == 1);
    assert!(faults.act(&order()).await.is_ok() && done() == 3);
    assert!(faults.act(&order()).await.is_ok() && done() == 4);
    assert!(faults.observe(&scope()).await.facts().is_none());
    assert!(faults.observe(&scope()).await.facts().is_some());
}

#[tokio::test]
async fn a_call_that_does_not_end_is_cut_and_its_outcome_unknown() {
    let hour = Fault::Slow(Duration::from_secs(3600));
    let slow = Faults::new(Arc::new(Toy::default()), [hour], [hour]);
    let short = Duration::from_millis(20);
    let limits = Limits {
        observe: short,
        act: short,
        poll: short,
    };
    let limited = Limited::new(Arc::new(slow), AgentId::new("a").unwrap(), limits);
    let late = limited.act(&order()).await;
    assert!(matches!(late, Err(ActError::Unknown(_))), "{late:?}");
    assert!(limited.observe(&scope()).await.facts().is_none());
}
