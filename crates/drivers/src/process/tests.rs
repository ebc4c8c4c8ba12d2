//! The process driver on real processes in a temporary folder. Whatever a test starts it also stops, even when it fails.

use std::{
    path::Path,
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mainstay_driver::{ActError, Driver as _, Progress};
use mainstay_model::{
    Class, Epoch, Facts, Kind as _, MoveMode, Op, Output, Phase, PlanFile, Predicate, Skew,
    WorkloadRole,
};
use serde_json::{Value, json};

use super::{NAME, ProcessDriver, ProcessKind, identity::Identity, record::Record};
use crate::shared::{
    Quarantine,
    testing::{
        act, code, conforms, declared, facts, fenced, home_with, order, plan, site, subject,
    },
    testing_http::serve,
};

#[derive(Default)]
struct Flag(AtomicBool);

impl Quarantine for Flag {
    fn active(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// One component at one site.
struct World {
    folder: tempfile::TempDir,
    plan: PlanFile,
    quarantine: Arc<Flag>,
}

impl World {
    fn new(at: Value) -> Self {
        let declared = declared(Class::Workload, NAME, &[("a", at)]);
        Self {
            folder: tempfile::tempdir().unwrap(),
            plan: plan(&declared),
            quarantine: Arc::default(),
        }
    }

    /// A driver as a fresh agent would have it.
    fn agent(&self) -> ProcessDriver {
        let quarantine = Arc::clone(&self.quarantine) as Arc<dyn Quarantine>;
        ProcessDriver::new(home_with(self.folder.path(), &self.plan, "a", quarantine))
    }

    fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("state-a/process/thing")
    }

    fn processes(&self) -> Vec<Identity> {
        let record = Record::read(&self.state()).unwrap();
        record
            .instances
            .iter()
            .filter_map(super::record::Started::identity)
            .collect()
    }
}

/// Kills what a failed test left, by the recorded identities.
impl Drop for World {
    fn drop(&mut self) {
        let record = Record::read(&self.state()).unwrap_or_default();
        for started in &record.instances {
            for process in super::lifecycle::all_of(started) {
                process.signal(rustix::process::Signal::KILL);
            }
        }
    }
}

async fn counts(agent: &ProcessDriver) -> (u32, u32) {
    let workload = seen(agent).await.workload.unwrap();
    (workload.running.unwrap(), workload.ready.unwrap())
}

async fn seen(agent: &ProcessDriver) -> Facts {
    facts(agent, NAME, "a").await
}

async fn ask(agent: &ProcessDriver, op: Op) -> Result<Output, ActError> {
    act(agent, NAME, "a", op).await
}

/// Looks until it is so; fails after a generous time.
async fn until<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) {
    for _ in 0..400 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never: {what}");
}

/// What an instance needs, its program needs too; and nothing is started for it.
#[tokio::test]
async fn a_groups_check_runs_before_anything_does() {
    let script = "echo \"$WORLD $MAINSTAY_SKEW $MAINSTAY_EPOCH\"";
    let world = World::new(json!({
        "command": ["sleep", "1000"],
        "env": { "WORLD": "w" },
        "reconcile": { "command": ["sh", "-c", script] },
    }));
    let agent = world.agent();
    assert_eq!(seen(&agent).await.reconciled, Some(Epoch(0)));
    let op = Op::Reconcile {
        skew: Skew::Reported,
    };
    let order = fenced(order(NAME, "a", op.clone()), 7);
    let Progress::Done(done) = agent.act(&order).await.unwrap() else {
        panic!("it ends at once");
    };
    assert_eq!(done.values["reconcile"], "w reported 7");
    let seen = seen(&agent).await;
    assert_eq!(seen.reconciled, Some(Epoch(7)));
    assert_eq!(seen.workload.unwrap().running, Some(0));
    let without = World::new(sleeper()).agent();
    assert_eq!(code(ask(&without, op).await), "unsupported");
}

fn sleeper() -> Value {
    json!({ "command": ["sleep", "1000"], "replicas": 2 })
}

#[tokio::test]
async fn it_starts_and_stops_and_may_be_told_twice() {
    let world = World::new(sleeper());
    let agent = world.agent();
    assert_eq!(counts(&agent).await, (0, 0));
    for _ in 0..2 {
        ask(&agent, Op::Start).await.unwrap();
        assert_eq!(counts(&agent).await, (2, 2));
    }
    let processes = world.processes();
    for _ in 0..2 {
        ask(&agent, Op::Stop).await.unwrap();
        assert_eq!(counts(&agent).await, (0, 0));
    }
    assert!(processes.iter().all(|process| process.living().is_none()));
}

#[tokio::test]
async fn it_keeps_the_drivers_contract() {
    let world = World::new(sleeper());
    let declared = world
        .plan
        .workloads
        .values()
        .next()
        .unwrap()
        .declared
        .clone();
    for (op, is) in [
        (Op::Start, Predicate::Ready(2)),
        (Op::Stop, Predicate::Stopped),
    ] {
        let agent = until_supervising(&world).await;
        conforms(ProcessKind, agent, &declared, "a", op, is).await;
    }
}

#[tokio::test]
async fn what_crashes_is_started_again() {
    let world = World::new(sleeper());
    let agent = world.agent();
    ask(&agent, Op::Start).await.unwrap();
    let before = world.processes();
    before[0]
        .living()
        .unwrap()
        .signal(rustix::process::Signal::KILL);
    until("two run again", async || {
        counts(&agent).await == (2, 2) && world.processes()[0] != before[0]
    })
    .await;
    assert_eq!(world.processes()[1], before[1]);
    ask(&agent, Op::Stop).await.unwrap();
}

#[tokio::test]
async fn processes_outlive_their_agent_and_the_next_one_takes_exactly_them() {
    let world = World::new(sleeper());
    let agent = world.agent();
    ask(&agent, Op::Start).await.unwrap();
    let before = world.processes();
    drop(agent);
    let mut bystander = Bystander(Command::new("sleep").arg("1000").spawn().unwrap());

    let agent = until_supervising(&world).await;
    assert_eq!(counts(&agent).await, (2, 2));
    assert_eq!(world.processes(), before);
    ask(&agent, Op::Stop).await.unwrap();
    assert!(before.iter().all(|process| process.living().is_none()));
    assert!(
        bystander.0.try_wait().unwrap().is_none(),
        "a stranger was killed"
    );
}

struct Bystander(Child);

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A new agent, once the old one's background task has let go of the lock.
async fn until_supervising(world: &World) -> ProcessDriver {
    let agent = world.agent();
    until("the new agent supervises", async || {
        // Refused for another reason, so nothing happens.
        code(ask(&agent, Op::Release).await) != "supervised-elsewhere"
    })
    .await;
    agent
}

#[tokio::test]
async fn an_agent_that_died_while_starting_leaves_nothing_unknown() {
    let world = World::new(sleeper());
    let agent = world.agent();
    ask(&agent, Op::Start).await.unwrap();
    let before = world.processes();
    drop(agent);
    // The mark was stored, the process was not.
    let mut record = Record::read(&world.state()).unwrap();
    for started in &mut record.instances {
        started.process = None;
    }
    record.write(&world.state()).unwrap();
    let agent = until_supervising(&world).await;
    assert_eq!(counts(&agent).await, (2, 2));
    ask(&agent, Op::Stop).await.unwrap();
    assert!(before.iter().all(|process| process.living().is_none()));
}

#[tokio::test]
async fn stopping_takes_children_and_the_stubborn_too() {
    let script = "trap '' TERM; sleep 1000 & while true; do sleep 1000; done";
    let world = World::new(json!({
        "command": ["sh", "-c", script],
        "stop": { "grace": "100ms" },
    }));
    let agent = world.agent();
    ask(&agent, Op::Start).await.unwrap();
    let record = Record::read(&world.state()).unwrap();
    until("it has children", async || {
        super::lifecycle::all_of(&record.instances[0]).len() == 3
    })
    .await;
    let family = super::lifecycle::all_of(&record.instances[0]);
    ask(&agent, Op::Stop).await.unwrap();
    assert!(family.iter().all(super::identity::Living::ended));
    assert_eq!(counts(&agent).await, (0, 0));
}

#[tokio::test]
async fn a_child_that_outlives_its_parent_counts_as_running() {
    let world = World::new(json!({ "command": ["sh", "-c", "sleep 1000 & echo $$; wait"] }));
    let agent = world.agent();
    ask(&agent, Op::Start).await.unwrap();
    let record = Record::read(&world.state()).unwrap();
    until("it has a child", async || {
        super::lifecycle::all_of(&record.instances[0]).len() == 2
    })
    .await;
    let family = super::lifecycle::all_of(&record.instances[0]);
    world.quarantine.0.store(true, Ordering::SeqCst);
    world.processes()[0]
        .living()
        .unwrap()
        .signal(rustix::process::Signal::KILL);
    until("the parent is gone", async || {
        family.iter().filter(|one| !one.ended()).count() == 1
    })
    .await;
    assert_eq!(counts(&agent).await.0, 1);
    ask(&agent, Op::Stop).await.unwrap();
    assert!(family.iter().all(super::identity::Living::ended));
    assert_eq!(counts(&agent).await.0, 0);
}

#[tokio::test]
async fn nothing_is_started_in_quarantine() {
    let world = World::new(sleeper());
    let agent = world.agent();
    ask(&agent, Op::Start).await.unwrap();
    world.quarantine.0.store(true, Ordering::SeqCst);
    let before = world.processes();
    before[0]
        .living()
        .unwrap()
        .signal(rustix::process::Signal::KILL);
    until("one is gone", async || counts(&agent).await.0 == 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(counts(&agent).await.0, 1);
    ask(&agent, Op::Stop).await.unwrap();
    assert_eq!(code(ask(&agent, Op::Start).await), "quarantined");
    assert_eq!(counts(&agent).await.0, 0);
}

/// A site that died, came back and was reprotected must not do again what it did before: another site does it now.
#[tokio::test]
async fn what_died_before_a_quarantine_is_not_started_after_it() {
    let world = World::new(sleeper());
    let agent = world.agent();
    ask(&agent, Op::Start).await.unwrap();
    world.quarantine.0.store(true, Ordering::SeqCst);
    for one in world.processes() {
        if let Some(living) = one.living() {
            living.signal(rustix::process::Signal::KILL);
        }
    }
    until("nothing is wanted any more", async || {
        Record::read(&world.state()).unwrap().desired == super::record::Desired::Stopped
    })
    .await;
    world.quarantine.0.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(counts(&agent).await.0, 0);
}

#[tokio::test]
async fn a_start_that_fails_says_why_and_leaves_nothing() {
    let world = World::new(json!({
        "command": ["sh", "-c", "echo the port is taken >&2; exit 3"],
        "ready": { "get": "http://127.0.0.1:1/" },
    }));
    let agent = world.agent();
    let error = ask(&agent, Op::Start).await.unwrap_err();
    assert!(error.to_string().contains("the port is taken"), "{error}");
    assert_eq!(code::<Output>(Err(error)), "process-not-ready");
    assert_eq!(counts(&agent).await, (0, 0));
    let missing = World::new(json!({ "command": ["./no-such-program"] }));
    assert_eq!(
        code(ask(&missing.agent(), Op::Start).await),
        "process-not-started"
    );
}

#[tokio::test]
async fn ready_is_what_the_program_answers() {
    let up = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&up);
    let url = serve(
        move |asked| match (asked.path.as_str(), flag.load(Ordering::SeqCst)) {
            ("/version", _) => (200, json!({ "version": "1.2.3" }).to_string()),
            ("/verify", true) => (200, json!({ "orders": 7 }).to_string()),
            (_, up) => (if up { 200 } else { 503 }, String::new()),
        },
    )
    .await;
    let world = World::new(json!({
        "command": ["sleep", "1000"],
        "instances": [
            { "ready": { "get": format!("{url}/ready") } },
            { "args": ["1"] },
        ],
        "verify": { "get": format!("{url}/verify"), "expect": { "json": { "orders": 7 } } },
        "version": { "get": format!("{url}/version") },
    }));
    let agent = world.agent();
    let later = Arc::clone(&up);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        later.store(true, Ordering::SeqCst);
    });
    ask(&agent, Op::Start).await.unwrap();
    assert!(
        up.load(Ordering::SeqCst),
        "it was said to be ready before it was"
    );
    let facts = seen(&agent).await;
    let workload = facts.workload.unwrap();
    assert_eq!((workload.running, workload.ready), (Some(2), Some(2)));
    assert_eq!(workload.version.as_deref(), Some("1.2.3"));
    assert_eq!(facts.health, Some(mainstay_model::Health::Passed));
    up.store(false, Ordering::SeqCst);
    assert_eq!(counts(&agent).await, (2, 1));
    assert!(matches!(
        seen(&agent).await.health,
        Some(mainstay_model::Health::Failed(_))
    ));
    ask(&agent, Op::Stop).await.unwrap();
}

