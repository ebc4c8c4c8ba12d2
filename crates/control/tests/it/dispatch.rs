//! Whole moves through observer, planner, engine, journal, sockets and agents, with a fake driver at the end.

use std::{path::Path, sync::Arc, time::Duration};

use mainstay_control::{
    Desk,
    dispatch::{self, DispatchError, NewMove, Options, RunHandle, Signals},
    lock::{LockError, MoverLock},
    observe,
};
use mainstay_driver::{ActError, Cause, Retry};
use mainstay_engine::{Approval, Event, RunPhase};
use mainstay_model::*;
use mainstay_planner::{Protection, Request};

use crate::world::*;

fn ann() -> PersonId {
    PersonId::new("ann").unwrap()
}

fn quiet() -> Options {
    Options {
        signals: Signals::Ignore,
        ..Options::default()
    }
}

pub(crate) async fn adopted(desk: &Desk) -> MoverLock {
    let lock = desk.lock().await.unwrap();
    let gathered = observe::gather(desk).await.unwrap();
    if gathered.known.is_empty() {
        observe::adopt(desk, &lock, &gathered, &[]).await.unwrap();
    }
    lock
}

async fn switchover(desk: &Desk, to: &str) -> Result<RunHandle, DispatchError> {
    let lock = adopted(desk).await;
    let gathered = observe::gather(desk).await.unwrap();
    let request = Request::switchover(site(to));
    let planned = mainstay_planner::plan(&desk.plan, &desk.kinds, &gathered.observed, &request);
    let new = NewMove {
        runbook: Arc::new(planned.unwrap().runbook),
        by: ann(),
        parent: None,
        approval: Approval::NotNeeded,
    };
    dispatch::start(desk, lock, new, quiet()).await
}

async fn resume(desk: &Desk, lock: MoverLock, id: &RunId) -> Result<RunHandle, DispatchError> {
    dispatch::resume(desk, lock, id, &ann(), Vec::new(), quiet()).await
}

fn epoch_of(desk: &Desk) -> Epoch {
    desk.state.known().unwrap().stores[&component("ledger")].epoch
}

