//! The `dns` driver against real name servers: Knot and BIND, with TSIG.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test harness that fails loudly and says what it leaves out"
)]

mod server;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mainstay_driver::{
    ActError, Driver, Order, Progress,
    conformance::{self, Case},
};
use mainstay_drivers::{
    Home,
    dns::{DnsDriver, DnsKind},
};
use mainstay_model::{
    Action, AgentId, Class, ComponentId, Declared, Direction, EffectId, Epoch, ExecutorEpoch, Goal,
    Kind, KindName, Op, Predicate, RunId, Scope, SiteId, StepId, Subject, Timestamp, Tri, Weights,
};
use serde_json::json;
use server::{Brand, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

fn weights(list: &[(&str, u32)]) -> Weights {
    list.iter().map(|(name, w)| (site(name), *w)).collect()
}

struct Bench {
    server: Server,
    driver: Arc<DnsDriver>,
}

fn declared(server: SocketAddr, outside: SocketAddr, key: &str) -> Declared {
    Declared {
        name: ComponentId::new("app").unwrap(),
        class: Class::Route,
        kind: KindName::new("dns").unwrap(),
        at: BTreeMap::from([
            (site("prod"), json!(["127.0.0.11", "::11"])),
            (site("dr"), json!(["127.0.0.12"])),
        ]),
        options: json!({
            "name": "app.orders.test",
            "server": server.to_string(),
            "ttl": "1s",
            "tsig": { "name": "mover", "secret": { "file": key } },
            "resolvers": [outside.to_string()],
        }),
        timeout: None,
    }
}

fn driver(bench: &Server, server: SocketAddr, key: &str) -> DnsDriver {
    let home = Home {
        site: site("witness"),
        agent: AgentId::new("witness").unwrap(),
        base: bench.dir.path().to_owned(),
        state: bench.dir.path().to_owned(),
    };
    DnsDriver::of(&[declared(server, bench.address, key)], home)
}

fn bench(brand: Brand) -> Option<Bench> {
    let server = Server::start(brand)?;
    let driver = Arc::new(driver(&server, server.address, "key"));
    Some(Bench { server, driver })
}

fn order(op: Op) -> Order {
    Order {
        id: EffectId {
            run: RunId::new("r1").unwrap(),
            step: StepId(1),
            direction: Direction::Forward,
            attempt: 1,
            executor: ExecutorEpoch(1),
        },
        action: Action {
            driver: KindName::new("dns").unwrap(),
            subject: Subject::Component(ComponentId::new("app").unwrap()),
            site: site("dr"),
            op,
        },
        fence: None,
        inputs: Vec::new(),
    }
}

fn route(list: &[(&str, u32)], epoch: u64) -> Op {
    Op::Route {
        weights: weights(list),
        epoch: Epoch(epoch),
    }
}

impl Bench {
    async fn act(&self, list: &[(&str, u32)], epoch: u64) -> Result<Progress, ActError> {
        self.driver.act(&order(route(list, epoch))).await
    }

    async fn done(&self, list: &[(&str, u32)], epoch: u64) {
        let progress = self.act(list, epoch).await.unwrap();
        assert!(matches!(progress, Progress::Done(_)), "{progress:?}");
    }

    async fn routed(&self, list: &[(&str, u32)], epoch: u64) -> Tri {
        let scope = Scope {
            driver: KindName::new("dns").unwrap(),
            subject: Subject::Component(ComponentId::new("app").unwrap()),
            site: site("dr"),
            from: site("witness"),
        };
        let sample = self.driver.observe(&scope).await;
        let is = Predicate::Routed {
            weights: weights(list),
            epoch: Epoch(epoch),
        };
        DnsKind.holds(&Goal { scope, is }, &sample, Timestamp(0))
    }
}

async fn moves_and_refuses_stale_plans(brand: Brand) {
    let Some(bench) = bench(brand) else { return };
    assert_eq!(bench.routed(&[("prod", 100)], 0).await, Tri::DoesNot);
    bench.done(&[("prod", 100)], 1).await;
    assert_eq!(bench.routed(&[("prod", 100)], 1).await, Tri::Holds);
    bench.done(&[("dr", 100), ("prod", 0)], 2).await;
    assert_eq!(bench.routed(&[("dr", 100)], 2).await, Tri::Holds);
    assert_eq!(bench.routed(&[("dr", 100)], 1).await, Tri::DoesNot);
    // An older plan, and another plan with the same number.
    for (epoch, list) in [(1, ("prod", 100)), (2, ("prod", 100))] {
        let refused = bench.act(&[list], epoch).await;
        assert_eq!(refused, Err(ActError::StaleEpoch(Epoch(2))));
    }
    // The same plan again changes nothing and is done.
    bench.done(&[("dr", 100)], 2).await;
    assert_eq!(bench.routed(&[("dr", 100)], 2).await, Tri::Holds);
    // A route is never left empty.
    for list in [&[][..], &[("dr", 0)], &[("nowhere", 100)]] {
        match bench.act(list, 3).await {
            Err(ActError::NotDone(cause)) => assert_eq!(cause.code, "route-would-be-empty"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bench.routed(&[("dr", 100)], 2).await, Tri::Holds);
    // The weights are kept beside the addresses.
    bench.done(&[("dr", 30), ("prod", 70)], 4).await;
    assert_eq!(
        bench.routed(&[("dr", 30), ("prod", 70)], 4).await,
        Tri::Holds
    );
}

async fn only_one_of_racing_plans_wins_an_epoch(brand: Brand) {
    let Some(bench) = bench(brand) else { return };
    bench.done(&[("prod", 100)], 1).await;
    let stop = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(watch(bench.server.address, Arc::clone(&stop)));
    let plans: Vec<_> = (2..12_u64)
        .map(|epoch| {
            let driver = Arc::clone(&bench.driver);
            let to = if epoch % 2 == 0 { "dr" } else { "prod" };
            tokio::spawn(
                async move { (epoch, driver.act(&order(route(&[(to, 100)], epoch))).await) },
            )
        })
        .collect();
    let mut won = Vec::new();
    for plan in plans {
        let (epoch, result) = plan.await.unwrap();
        match result {
            // "Running": another plan took over before this one was seen from outside.
            Ok(_) => won.push(epoch),
            Err(ActError::StaleEpoch(newer)) => assert!(newer >= Epoch(epoch)),
            Err(ActError::NotDone(cause)) => assert_eq!(cause.code, "route-changed-meanwhile"),
            Err(other) => panic!("{other:?}"),
        }
    }
    stop.store(true, Ordering::Relaxed);
    let answers = reader.await.unwrap();
    assert!(answers > 0);
    let last = won.into_iter().max().unwrap();
    let to = if last % 2 == 0 { "dr" } else { "prod" };
    assert_eq!(bench.routed(&[(to, 100)], last).await, Tri::Holds);
}

/// Asks for the address over and over: an empty or a mixed answer must never be seen.
async fn watch(server: SocketAddr, stop: Arc<AtomicBool>) -> u32 {
    let question = b"\x56\x78\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03app\x06orders\x04test\x00\x00\x01\x00\x01";
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    let mut answers = 0;
    let mut buffer = [0; 512];
    while !stop.load(Ordering::Relaxed) {
        socket.send(question).await.unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(2), socket.recv(&mut buffer)).await;
        if let Ok(Ok(_)) = answer {
            assert_eq!(
                (buffer[3] & 15, buffer[7]),
                (0, 1),
                "rcode and number of A records"
            );
            answers += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    answers
}

async fn a_drain_waits_old_answers_out(brand: Brand) {
    let Some(bench) = bench(brand) else { return };
    bench.done(&[("prod", 50), ("dr", 50)], 1).await;
    let started = std::time::Instant::now();
    let drain = order(route(&[("dr", 100)], 2));
    let mut progress = bench.driver.act(&drain).await.unwrap();
    // The change can be seen at once, but is not over.
    assert_eq!(bench.routed(&[("dr", 100)], 2).await, Tri::Holds);
    let mut polls = 0;
    while let Progress::Running { handle, .. } = &progress {
        // Another process can poll: a driver of its own, knowing only the handle.
        let other = driver(&bench.server, bench.server.address, "key");
        progress = other.poll(&drain, &handle.clone()).await.unwrap();
        polls += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(polls > 0, "a drain that waits for nothing");
    assert!(
        started.elapsed() >= Duration::from_secs(1),
        "the TTL was not waited out"
    );
    assert!(matches!(progress, Progress::Done(_)));
}

async fn a_wrong_key_changes_nothing(brand: Brand) {
    let Some(bench) = bench(brand) else { return };
    bench.done(&[("prod", 100)], 1).await;
    std::fs::write(bench.server.dir.path().join("wrong"), "d3Jvbmc=").unwrap();
    let stranger = driver(&bench.server, bench.server.address, "wrong");
    match stranger.act(&order(route(&[("dr", 100)], 2))).await {
        Err(ActError::NotDone(cause)) => assert_eq!(cause.code, "dns-update-refused"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.routed(&[("prod", 100)], 1).await, Tri::Holds);
    let missing = driver(&bench.server, bench.server.address, "no-such-file");
    match missing.act(&order(route(&[("dr", 100)], 2))).await {
        Err(ActError::NotDone(cause)) => assert_eq!(cause.code, "secret-missing"),
        other => panic!("{other:?}"),
    }
}

/// Forwards one TCP request to the server and swallows the answer; UDP goes straight through.
async fn swallow_answers(server: SocketAddr) -> SocketAddr {
    let (listener, udp) = loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        if let Ok(udp) = tokio::net::UdpSocket::bind(address).await {
            break (listener, udp);
        }
    };
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut upstream = TcpStream::connect(server).await.unwrap();
            let length = client.read_u16().await.unwrap();
            let mut request = vec![0; usize::from(length)];
            client.read_exact(&mut request).await.unwrap();
            upstream.write_u16(length).await.unwrap();
            upstream.write_all(&request).await.unwrap();
            let _ = upstream.read_u16().await;
        }
    });
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, client)) = udp.recv_from(&mut buffer).await {
            let upstream = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            upstream.send_to(&buffer[..length], server).await.unwrap();
            let (length, _) = upstream.recv_from(&mut buffer).await.unwrap();
            udp.send_to(&buffer[..length], client).await.unwrap();
        }
    });
    address
}