#[tokio::test]
async fn a_scheduler_that_starts_again_does_what_it_was_told() {
    let paused = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&paused);
    let url = serve(move |asked| {
        match (asked.method.as_str(), asked.path.as_str()) {
            ("POST", "/hold") => state.store(true, Ordering::SeqCst),
            ("POST", "/release") => state.store(false, Ordering::SeqCst),
            _ => {}
        }
        let paused = state.load(Ordering::SeqCst);
        (200, json!({ "paused": paused }).to_string())
    })
    .await;
    let mut world = World::new(json!({
        "command": ["sleep", "1000"],
        "hold": { "post": format!("{url}/hold") },
        "release": { "post": format!("{url}/release") },
        "held": { "get": url, "expect": { "json": { "paused": true } } },
    }));
    let workload = world.plan.workloads.values_mut().next().unwrap();
    workload.role = WorkloadRole::Scheduler;
    let agent = world.agent();
    let held = async || seen(&agent).await.workload.unwrap().held;
    assert_eq!(held().await, Some(true), "what does not run starts no work");
    assert_eq!(code(ask(&agent, Op::Release).await), "not-running");
    ask(&agent, Op::Hold).await.unwrap();
    paused.store(false, Ordering::SeqCst);
    ask(&agent, Op::Start).await.unwrap();
    assert_eq!(
        held().await,
        Some(true),
        "it was held before it was started"
    );
    ask(&agent, Op::Release).await.unwrap();
    assert_eq!(held().await, Some(false));
    // The program starts paused; the record says that it was released.
    paused.store(true, Ordering::SeqCst);
    world.processes()[0]
        .living()
        .unwrap()
        .signal(rustix::process::Signal::KILL);
    until("it works again", async || {
        held().await == Some(false) && counts(&agent).await.0 == 1
    })
    .await;
    for _ in 0..2 {
        ask(&agent, Op::Hold).await.unwrap();
    }
    assert_eq!(held().await, Some(true));
    ask(&agent, Op::Stop).await.unwrap();
}

