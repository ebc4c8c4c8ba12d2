//! The `haproxy` driver against a real HAProxy.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test harness that fails loudly and says what it leaves out"
)]

mod balancer;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use balancer::Balancer;
use mainstay_driver::{
    ActError, Driver, Order, Progress,
    conformance::{self, Case},
};
use mainstay_drivers::{
    Home,
    haproxy::{HaproxyDriver, HaproxyKind},
};
use mainstay_model::{
    Action, AgentId, Class, ComponentId, Declared, Direction, EffectId, Epoch, ExecutorEpoch, Goal,
    Kind, KindName, Op, Predicate, RunId, Scope, SiteId, StepId, Subject, Timestamp, Tri, Weights,
};
use serde_json::json;
use tokio::io::AsyncReadExt;

fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

fn weights(list: &[(&str, u32)]) -> Weights {
    list.iter().map(|(name, w)| (site(name), *w)).collect()
}

fn declared(options: serde_json::Value) -> Declared {
    Declared {
        name: ComponentId::new("app").unwrap(),
        class: Class::Route,
        kind: KindName::new("haproxy").unwrap(),
        at: BTreeMap::from([
            (site("prod"), json!(["app/prod1", "app/prod2"])),
            (site("dr"), json!(["app/dr1"])),
        ]),
        options,
        timeout: None,
    }
}

fn driver(balancer: &Balancer, options: serde_json::Value) -> HaproxyDriver {
    let declared = declared(options);
    assert_eq!(HaproxyKind.check(&declared), []);
    let home = Home {
        site: site("witness"),
        agent: AgentId::new("witness").unwrap(),
        base: balancer.dir.path().to_owned(),
        state: balancer.dir.path().join("agent"),
    };
    HaproxyDriver::of(&[declared], home)
}

fn order(list: &[(&str, u32)], epoch: u64) -> Order {
    Order {
        id: EffectId {
            run: RunId::new("r1").unwrap(),
            step: StepId(1),
            direction: Direction::Forward,
            attempt: 1,
            executor: ExecutorEpoch(1),
        },
        action: Action {
            driver: KindName::new("haproxy").unwrap(),
            subject: Subject::Component(ComponentId::new("app").unwrap()),
            site: site("dr"),
            op: Op::Route {
                weights: weights(list),
                epoch: Epoch(epoch),
            },
        },
        fence: None,
        inputs: Vec::new(),
    }
}

async fn done(driver: &HaproxyDriver, list: &[(&str, u32)], epoch: u64) {
    let progress = driver.act(&order(list, epoch)).await.unwrap();
    assert!(matches!(progress, Progress::Done(_)), "{progress:?}");
}

async fn routed(driver: &HaproxyDriver, list: &[(&str, u32)], epoch: u64) -> Tri {
    let scope = Scope {
        driver: KindName::new("haproxy").unwrap(),
        subject: Subject::Component(ComponentId::new("app").unwrap()),
        site: site("dr"),
        from: site("witness"),
    };
    let sample = driver.observe(&scope).await;
    let is = Predicate::Routed {
        weights: weights(list),
        epoch: Epoch(epoch),
    };
    HaproxyKind.holds(&Goal { scope, is }, &sample, Timestamp(0))
}

