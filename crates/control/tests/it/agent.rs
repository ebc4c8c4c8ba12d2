//! An agent keeps its promises: once, never stale, never superseded, quarantined when it should be.

use std::{sync::Arc, time::Duration};

use mainstay_control::{
    agent::{Agent, AgentError},
    client::{AgentClient, Remote},
    wire::Reply,
};
use mainstay_driver::{ActError, Cause, Driver, Drivers, Handle, Progress, Retry};
use mainstay_model::*;

use crate::world::*;

fn done(reply: &Reply) -> bool {
    matches!(reply, Reply::Progress(Progress::Done(_)))
}

fn code(reply: &Reply) -> &str {
    match reply {
        Reply::Error(ActError::NotDone(cause) | ActError::Unknown(cause)) => &cause.code,
        _ => "",
    }
}

fn scope(kind_name: &str, name: &str, at: &str, from: &str) -> Scope {
    Scope {
        driver: kind(kind_name),
        subject: Subject::Component(component(name)),
        site: site(at),
        from: site(from),
    }
}

#[tokio::test]
async fn i14_a_repeated_effect_is_answered_from_the_journal() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let (agent, client) = agent(folder.path(), DR, &world).await;
    let start = order(effect(1, 1), DR, "web", Op::Start);
    assert!(done(&client.act(start.clone()).await.unwrap()));
    assert!(done(&client.act(start.clone()).await.unwrap()));
    assert_eq!(world.acts(), 1);
    agent.stop().await;

    // Also by the agent's next life.
    let (_agent, client) = self::agent(folder.path(), DR, &world).await;
    assert!(done(&client.act(start.clone()).await.unwrap()));
    assert_eq!(world.acts(), 1);
    let log = client.log(0).await.unwrap();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].id, start.id);
}

#[test]
fn i14_an_effect_that_an_earlier_life_started_is_unknown_and_not_done_again() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    *world.delay.lock().unwrap() = Duration::from_secs(3600);
    let order = order(effect(1, 1), DR, "web", Op::Start);
    // Its own runtime, so that ending it is to the tasks inside what a SIGKILL is to a process.
    let first_life = tokio::runtime::Runtime::new().unwrap();
    let (first, client) = first_life.block_on(agent(folder.path(), DR, &world));
    let asked = order.clone();
    first_life.spawn(async move { client.act(asked).await });
    while world.acts() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    first_life.shutdown_timeout(Duration::from_secs(5));
    drop(first);
    *world.delay.lock().unwrap() = Duration::ZERO;

    let second_life = tokio::runtime::Runtime::new().unwrap();
    second_life.block_on(async {
        let (_agent, client) = agent(folder.path(), DR, &world).await;
        let reply = client.act(order.clone()).await.unwrap();
        assert!(
            matches!(reply, Reply::Error(ActError::Unknown(_))),
            "{reply:?}"
        );
        assert_eq!(code(&reply), "not-recalled");
        let handle = Handle("agent:whatever".to_owned());
        let reply = client.poll(order, handle).await.unwrap();
        assert_eq!(code(&reply), "not-recalled");
    });
    assert_eq!(world.acts(), 1);
}

#[tokio::test]
async fn an_order_that_was_asked_after_before_it_came_is_never_carried_out() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let (agent, client) = agent(folder.path(), DR, &world).await;
    let start = order(effect(1, 1), DR, "web", Op::Start);
    let handle = Handle("recall".to_owned());
    let reply = client.poll(start.clone(), handle.clone()).await.unwrap();
    assert_eq!(code(&reply), "never-ordered");
    assert_eq!(
        code(&client.act(start.clone()).await.unwrap()),
        "never-ordered"
    );
    agent.stop().await;
    let (_agent, client) = self::agent(folder.path(), DR, &world).await;
    assert_eq!(code(&client.act(start).await.unwrap()), "never-ordered");
    assert_eq!(world.acts(), 0);
    // Another attempt is another effect.
    let mut again = effect(1, 1);
    again.attempt += 1;
    let again = order(again, DR, "web", Op::Start);
    assert!(done(&client.act(again).await.unwrap()));
}

#[tokio::test]
async fn an_order_that_comes_after_a_later_one_is_refused() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let (_agent, client) = agent(folder.path(), DR, &world).await;
    let nth = |direction, attempt| {
        let id = EffectId {
            direction,
            attempt,
            ..effect(1, 1)
        };
        order(id, DR, "web", Op::Start)
    };
    let (forward, back) = (Direction::Forward, Direction::Undo);
    assert!(done(&client.act(nth(forward, 2)).await.unwrap()));
    let late = client.act(nth(forward, 1)).await.unwrap();
    assert_eq!(code(&late), "order-overtaken");
    assert!(done(&client.act(nth(back, 1)).await.unwrap()));
    let late = client.act(nth(forward, 3)).await.unwrap();
    assert_eq!(code(&late), "order-overtaken");
    // Another step, whose number begins alike, is another step.
    let other = order(effect(10, 1), DR, "web", Op::Start);
    assert!(done(&client.act(other).await.unwrap()));
    assert_eq!(world.acts(), 3);
}