#[tokio::test]
async fn a_restart_replaces_every_process() {
    let world = World::new(sleeper());
    let agent = world.agent();
    ask(&agent, Op::Start).await.unwrap();
    let before = world.processes();
    ask(&agent, Op::Rebind).await.unwrap();
    assert_eq!(counts(&agent).await, (2, 2));
    assert!(before.iter().all(|process| process.living().is_none()));
    // What was stopped for a while runs again.
    ask(&agent, Op::Stop).await.unwrap();
    ask(&agent, Op::Rebind).await.unwrap();
    assert_eq!(counts(&agent).await, (2, 2));
    ask(&agent, Op::Stop).await.unwrap();
}

#[tokio::test]
async fn secrets_reach_the_program_and_nothing_else() {
    let world = World::new(json!({
        "command": ["sh", "-c", "printf %s \"$WORD\" > seen; env > env; sleep 1000"],
        "secret_env": { "WORD": { "file": "./word" } },
        "env": { "PLAIN": "yes" },
    }));
    std::fs::write(world.folder.path().join("word"), "open sesame\n").unwrap();
    let agent = world.agent();
    ask(&agent, Op::Start).await.unwrap();
    let read = |name: &str| std::fs::read_to_string(world.folder.path().join(name));
    until("it wrote", async || {
        read("env").is_ok_and(|env| env.contains("PLAIN=yes"))
    })
    .await;
    assert_eq!(read("seen").unwrap(), "open sesame");
    assert!(
        !read("env").unwrap().contains("CARGO"),
        "the agent's environment leaked"
    );
    let record = std::fs::read_to_string(world.state().join("record.json")).unwrap();
    assert!(!record.contains("sesame"));
    ask(&agent, Op::Stop).await.unwrap();
}