async fn served_by(balancer: &Balancer) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for _ in 0..12 {
        seen.insert(balancer.who().await.unwrap());
    }
    seen
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_moves_without_a_gap_and_stale_plans_are_refused() {
    let Some(mut balancer) = Balancer::start().await else {
        return;
    };
    let driver = driver(&balancer, json!({ "sockets": [balancer.socket()] }));
    done(&driver, &[("prod", 100)], 1).await;
    assert_eq!(routed(&driver, &[("prod", 100)], 1).await, Tri::Holds);
    assert_eq!(served_by(&balancer).await, names(&["prod1", "prod2"]));
    {
        let stop = Arc::new(AtomicBool::new(false));
        let (moving, watching) = (
            async {
                for epoch in 2..10 {
                    let to = if epoch % 2 == 0 { "dr" } else { "prod" };
                    done(&driver, &[(to, 100)], epoch).await;
                }
                stop.store(true, Ordering::Relaxed);
            },
            async {
                let mut asked = 0;
                while !stop.load(Ordering::Relaxed) {
                    assert!(balancer.who().await.is_some(), "nobody serves");
                    asked += 1;
                }
                asked
            },
        );
        let ((), asked) = tokio::join!(moving, watching);
        assert!(asked > 0);
    }
    done(&driver, &[("dr", 100), ("prod", 0)], 10).await;
    assert_eq!(served_by(&balancer).await, names(&["dr1"]));
    for (list, epoch) in [([("prod", 100)], 9), ([("prod", 100)], 10)] {
        let refused = driver.act(&order(&list, epoch)).await;
        assert_eq!(refused, Err(ActError::StaleEpoch(Epoch(10))));
    }
    match driver.act(&order(&[("dr", 0)], 11)).await {
        Err(ActError::NotDone(cause)) => assert_eq!(cause.code, "route-would-be-empty"),
        other => panic!("{other:?}"),
    }
    assert_eq!(routed(&driver, &[("dr", 100)], 10).await, Tri::Holds);
    // Weights are real here.
    done(&driver, &[("dr", 1), ("prod", 100)], 11).await;
    assert_eq!(
        routed(&driver, &[("dr", 1), ("prod", 100)], 11).await,
        Tri::Holds
    );
    assert_eq!(
        routed(&driver, &[("dr", 2), ("prod", 100)], 11).await,
        Tri::DoesNot
    );
    // Started anew, HAProxy has forgotten: that is seen, and the older plan is refused all the same.
    done(&driver, &[("dr", 100)], 12).await;
    balancer.restart().await;
    assert_eq!(routed(&driver, &[("dr", 100)], 12).await, Tri::DoesNot);
    let refused = driver.act(&order(&[("prod", 100)], 11)).await;
    assert_eq!(refused, Err(ActError::StaleEpoch(Epoch(12))));
    done(&driver, &[("dr", 100)], 12).await;
    assert_eq!(routed(&driver, &[("dr", 100)], 12).await, Tri::Holds);
    balancer.stop();
    assert_eq!(routed(&driver, &[("dr", 100)], 12).await, Tri::CannotTell);
    match driver.act(&order(&[("prod", 100)], 13)).await {
        Err(ActError::NotDone(cause)) => assert_eq!(cause.code, "haproxy-unreachable"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_waits_for_sessions_and_cuts_what_is_left() {
    let Some(balancer) = Balancer::start().await else {
        return;
    };
    let options = |grace: &str, sessions: &str| json!({ "sockets": [balancer.socket()], "grace": grace, "sessions": sessions });
    let patient = driver(&balancer, options("60s", "keep"));
    done(&patient, &[("prod", 100), ("dr", 100)], 1).await;
    // One connection to each server, whoever is next.
    let held = [
        balancer.hold().await,
        balancer.hold().await,
        balancer.hold().await,
    ];
    let drain = order(&[("dr", 100)], 2);
    let mut progress = patient.act(&drain).await.unwrap();
    assert!(matches!(progress, Progress::Running { .. }), "{progress:?}");
    assert_eq!(served_by(&balancer).await, names(&["dr1"]));
    drop(held);
    while let Progress::Running { handle, .. } = &progress {
        tokio::time::sleep(Duration::from_millis(20)).await;
        progress = patient.poll(&drain, &handle.clone()).await.unwrap();
    }
    // What does not end in time is cut.
    done(&patient, &[("prod", 100), ("dr", 100)], 3).await;
    let mut held = [
        balancer.hold().await,
        balancer.hold().await,
        balancer.hold().await,
    ];
    let cutter = driver(&balancer, options("0s", "cut"));
    done(&cutter, &[("dr", 100)], 4).await;
    let mut cut = 0;
    for stream in &mut held {
        let mut rest = Vec::new();
        let end = tokio::time::timeout(Duration::from_millis(500), stream.read_to_end(&mut rest));
        cut += u32::from(end.await.is_ok());
    }
    assert_eq!(cut, 2, "the two connections to prod");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_promises_of_every_driver() {
    let Some(balancer) = Balancer::start().await else {
        return;
    };
    let options = json!({ "sockets": [balancer.socket()] });
    let action = order(&[("dr", 100)], 2).action;
    let breaches = conformance::check(&Case {
        kind: Arc::new(HaproxyKind),
        driver: Arc::new(driver(&balancer, options.clone())),
        traits: HaproxyKind.traits(&declared(options)),
        goal: Goal {
            scope: Scope {
                driver: action.driver.clone(),
                subject: action.subject.clone(),
                site: site("dr"),
                from: site("witness"),
            },
            is: Predicate::Routed {
                weights: weights(&[("dr", 100)]),
                epoch: Epoch(2),
            },
        },
        action,
        within: Duration::from_secs(30),
    })
    .await;
    assert_eq!(breaches, []);
}