#[tokio::test]
async fn a_driver_may_tell_what_became_of_an_unknown_outcome() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let (_agent, client) = agent(folder.path(), DR, &world).await;
    let unknown = ActError::Unknown(Cause {
        code: "lost".to_owned(),
        what: "the line went dead".to_owned(),
        retry: Retry::MayHelp,
    });
    let start = order(effect(1, 1), DR, "web", Op::Start);
    world
        .refuse
        .lock()
        .unwrap()
        .insert("start".to_owned(), unknown);
    assert_eq!(code(&client.act(start.clone()).await.unwrap()), "lost");
    let handle = Handle("recall".to_owned());
    let reply = client.poll(start.clone(), handle.clone()).await.unwrap();
    assert_eq!(code(&reply), "not-recalled");
    world.recalls.lock().unwrap().insert(start.id.clone());
    assert!(done(
        &client.poll(start.clone(), handle.clone()).await.unwrap()
    ));
    // From here on the journal knows it.
    world.recalls.lock().unwrap().clear();
    assert!(done(&client.poll(start, handle).await.unwrap()));
    assert_eq!(world.acts(), 1);
}

#[tokio::test]
async fn i3_orders_with_an_older_epoch_are_refused() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let (_agent, client) = agent(folder.path(), DR, &world).await;
    let promote = |step, epoch| order(effect(step, 1), DR, "ledger", Op::Promote(Epoch(epoch)));
    assert!(done(&client.act(promote(1, 2)).await.unwrap()));
    let void = order(effect(2, 1), DR, "ledger", Op::Demote(Epoch(3)));
    assert!(done(&client.act(void).await.unwrap()));
    let late = client.act(promote(3, 2)).await.unwrap();
    assert_eq!(late, Reply::Error(ActError::StaleEpoch(Epoch(3))));
    // The token beside an operation without an epoch counts as well.
    let mut rebuild = order(effect(4, 1), DR, "ledger", Op::Rebuild { from: site(PROD) });
    rebuild.fence = Some(Fence {
        store: component("ledger"),
        epoch: Epoch(2),
    });
    let late = client.act(rebuild).await.unwrap();
    assert_eq!(late, Reply::Error(ActError::StaleEpoch(Epoch(3))));
    assert_eq!(world.acts(), 2);
    // Not open, and refusing older epochs: that is a fence.
    let seen = client.observe(vec![scope("fake", "ledger", DR, DR)], None);
    let seen = seen.await.unwrap().remove(0);
    let fence = seen.facts().unwrap().fence.clone().unwrap();
    assert_eq!(fence.below, Epoch(3));
}

#[tokio::test]
async fn i20_an_older_executor_is_refused_once_a_newer_one_has_looked() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let (agent, client) = agent(folder.path(), DR, &world).await;
    client
        .observe(Vec::new(), Some(ExecutorEpoch(5)))
        .await
        .unwrap();
    agent.stop().await;
    let (_agent, client) = self::agent(folder.path(), DR, &world).await;
    let old = order(effect(1, 4), DR, "web", Op::Start);
    assert_eq!(code(&client.act(old).await.unwrap()), "executor-superseded");
    let new = order(effect(1, 5), DR, "web", Op::Start);
    assert!(done(&client.act(new).await.unwrap()));
    assert_eq!(world.acts(), 1);
}

#[tokio::test]
async fn a_long_order_is_polled_and_outlives_its_caller() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let (_agent, client) = agent(folder.path(), DR, &world).await;
    *world.delay.lock().unwrap() = Duration::from_millis(400);
    let start = order(effect(1, 1), DR, "web", Op::Start);
    // This caller hangs up long before the end.
    let short = client.within(Duration::from_millis(50));
    assert!(short.act(start.clone()).await.is_err());
    let remote = Remote::new(client.clone(), AgentId::new("test").unwrap(), None);
    let reply = remote.poll(&start, &Handle(String::new())).await.unwrap();
    assert!(matches!(reply, Progress::Done(_)), "{reply:?}");
    assert_eq!(world.acts(), 1);
}

#[tokio::test]
async fn a_call_that_never_reached_an_agent_was_not_carried_out() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = AgentClient::new(&folder.path().join("nobody.sock")).unwrap();
    let remote = Remote::new(nobody, AgentId::new("test").unwrap(), None);
    let order = order(effect(1, 1), DR, "web", Op::Start);
    assert!(matches!(
        remote.act(&order).await,
        Err(ActError::NotDone(_))
    ));
    let sample = remote.observe(&scope("fake", "web", DR, DR)).await;
    assert!(matches!(sample.reading, Reading::Unreachable { .. }));
}