#[tokio::test]
async fn only_its_own_agent_sees_and_moves_a_process() {
    let world = World::new(sleeper());
    let agent = world.agent();
    let elsewhere = crate::shared::testing::order(NAME, "b", Op::Stop);
    let refused = mainstay_driver::Driver::act(&agent, &elsewhere).await;
    assert_eq!(code(refused), "wrong-site");
}

#[test]
fn listed_instances_are_waited_for_by_their_number() {
    let at = json!({ "command": ["x"], "instances": [{}, {}, {}] });
    let declared = declared(Class::Workload, NAME, &[("a", at)]);
    let mv = mainstay_model::Move {
        mode: MoveMode::Switchover,
        site: site("a"),
        from: None,
        to: site("a"),
        control: site("a"),
        epochs: None,
        sealed_by: None,
        route: None,
        route_before: None,
        fencer: None,
    };
    let drafts = ProcessKind.lower(&declared, Phase::Activate, &mv);
    assert_eq!(drafts[0].goals[0].is, Predicate::Ready(3));
    assert_eq!(drafts[0].goals[0].scope.subject, subject());
    assert!(
        ProcessKind.lower(&declared, Phase::Rebind, &mv)[0]
            .goals
            .is_empty()
    );
}

#[test]
fn options_are_complained_about_where_they_stand() {
    let places = |at: Value| -> Vec<String> {
        let declared = declared(Class::Workload, NAME, &[("a", at)]);
        let found = ProcessKind.check(&declared);
        found.into_iter().map(|one| one.path.join(".")).collect()
    };
    assert_eq!(places(sleeper()), [""; 0]);
    assert_eq!(places(json!({ "command": [] })), ["at.a.command"]);
    assert_eq!(
        places(json!({ "command": ["x"], "replicas": 2, "instances": [{}] })),
        ["at.a.replicas"]
    );
    assert_eq!(
        places(json!({ "command": ["x"], "hold": { "post": "http://a" } })),
        ["at.a"]
    );
    assert_eq!(
        places(json!({ "command": ["x"], "instances": [{ "ready": {} }] })),
        ["at.a.instances.0.ready"]
    );
    assert!(Path::new("/proc/self/stat").exists());
}