async fn a_lost_answer_is_unknown_and_settled_by_looking(brand: Brand) {
    let Some(bench) = bench(brand) else { return };
    bench.done(&[("prod", 100)], 1).await;
    let proxy = swallow_answers(bench.server.address).await;
    let behind = driver(&bench.server, proxy, "key");
    match behind.act(&order(route(&[("dr", 100)], 2))).await {
        Err(ActError::Unknown(cause)) => assert_eq!(cause.code, "dns-update-unconfirmed"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.routed(&[("dr", 100)], 2).await, Tri::Holds);
}

async fn silence_is_not_done_and_cannot_tell(brand: Brand) {
    let Some(mut bench) = bench(brand) else {
        return;
    };
    bench.done(&[("prod", 100)], 1).await;
    bench.server.stop();
    match bench.act(&[("dr", 100)], 2).await {
        Err(ActError::NotDone(cause)) => assert_eq!(cause.code, "dns-server-unreachable"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.routed(&[("prod", 100)], 1).await, Tri::CannotTell);
}

async fn it_keeps_the_promises_of_every_driver(brand: Brand) {
    let Some(bench) = bench(brand) else { return };
    bench.done(&[("prod", 100)], 1).await;
    let action = order(route(&[("dr", 100)], 2)).action;
    let declared = declared(bench.server.address, bench.server.address, "key");
    let breaches = conformance::check(&Case {
        kind: Arc::new(DnsKind),
        driver: bench.driver.clone(),
        traits: DnsKind.traits(&declared),
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

macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod knot {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(super::Brand::Knot).await; })*
        }
        mod bind {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(super::Brand::Bind).await; })*
        }
    };
}

on_both!(
    moves_and_refuses_stale_plans,
    only_one_of_racing_plans_wins_an_epoch,
    a_drain_waits_old_answers_out,
    a_wrong_key_changes_nothing,
    a_lost_answer_is_unknown_and_settled_by_looking,
    silence_is_not_done_and_cannot_tell,
    it_keeps_the_promises_of_every_driver,
);