#[tokio::test]
async fn one_agent_for_each_site() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let (_agent, client) = agent(folder.path(), DR, &world).await;
    let second = Agent::start(options(folder.path(), DR, plan()), Drivers::new()).await;
    assert!(matches!(second, Err(AgentError::AlreadyRunning { .. })));
    // The first one still answers.
    assert_eq!(client.status().await.unwrap().site, site(DR));
}

#[tokio::test]
async fn a_fence_by_the_agent_shuts_the_store_until_a_run_rebuilds_it() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let (_agent, client) = agent(folder.path(), PROD, &world).await;
    let mut fence = order(effect(1, 1), PROD, "ledger", Op::Fence(Epoch(2)));
    fence.action.driver = kind("agent");
    assert!(done(&client.act(fence).await.unwrap()));
    assert_eq!(world.place(PROD).running, 0);
    assert_eq!(world.place(PROD).access, Some(Access::Sealed));
    let seen = client.observe(vec![scope("agent", "ledger", PROD, PROD)], None);
    let fence = seen.await.unwrap()[0]
        .facts()
        .unwrap()
        .fence
        .clone()
        .unwrap();
    assert_eq!((fence.below, fence.class), (Epoch(2), FenceClass::F2));
    assert!(client.status().await.unwrap().quarantine.is_some());

    let start = |step| order(effect(step, 1), PROD, "web", Op::Start);
    assert_eq!(code(&client.act(start(2)).await.unwrap()), "quarantined");
    // A copy that is held back is no proven copy, however recent it looks: else nobody would rebuild it.
    let recent = world.place(DR).recovery;
    world.change(PROD, |place| place.recovery = recent.clone());
    assert!(recent.is_some());
    assert_eq!(proven(&client).await, None);

    let mut rebuild = order(effect(3, 1), PROD, "ledger", Op::Rebuild { from: site(DR) });
    rebuild.fence = Some(Fence {
        store: component("ledger"),
        epoch: Epoch(2),
    });
    assert!(done(&client.act(rebuild).await.unwrap()));
    assert!(client.status().await.unwrap().quarantine.is_none());
    assert!(proven(&client).await.is_some());
    assert!(done(&client.act(start(4)).await.unwrap()));
}

/// What the copy of the ledger at prod has proven, as its agent tells it.
async fn proven(client: &AgentClient) -> Option<RecoveryPoint> {
    let seen = client.observe(vec![scope("fake", "ledger", PROD, PROD)], None);
    let seen = seen.await.unwrap();
    let store = seen[0].facts().unwrap().store.as_ref().unwrap();
    store.recovery.clone()
}

#[tokio::test]
async fn a_site_that_died_returns_quarantined() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let (agent, client) = agent(folder.path(), PROD, &world).await;
    let open = order(effect(1, 1), PROD, "ledger", Op::Promote(Epoch(2)));
    assert!(done(&client.act(open).await.unwrap()));
    assert!(done(
        &client
            .act(order(effect(2, 1), PROD, "web", Op::Start))
            .await
            .unwrap()
    ));
    agent.stop().await;

    // An agent that was merely restarted is not.
    let (agent, client) = self::agent(folder.path(), PROD, &world).await;
    assert!(client.status().await.unwrap().quarantine.is_none());
    agent.stop().await;

    world.change(PROD, |place| place.running = 0);
    let (_agent, client) = self::agent(folder.path(), PROD, &world).await;
    assert!(client.status().await.unwrap().quarantine.is_some());
    let start = client
        .act(order(effect(3, 1), PROD, "web", Op::Start))
        .await
        .unwrap();
    assert_eq!(code(&start), "quarantined");
}

#[tokio::test]
async fn a_site_that_was_moved_away_from_quarantines_itself() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let (_witness, grantor) = agent(folder.path(), WITNESS, &world).await;
    let mut fence = order(effect(1, 1), PROD, "ledger", Op::Fence(Epoch(2)));
    fence.action.driver = kind("lease");
    assert!(done(&grantor.act(fence).await.unwrap()));
    // Prod still runs and is open at epoch 1; its agent finds out by asking the witness.
    let (_agent, client) = agent(folder.path(), PROD, &world).await;
    assert!(client.status().await.unwrap().quarantine.is_some());
    assert_eq!(world.place(PROD).running, 0);
    assert_eq!(world.place(PROD).access, Some(Access::Sealed));
}