fn times(world: &World, what: &str) -> usize {
    let log = world.log.lock().unwrap();
    log.iter().filter(|entry| *entry == what).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchover_moves_everything_and_is_remembered() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let _agents = agents(folder.path(), &world).await;
    let desk = desk(folder.path());
    let run = switchover(&desk, DR).await.unwrap();
    let id = run.run.clone();
    assert_eq!(run.rest().await.unwrap(), RunPhase::Succeeded);

    assert_eq!(world.place(PROD).access, Some(Access::Sealed));
    assert_eq!(world.place(PROD).running, 0);
    assert_eq!(world.place(DR).access, Some(Access::Open));
    assert_eq!(world.place(DR).running, 1);
    assert_eq!(world.route.lock().unwrap().0.get(&site(DR)), Some(&100));
    let known = desk.state.known().unwrap();
    let ledger = &known.stores[&component("ledger")];
    assert_eq!(ledger.epoch, Epoch(2));
    assert!(ledger.granted > Epoch(2));
    assert_eq!(ledger.protection, Some(Protection::NotProtected));
    assert_eq!(
        known.placement[&component("web")].get(&site(DR)),
        Some(&100)
    );
    assert!(known.measured.iter().any(|m| m.phase == Phase::Promote));

    // The journal tells the same story, and nothing is left to resume.
    assert_eq!(desk.state.run(&id).unwrap().phase, RunPhase::Succeeded);
    assert_eq!(desk.state.replay(&id).unwrap().phase(), RunPhase::Succeeded);
    let lock = desk.lock().await.unwrap();
    let again = resume(&desk, lock, &id);
    assert_eq!(
        again.await.unwrap().rest().await.unwrap(),
        RunPhase::Succeeded
    );
    assert_eq!(times(&world, "promote dr"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn i22_a_promote_that_fails_retreats_and_leaves_the_primary_intact() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let _agents = agents(folder.path(), &world).await;
    let broken = Cause {
        code: "disk-full".to_owned(),
        what: "the disk is full".to_owned(),
        retry: Retry::Useless,
    };
    let refuse = ActError::NotDone(broken);
    world
        .refuse
        .lock()
        .unwrap()
        .insert("promote".to_owned(), refuse);
    let desk = desk(folder.path());
    let run = switchover(&desk, DR).await.unwrap();
    assert_eq!(run.rest().await.unwrap(), RunPhase::Retreated);
    let prod = world.place(PROD);
    assert_eq!((prod.access, prod.running), (Some(Access::Open), 1));
    assert_eq!(world.route.lock().unwrap().0.get(&site(PROD)), Some(&100));
    // At a new epoch, so that a promote that arrives late is void; and the state knows it.
    let epoch = prod.mark.unwrap().epoch;
    assert!(epoch > Epoch(2), "{epoch}");
    assert_eq!(epoch_of(&desk), epoch);
    assert_ne!(world.place(DR).access, Some(Access::Open));

    // The next attempt takes epochs that nobody ever had.
    world.refuse.lock().unwrap().clear();
    world.change(DR, |place| place.access = Some(Access::Replica));
    let run = switchover(&desk, DR).await.unwrap();
    assert_eq!(run.rest().await.unwrap(), RunPhase::Succeeded);
    assert!(epoch_of(&desk) > epoch);
}

/// Starts a switchover that hangs in its promote, and lets the process die there.
fn die_in_promote(folder: &Path, world: &Arc<World>) -> RunId {
    let mortal = tokio::runtime::Runtime::new().unwrap();
    let id = mortal.block_on(async {
        let desk = desk(folder);
        let run = switchover(&desk, DR).await.unwrap();
        loop {
            *world.delay.lock().unwrap() = match times(world, "seal prod") {
                0 => Duration::ZERO,
                _ => Duration::from_millis(700),
            };
            if times(world, "promote dr") > 0 {
                return run.run.clone();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    mortal.shutdown_timeout(Duration::from_secs(5));
    id
}

#[test]
fn i14_i17_a_mover_that_dies_is_resumed_and_nothing_is_done_twice() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let site_runtime = tokio::runtime::Runtime::new().unwrap();
    let agents = site_runtime.block_on(agents(folder.path(), &world));
    let id = die_in_promote(folder.path(), &world);
    *world.delay.lock().unwrap() = Duration::ZERO;

    site_runtime.block_on(async {
        let desk = desk(folder.path());
        assert_eq!(desk.state.run(&id).unwrap().phase, RunPhase::Running);
        let lock = desk.lock().await.unwrap();
        let run = resume(&desk, lock, &id);
        assert_eq!(
            run.await.unwrap().rest().await.unwrap(),
            RunPhase::Succeeded
        );
        drop(agents);
    });
    for once in ["stop prod", "seal prod", "promote dr", "start dr"] {
        assert_eq!(times(&world, once), 1, "{once}");
    }
    assert_eq!(world.place(DR).access, Some(Access::Open));
}

#[tokio::test(flavor = "multi_thread")]
async fn i20_a_second_mover_is_refused_and_told_who_moves() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let _agents = agents(folder.path(), &world).await;
    let desk = desk(folder.path());
    *world.delay.lock().unwrap() = Duration::from_millis(100);
    let run = switchover(&desk, DR).await.unwrap();
    match desk.lock().await {
        Err(LockError::Held {
            holder: Some(holder),
        }) => {
            assert_eq!(holder.run, Some(run.run.clone()));
            assert_eq!(holder.pid, std::process::id());
        }
        other => panic!("{other:?}"),
    }
    assert!(MoverLock::holder(&desk.places.lock()).is_some());
    run.rest().await.unwrap();
    let first = desk.lock().await.unwrap().executor();
    assert!(desk.lock().await.unwrap().executor() > first);
    assert!(MoverLock::holder(&desk.places.lock()).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_paused_by_another_process_and_resumed() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let _agents = agents(folder.path(), &world).await;
    let desk = desk(folder.path());
    *world.delay.lock().unwrap() = Duration::from_millis(150);
    let run = switchover(&desk, DR).await.unwrap();
    let id = run.run.clone();
    // As another process would: through its own connection to the state.
    let other = self::desk(folder.path());
    let pause = Event::Paused { by: ann() };
    other.state.ask(&id, &pause).await.unwrap();
    assert_eq!(run.rest().await.unwrap(), RunPhase::Paused);
    assert_eq!(other.state.run(&id).unwrap().phase, RunPhase::Paused);
    *world.delay.lock().unwrap() = Duration::ZERO;
    let lock = other.lock().await.unwrap();
    let run = resume(&other, lock, &id).await;
    assert_eq!(run.unwrap().rest().await.unwrap(), RunPhase::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_without_an_agent_says_how_to_start_it() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let mut agents = agents(folder.path(), &world).await;
    let desk = desk(folder.path());
    let lock = adopted(&desk).await;
    let gathered = observe::gather(&desk).await.unwrap();
    let request = Request::switchover(site(DR));
    let planned = mainstay_planner::plan(&desk.plan, &desk.kinds, &gathered.observed, &request);
    agents.pop().unwrap().stop().await;
    let new = NewMove {
        runbook: Arc::new(planned.unwrap().runbook),
        by: ann(),
        parent: None,
        approval: Approval::NotNeeded,
    };
    let error = dispatch::start(&desk, lock, new, quiet())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "agent-not-running");
    assert!(
        error.to_string().contains("mainstay agent --site dr"),
        "{error}"
    );
    assert!(desk.state.runs().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_came_back_and_that_nobody_replaced_is_adopted_at_a_new_epoch() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let mut agents = agents(folder.path(), &world).await;
    let desk = desk(folder.path());
    drop(adopted(&desk).await);
    let there = switchover(&desk, DR).await.unwrap();
    assert_eq!(there.rest().await.unwrap(), RunPhase::Succeeded);
    let before = epoch_of(&desk);

    agents.pop().unwrap().stop().await;
    world.change(DR, |place| place.running = 0);
    let (_dr, client) = agent(folder.path(), DR, &world).await;
    assert!(client.status().await.unwrap().quarantine.is_some());
    let lock = desk.lock().await.unwrap();
    let gathered = observe::gather(&desk).await.unwrap();
    assert!(gathered.observed.quarantined(&site(DR)));
    let found = observe::adopt(&desk, &lock, &gathered, &[]).await.unwrap();
    assert_eq!(found[0].owner, site(DR));
    assert!(found[0].epoch > before);
    assert_eq!(world.place(DR).mark.unwrap().epoch, found[0].epoch);
    assert!(client.status().await.unwrap().quarantine.is_none());
    let gathered = observe::gather(&desk).await.unwrap();
    assert!(!gathered.observed.quarantined(&site(DR)));
    assert_eq!(epoch_of(&desk), found[0].epoch);
}
