//! The `postgres` driver on two real clusters with streaming replication.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test harness that fails loudly and says what it leaves out"
)]

mod pair;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mainstay_driver::{
    ActError,
    conformance::{self, Breach, Case},
};
use mainstay_drivers::{
    Quarantine,
    postgres::{PostgresKind, cluster},
};
use mainstay_model::{
    Access, Epoch, Facts, Goal, Op, Position, Predicate, Span, Timestamp, Tri, Wanted,
};
use pair::{Pair, site};

fn copies(of: &str) -> Predicate {
    Predicate::Copies {
        of: site(of),
        within: Span::MAX,
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since.as_micros()).unwrap())
}

async fn access(pair: &Pair, at: &str) -> Access {
    let sample = pair.sample(at).await;
    sample.facts().unwrap().store.as_ref().unwrap().access
}

/// Moves the store, with nothing lost, and makes the other site a copy again. Returns how it was rebuilt.
async fn switch(pair: &Pair, from: &str, to: &str, epoch: u64) -> String {
    let sealed = pair.done(from, Op::Seal(Epoch(epoch))).await;
    assert_eq!(
        pair.holds(from, Predicate::Sealed(Epoch(epoch))).await,
        Tri::Holds
    );
    assert!(
        pair.app(from).await.is_err(),
        "the application gets in after the seal"
    );
    let position = sealed.position.clone().unwrap();
    let catch_up = Op::CatchUp { from: site(from) };
    pair.act(to, catch_up, Some(sealed)).await.unwrap();
    let caught_up = Predicate::CaughtUp(Wanted::Position(position));
    assert_eq!(pair.holds(to, caught_up).await, Tri::Holds);
    pair.done(to, Op::Promote(Epoch(epoch + 1))).await;
    assert_eq!(
        pair.holds(to, Predicate::Open(Epoch(epoch + 1))).await,
        Tri::Holds
    );
    // Again changes nothing: an effect whose answer was lost may be repeated.
    pair.done(to, Op::Promote(Epoch(epoch + 1))).await;
    let rebuilt = pair.done(from, Op::Rebuild { from: site(to) }).await;
    assert_eq!(pair.holds(from, copies(to)).await, Tri::Holds);
    rebuilt.values["by"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_there_and_back_loses_nothing() {
    let Some(pair) = Pair::start().await else {
        return;
    };
    assert_eq!(
        pair.holds("prod", Predicate::Open(Epoch(1))).await,
        Tri::Holds
    );
    pair.wait_for("dr", copies("prod")).await;
    pair.insert("prod", 0..50).await;
    // A session that is in the middle of something is ended by the seal.
    let busy = pair.app("prod").await.unwrap();
    busy.batch_execute("BEGIN; INSERT INTO orders VALUES (1000, 'never')")
        .await
        .unwrap();
    assert_eq!(switch(&pair, "prod", "dr", 1).await, "pg_rewind");
    assert!(busy.batch_execute("COMMIT").await.is_err());
    assert_eq!(pair.count("dr").await, 50);
    // Older owners are refused at the store itself.
    for op in [
        Op::Promote(Epoch(1)),
        Op::Seal(Epoch(1)),
        Op::Unseal(Epoch(1)),
    ] {
        let refused = pair.act("dr", op, None).await;
        assert_eq!(refused, Err(ActError::StaleEpoch(Epoch(2))));
    }
    let refused = pair.act("prod", Op::Promote(Epoch(2)), None).await;
    assert_eq!(refused, Err(ActError::StaleEpoch(Epoch(2))));
    pair.insert("dr", 50..80).await;
    assert_eq!(switch(&pair, "dr", "prod", 2).await, "pg_rewind");
    pair.insert("prod", 80..90).await;
    assert_eq!(pair.count("prod").await, 90);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_is_salvaged_and_rewound() {
    let Some(mut pair) = Pair::start().await else {
        return;
    };
    pair.insert("prod", 0..20).await;
    // The copy proves a point; then it is gone while the primary goes on.
    pair.wait_for("dr", copies("prod")).await;
    let sample = pair.sample("dr").await;
    let proven = sample
        .facts()
        .unwrap()
        .store
        .clone()
        .unwrap()
        .recovery
        .unwrap();
    assert!(proven.taken_at <= now());
    cluster::stop(&pair.specs["dr"]).await.unwrap();
    assert_eq!(access(&pair, "dr").await, Access::Stopped);
    pair.insert("prod", 100..101).await;
    let first_lost = now();
    pair.insert("prod", 101..107).await;
    pair.kill("prod");
    assert_eq!(access(&pair, "prod").await, Access::Stopped);
    pair.restart_agent("dr");
    cluster::start(&pair.specs["dr"]).await.unwrap();
    let sample = pair.sample("dr").await;
    let point = sample
        .facts()
        .unwrap()
        .store
        .clone()
        .unwrap()
        .recovery
        .unwrap();
    assert_eq!(point.source, site("prod"));
    // Writes 100..107 are missing, so no moment after the first of them may be claimed (I13).
    assert!(point.taken_at >= proven.taken_at && point.taken_at < first_lost);
    assert!(matches!(point.position, Position::Lsn(_)));
    pair.done("dr", Op::Promote(Epoch(2))).await;
    pair.insert("dr", 20..30).await;
    assert_eq!(pair.count("dr").await, 30);

    the_old_primary_is_salvaged(&pair).await;

    let rebuilt = pair.done("prod", Op::Rebuild { from: site("dr") }).await;
    assert_eq!(rebuilt.values["by"], "pg_rewind");
    assert_eq!(pair.holds("prod", copies("dr")).await, Tri::Holds);
    assert_eq!(access(&pair, "prod").await, Access::Replica);
    assert!(
        pair.app("prod").await.is_err(),
        "the copied settings opened the gate"
    );
    // And home again.
    switch(&pair, "dr", "prod", 2).await;
    assert_eq!(pair.count("prod").await, 30);
}

/// The old primary comes back sealed, and what only it has is kept.
async fn the_old_primary_is_salvaged(pair: &Pair) {
    let saved = pair.done("prod", Op::Salvage { owner: site("dr") }).await;
    assert_eq!(access(pair, "prod").await, Access::Sealed);
    assert!(pair.app("prod").await.is_err(), "a returned primary serves");
    assert_eq!(saved.values["rows"], "7");
    let folder = std::path::Path::new(&saved.values["folder"]);
    let rows = std::fs::read_to_string(folder.join("rows.jsonl")).unwrap();
    for id in 100..107 {
        assert!(
            rows.contains(&format!("\"id\": {id}")),
            "{id} is not in {rows}"
        );
    }
    let log = std::fs::read_dir(folder).unwrap().flatten();
    assert!(
        log.into_iter().any(|file| file.file_name().len() == 24),
        "no diverged log"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_rewind_everything_is_copied_anew() {
    let Some(pair) = Pair::start().await else {
        return;
    };
    pair.insert("prod", 0..10).await;
    let sealed = pair.done("prod", Op::Seal(Epoch(1))).await;
    pair.act("dr", Op::CatchUp { from: site("prod") }, Some(sealed))
        .await
        .unwrap();
    pair.done("dr", Op::Promote(Epoch(2))).await;
    // A rewind that an agent did not live to finish leaves this mark: the folder cannot be trusted.
    let state = pair.dir.path().join("prod-agent/postgres/ledger");
    std::fs::create_dir_all(&state).unwrap();
    std::fs::write(state.join("rewinding"), "").unwrap();
    let rebuilt = pair.done("prod", Op::Rebuild { from: site("dr") }).await;
    assert_eq!(rebuilt.values["by"], "a new base backup");
    assert_eq!(pair.holds("prod", copies("dr")).await, Tri::Holds);
    assert!(!state.join("rewinding").exists() && !state.join("own-files").exists());
    let data = &pair.specs["prod"].data;
    assert!(!data.with_file_name("data.mainstay-old").exists());
    // A site that lost its disk.
    pair.kill("prod");
    std::fs::remove_dir_all(data).unwrap();
    assert_eq!(access(&pair, "prod").await, Access::Empty);
    let rebuilt = pair.done("prod", Op::Rebuild { from: site("dr") }).await;
    assert_eq!(rebuilt.values["by"], "a new base backup");
    pair.insert("dr", 10..20).await;
    let sealed = pair.done("dr", Op::Seal(Epoch(2))).await;
    pair.act("prod", Op::CatchUp { from: site("dr") }, Some(sealed))
        .await
        .unwrap();
    pair.done("prod", Op::Promote(Epoch(3))).await;
    assert_eq!(pair.count("prod").await, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retreat_voids_promotes_and_every_boot_is_sealed() {
    let Some(pair) = Pair::start().await else {
        return;
    };
    pair.insert("prod", 0..5).await;
    // An open primary is never given up, nor is anything given to a site that does not own the store.
    for (at, from) in [("prod", "dr"), ("dr", "prod")] {
        let result = pair.act(at, Op::Rebuild { from: site(from) }, None).await;
        assert_eq!(result.is_ok(), at == "dr", "{result:?}");
    }
    // Before the promote: the floor refuses it when it arrives late.
    pair.done("prod", Op::Seal(Epoch(1))).await;
    pair.done("dr", Op::Demote(Epoch(3))).await;
    assert_eq!(
        pair.holds("dr", Predicate::FencedBelow(Epoch(3))).await,
        Tri::Holds
    );
    assert_eq!(
        pair.holds("dr", Predicate::Untouched(Epoch(2))).await,
        Tri::Holds
    );
    let late = pair.act("dr", Op::Promote(Epoch(2)), None).await;
    assert_eq!(late, Err(ActError::StaleEpoch(Epoch(3))));
    pair.done("prod", Op::Unseal(Epoch(3))).await;
    assert_eq!(
        pair.holds("prod", Predicate::Open(Epoch(3))).await,
        Tri::Holds
    );
    pair.insert("prod", 5..6).await;

    // After the promote: untouched until somebody writes.
    let sealed = pair.done("prod", Op::Seal(Epoch(3))).await;
    pair.act("dr", Op::CatchUp { from: site("prod") }, Some(sealed))
        .await
        .unwrap();
    pair.done("dr", Op::Promote(Epoch(4))).await;
    pair.done("dr", Op::Demote(Epoch(5))).await;
    assert_eq!(
        pair.holds("dr", Predicate::FencedBelow(Epoch(5))).await,
        Tri::Holds
    );
    assert_eq!(
        pair.holds("dr", Predicate::Untouched(Epoch(4))).await,
        Tri::Holds
    );
    pair.done("dr", Op::Unseal(Epoch(6))).await;
    pair.insert("dr", 6..7).await;
    assert_eq!(
        pair.holds("dr", Predicate::Untouched(Epoch(6))).await,
        Tri::DoesNot
    );
    pair.done("dr", Op::Demote(Epoch(7))).await;
    assert_eq!(
        pair.holds("dr", Predicate::Untouched(Epoch(6))).await,
        Tri::DoesNot
    );

    every_boot_is_sealed(&pair).await;
}

/// An open primary that is restarted boots sealed, and opens at a new epoch only.
/// A standby that went away with its agent follows again; a primary stays down, and so does a standby in quarantine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_comes_back_with_its_agent_and_a_primary_does_not() {
    let Some(mut pair) = Pair::start().await else {
        return;
    };
    pair.kill("dr");
    let quarantine = Arc::new(Flag::default());
    quarantine.0.store(true, Ordering::SeqCst);
    pair.watch("dr", &(Arc::clone(&quarantine) as Arc<dyn Quarantine>));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(access(&pair, "dr").await, Access::Stopped);
    quarantine.0.store(false, Ordering::SeqCst);
    pair.wait_for("dr", copies("prod")).await;
    pair.insert("prod", 0..5).await;
    pair.done("dr", Op::CatchUp { from: site("prod") }).await;
    assert_eq!(pair.count("prod").await, 5);

    pair.kill("prod");
    pair.watch("prod", &(quarantine as Arc<dyn Quarantine>));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(access(&pair, "prod").await, Access::Stopped);
}

#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Quarantine for Flag {
    fn active(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

async fn every_boot_is_sealed(pair: &Pair) {
    pair.done("prod", Op::Unseal(Epoch(8))).await;
    assert_eq!(
        pair.holds("prod", Predicate::Open(Epoch(8))).await,
        Tri::Holds
    );
    pair.kill("prod");
    cluster::start(&pair.specs["prod"]).await.unwrap();
    assert_eq!(access(pair, "prod").await, Access::Sealed);
    assert!(pair.app("prod").await.is_err());
    pair.done("prod", Op::Unseal(Epoch(9))).await;
    assert_eq!(pair.count("prod").await, 6);
    // Nor is it given up while it is down, for a site whose mark is older.
    pair.kill("prod");
    let refused = pair
        .act("prod", Op::Rebuild { from: site("dr") }, None)
        .await;
    assert_eq!(refused, Err(ActError::StaleEpoch(Epoch(9))));
}

/// The promises of every driver. Positions may move between two looks by the server's own doing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_promises_of_every_driver() {
    let Some(pair) = Pair::start().await else {
        return;
    };
    pair.insert("prod", 0..5).await;
    let steps = [
        (Op::Seal(Epoch(1)), Predicate::Sealed(Epoch(1))),
        (Op::Unseal(Epoch(2)), Predicate::Open(Epoch(2))),
        (Op::Fence(Epoch(3)), Predicate::FencedBelow(Epoch(3))),
    ];
    for (op, is) in steps {
        let breaches = conformance::check(&Case {
            kind: Arc::new(PostgresKind),
            driver: pair.drivers["prod"].clone(),
            traits: pair.traits(),
            action: pair.order("prod", op.clone(), None).action,
            goal: Goal {
                scope: pair::scope("prod"),
                is,
            },
            within: Duration::from_secs(60),
        })
        .await;
        let others: Vec<_> = breaches
            .into_iter()
            .filter(|breach| match breach {
                Breach::LookChanges { first, second } => {
                    let rest = |facts: &Facts| facts.store.clone().map(|s| (s.access, s.mark));
                    rest(first) != rest(second)
                }
                Breach::UnknownChanges => false,
                _ => true,
            })
            .collect();
        assert_eq!(others, [], "{op:?}");
    }
}