#[tokio::test]
async fn i4_a_lease_fence_waits_until_the_lease_has_surely_run_out() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let mut options = options(folder.path(), WITNESS, plan());
    options.listen = Some("127.0.0.1:0".parse().unwrap());
    let client = AgentClient::new(&options.socket).unwrap();
    let drivers = Drivers::new().with("fake", Arc::new(Fake(Arc::clone(&world))));
    let agent = Agent::start(options, drivers).await.unwrap();
    let address = format!("http://{}/v1/lease/ledger", agent.address().unwrap());
    let web = mainstay_control::client::web(&address).unwrap();
    let ask = |at: &str, epoch: u64| {
        let body = serde_json::json!({ "site": at, "epoch": epoch, "holder": "h" });
        let request = web.post(&address).json(&body);
        async move { request.send().await.unwrap() }
    };
    let granted = ask(PROD, 1).await;
    assert_eq!(granted.status(), 200);
    let sent = std::time::Instant::now();
    let granted: serde_json::Value = granted.json().await.unwrap();
    assert_eq!(granted["granted_ms"], 300);
    // The same epoch has one owner (I2).
    assert_eq!(ask(DR, 1).await.status(), 409);
    let renewed = ask(PROD, 1).await;
    assert_eq!(renewed.status(), 200);
    let mut fence = order(effect(1, 1), PROD, "ledger", Op::Fence(Epoch(2)));
    fence.action.driver = kind("lease");
    assert!(done(&client.act(fence).await.unwrap()));
    assert!(sent.elapsed() >= Duration::from_millis(300));
    assert_eq!(ask(PROD, 1).await.status(), 409);
    assert_eq!(ask(DR, 2).await.status(), 200);
    let goal = Goal {
        scope: scope("lease", "ledger", PROD, WITNESS),
        is: Predicate::FencedBelow(Epoch(2)),
    };
    let seen = client
        .observe(vec![goal.scope.clone()], None)
        .await
        .unwrap();
    let now = mainstay_control::clock::now();
    assert_eq!(standard_holds(&goal, &seen[0], now), Tri::Holds);
}

#[tokio::test]
async fn a_lease_is_free_only_when_all_of_its_holders_gave_it_back() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let mut plan = plan();
    plan.stores.get_mut("ledger").unwrap().lease = Some(Span::from_secs(600));
    let mut options = options(folder.path(), WITNESS, plan);
    options.listen = Some("127.0.0.1:0".parse().unwrap());
    let (agent, _) = agent_of(options, &world).await;
    let address = format!("http://{}/v1/lease/ledger", agent.address().unwrap());
    let web = mainstay_control::client::web(&address).unwrap();
    let send = |request: reqwest::RequestBuilder, at: &str, epoch: u64, holder: &str| {
        let body = serde_json::json!({ "site": at, "epoch": epoch, "holder": holder });
        let request = request.json(&body);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    let ask =
        |at: &'static str, epoch, holder: &'static str| send(web.post(&address), at, epoch, holder);
    let give_back = |holder: &'static str| send(web.delete(&address), PROD, 1, holder);
    assert_eq!(ask(PROD, 1, "one").await, 200);
    assert_eq!(ask(PROD, 1, "two").await, 200);
    assert_eq!(ask(DR, 2, "three").await, 409);
    assert_eq!(give_back("one").await, 200);
    assert_eq!(give_back("one").await, 200);
    assert_eq!(ask(DR, 2, "three").await, 409);
    assert_eq!(give_back("two").await, 200);
    assert_eq!(ask(DR, 2, "three").await, 200);
}

#[tokio::test]
async fn a_standby_keeps_its_copy_fresh_and_an_owner_copies_nothing() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let mut plan = plan();
    let copy = plan.stores.get_mut("ledger").unwrap().copy.as_mut();
    copy.unwrap().every = Some(Span::from_millis(100));
    let (_prod, owner) = agent_of(options(folder.path(), PROD, plan.clone()), &world).await;
    let (_dr, standby) = agent_of(options(folder.path(), DR, plan), &world).await;
    let point = |at: &str| world.place(at).recovery.map(|point| point.position);
    world.change(PROD, |place| place.position = 8);
    let waited = std::time::Instant::now();
    while point(DR) != Some(Position::Counter(8)) {
        assert!(
            waited.elapsed() < Duration::from_secs(20),
            "no copy was made"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ledger = component("ledger");
    while !standby.status().await.unwrap().copies.contains_key(&ledger) {
        assert!(waited.elapsed() < Duration::from_secs(20), "no report");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let report = standby.status().await.unwrap().copies[&ledger].clone();
    assert_eq!((report.source, report.last_error), (Some(site(PROD)), None));
    assert!(owner.status().await.unwrap().copies.is_empty());

    // Once it owns the store, the copies end.
    let promote = order(effect(1, 1), DR, "ledger", Op::Promote(Epoch(2)));
    assert!(done(&standby.act(promote).await.unwrap()));
    let copies = || {
        let log = world.log.lock().unwrap();
        log.iter().filter(|entry| *entry == "catchup dr").count()
    };
    let before = copies();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(copies(), before);
}
