//! The exec driver with real programs: the exit code's word, its time, its output, and what it may know.

use std::{path::PathBuf, time::Duration};

use mainstay_driver::{ActError, Driver as _, Progress};
use mainstay_model::{
    Class, Epoch, Facts, FencerSpec, Goal, Health, Kind as _, KindName, Op, Output, PlanFile,
    Predicate, Skew, Tri, standard_holds,
};
use serde_json::{Value, json};

use super::{ExecDriver, ExecKind, NAME};
use crate::shared::{
    now,
    testing::{act, code, conforms, declared, facts, home, plan, scope, site},
};

struct World {
    folder: tempfile::TempDir,
    plan: PlanFile,
}

impl World {
    fn new(at: Value) -> Self {
        let declared = declared(Class::Workload, NAME, &[("a", at)]);
        Self {
            folder: tempfile::tempdir().unwrap(),
            plan: plan(&declared),
        }
    }

    fn driver(&self) -> ExecDriver {
        ExecDriver::new(home(self.folder.path(), &self.plan, "a"))
    }

    async fn ask(&self, op: Op) -> Result<Output, ActError> {
        act(&self.driver(), NAME, "a", op).await
    }

    async fn seen(&self) -> Facts {
        facts(&self.driver(), NAME, "a").await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

/// A shell script as a program: only tests do that.
fn sh(script: &str) -> Value {
    json!({ "command": ["sh", "-c", script] })
}

#[tokio::test]
async fn programs_operate_a_workload() {
    let world = World::new(json!({
        "start": sh("touch up"),
        "stop": sh("rm -f up"),
        "running": sh("test -e up"),
        "ready": sh("test -e up"),
        "hold": sh("touch held"),
        "release": sh("rm held"),
        "held": sh("test -e held"),
        "version": sh("echo 1.4; echo more"),
        "sweep": sh("echo nothing came"),
    }));
    for _ in 0..2 {
        world.ask(Op::Start).await.unwrap();
    }
    let seen = world.seen().await;
    let workload = seen.workload.unwrap();
    assert_eq!((workload.running, workload.ready), (Some(1), Some(1)));
    assert_eq!(
        (workload.held, workload.version.as_deref()),
        (Some(false), Some("1.4"))
    );
    assert_eq!(seen.health, Some(Health::Passed));
    world.ask(Op::Hold).await.unwrap();
    assert_eq!(world.seen().await.workload.unwrap().held, Some(true));
    let swept = world.ask(Op::Sweep).await.unwrap();
    assert_eq!(swept.values["sweep"], "nothing came");
    for _ in 0..2 {
        world.ask(Op::Stop).await.unwrap();
    }
    assert_eq!(world.seen().await.workload.unwrap().running, Some(0));
    assert_eq!(code(world.ask(Op::Rebind).await), "unsupported");
}

#[tokio::test]
async fn it_keeps_the_drivers_contract() {
    let world = World::new(json!({
        "start": sh("touch up"),
        "stop": sh("rm -f up"),
        "running": sh("test -e up"),
        "ready": sh("test -e up"),
    }));
    let declared = world
        .plan
        .workloads
        .values()
        .next()
        .unwrap()
        .declared
        .clone();
    for (op, is) in [
        (Op::Start, Predicate::Ready(1)),
        (Op::Stop, Predicate::Stopped),
    ] {
        conforms(ExecKind, world.driver(), &declared, "a", op, is).await;
    }
}

#[tokio::test]
async fn the_exit_code_is_the_word() {
    let outcome = |script: &str| {
        let world = World::new(json!({ "start": sh(script) }));
        async move { world.ask(Op::Start).await }
    };
    outcome("exit 0").await.unwrap();
    let refused = outcome("echo the disk is full >&2; exit 1")
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("the disk is full"),
        "{refused}"
    );
    assert_eq!(code::<()>(Err(refused)), "program-refused");
    for unknown in ["exit 2", "kill -9 $$"] {
        let outcome = outcome(unknown).await;
        assert!(
            matches!(outcome, Err(ActError::Unknown(_))),
            "{unknown}: {outcome:?}"
        );
    }
    let missing = World::new(json!({ "start": { "command": ["./no-such"] } }));
    assert_eq!(code(missing.ask(Op::Start).await), "program-not-run");
    // A question that is not answered is not a no.
    let odd = World::new(json!({ "running": sh("exit 7"), "held": sh("exit 1") }));
    let workload = odd.seen().await.workload.unwrap();
    assert_eq!((workload.running, workload.held), (None, Some(false)));
}

#[tokio::test]
async fn a_groups_check_is_done_once_for_each_promote() {
    let script = "echo \"$MAINSTAY_SKEW $MAINSTAY_EPOCH\"; test $MAINSTAY_SKEW = reported || { echo o-7 dangles >&2; exit 1; }";
    let world = World::new(json!({ "reconcile": sh(script) }));
    let driver = world.driver();
    let ask = async |skew, epoch| {
        let order = crate::shared::testing::order(NAME, "a", Op::Reconcile { skew });
        driver
            .act(&crate::shared::testing::fenced(order, epoch))
            .await
    };
    let holds = async |epoch: u64| {
        let goal = Goal {
            scope: scope(NAME, "a"),
            is: Predicate::Reconciled(Epoch(epoch)),
        };
        standard_holds(&goal, &driver.observe(&goal.scope).await, now())
    };
    assert_eq!(holds(5).await, Tri::DoesNot);
    let refused = ask(Skew::Refused, 5).await.unwrap_err();
    assert!(refused.to_string().contains("o-7 dangles"), "{refused}");
    assert_eq!(code::<()>(Err(refused)), "stores-differ");
    assert_eq!(holds(5).await, Tri::DoesNot);
    let Progress::Done(done) = ask(Skew::Reported, 5).await.unwrap() else {
        panic!("it ends at once");
    };
    assert_eq!(done.values["reconcile"], "reported 5");
    // What was done for one promote says nothing about the next.
    assert_eq!((holds(5).await, holds(6).await), (Tri::Holds, Tri::DoesNot));
    let without_epoch = world
        .ask(Op::Reconcile {
            skew: Skew::Reported,
        })
        .await;
    assert_eq!(code(without_epoch), "epoch-missing");
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_killed_with_its_children() {
    let script = "sleep 1000 & echo $! > child; wait";
    let mut start = sh(script);
    start["timeout"] = json!("300ms");
    let world = World::new(json!({ "start": start }));
    let outcome = world.ask(Op::Start).await;
    assert!(matches!(&outcome, Err(ActError::Unknown(cause)) if cause.code == "program-timeout"));
    let child = world.read("child");
    let proc = format!("/proc/{}/stat", child.trim());
    for _ in 0..200 {
        let state = std::fs::read_to_string(&proc).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the child lives on");
}

#[tokio::test]
async fn what_it_leaves_running_and_prints_without_end_holds_nothing_up() {
    let script = "sleep 1000 & echo $! > child; yes | head -c 5000000; exit 0";
    let mut start = sh(script);
    start["timeout"] = json!("20s");
    let world = World::new(json!({ "start": start }));
    let outcome = world.ask(Op::Start).await;
    let child = world.read("child").trim().parse().unwrap();
    let child = rustix::process::Pid::from_raw(child).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
    assert!(outcome.unwrap().values["start"].len() <= 2000);
}

#[tokio::test]
async fn secrets_are_given_and_never_repeated() {
    let mut start = sh("echo token is $TOKEN; env > env; exit 2");
    start["secret_env"] = json!({ "TOKEN": { "file": "./token" } });
    let world = World::new(json!({ "start": start }));
    std::fs::write(world.path("token"), "open-sesame\n").unwrap();
    let error = world.ask(Op::Start).await.unwrap_err().to_string();
    assert!(error.contains("token is (secret)"), "{error}");
    let env = world.read("env");
    assert!(env.contains("TOKEN=open-sesame") && !env.contains("CARGO"));
    assert!(env.contains("MAINSTAY_OP=start") && env.contains("MAINSTAY_EFFECT=run-1/0/do/1/1"));
}

#[tokio::test]
async fn a_fence_counts_while_it_is_confirmed() {
    let mut world = World::new(json!({ "ready": sh("true") }));
    let fence = json!({
        "fence": sh("echo \"$MAINSTAY_EPOCH\" > off"),
        "check": sh("test -s off && echo the power is off"),
    });
    let spec = FencerSpec {
        kind: KindName::new(NAME).unwrap(),
        options: fence.clone(),
    };
    let mut other = world.plan.sites.values().next().unwrap().clone();
    other.fence = vec![spec];
    world.plan.sites.insert(site("b"), other);
    let driver = world.driver();
    // The subject is a store of another kind at another site; this site's agent fences it.
    let store =
        mainstay_model::Subject::Component(mainstay_model::ComponentId::new("ledger").unwrap());
    let mut scope = scope(NAME, "b");
    scope.subject = store.clone();
    let holds = async |below: u64| {
        let sample = driver.observe(&scope).await;
        let is = Predicate::FencedBelow(Epoch(below));
        let scope = scope.clone();
        standard_holds(&Goal { scope, is }, &sample, now())
    };
    assert_eq!(holds(5).await, Tri::DoesNot);
    let mut order = crate::shared::testing::order(NAME, "b", Op::Fence(Epoch(5)));
    order.action.subject = store;
    for _ in 0..2 {
        driver.act(&order).await.unwrap();
    }
    assert_eq!((holds(5).await, holds(6).await), (Tri::Holds, Tri::DoesNot));
    assert_eq!(world.read("off"), "5\n");
    // The power comes back.
    std::fs::write(world.path("off"), "").unwrap();
    assert_eq!(holds(5).await, Tri::DoesNot);
    let traits = ExecKind.traits(&mainstay_model::Declared {
        at: [].into(),
        options: fence,
        ..declared(Class::Workload, NAME, &[])
    });
    assert_eq!(traits.fence, mainstay_model::FenceClass::F2);
}

#[test]
fn options_are_complained_about_where_they_stand() {
    let places = |at: Value| -> Vec<String> {
        let found = ExecKind.check(&declared(Class::Workload, NAME, &[("a", at)]));
        found.into_iter().map(|one| one.path.join(".")).collect()
    };
    assert_eq!(places(json!({ "ready": sh("true") })), [""; 0]);
    assert_eq!(places(json!({})), ["at.a"]);
    assert_eq!(
        places(json!({ "ready": { "command": [] } })),
        ["at.a.ready.command"]
    );
    assert_eq!(places(json!({ "stop": sh("true") })), ["at.a"]);
    assert_eq!(places(json!({ "provision": sh("true") })), ["at.a"]);
}
