//! Stores that programs save, with real programs and a real repository: only a dump that ended well is a backup.

use std::{path::PathBuf, sync::Arc, time::Duration};

use mainstay_driver::ActError;
use mainstay_model::{
    Access, Class, Epoch, Kind as _, Op, Output, PlanFile, RecoveryTarget, Saved, StoreFacts,
};
use serde_json::{Value, json};

use super::{ExecDriver, ExecKind, ExecSaves, NAME};
use crate::shared::{
    Saving,
    testing::{declared, facts, home, site},
    testing_saving::{offsite, points, prove, restore, saved_plan, to_its_end},
};

struct World {
    folder: tempfile::TempDir,
    plan: PlanFile,
}

fn sh(script: &str) -> Value {
    json!({ "command": ["sh", "-c", script] })
}

impl World {
    /// Placed at `a`, declared at `a` and `b` in the same way.
    fn new(at: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = [("a", at.clone()), ("b", at.clone())];
        let plan = saved_plan(folder.path(), &declared(Class::Store, NAME, &at));
        Self { folder, plan }
    }

    fn driver(&self, at: &str) -> Saving {
        let home = home(self.folder.path(), &self.plan, at);
        let exec = ExecDriver::new(home.clone());
        Saving::new(&home, Arc::new(exec), Arc::new(ExecSaves))
    }

    async fn ask(&self, at: &str, op: Op) -> Result<Output, ActError> {
        to_its_end(&self.driver(at), NAME, at, op).await
    }

    async fn back_up(&self) -> Result<Output, ActError> {
        self.ask("a", Op::Backup { to: offsite() }).await
    }

    async fn seen(&self, at: &str) -> StoreFacts {
        facts(&self.driver(at), NAME, at).await.store.unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

fn why(result: Result<Output, ActError>) -> (String, String) {
    match result {
        Err(ActError::NotDone(cause)) => (cause.code, cause.what),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_dump_is_saved_checked_and_loaded_again() {
    let world = World::new(&json!({
        "dump": sh("cat data"),
        "load": sh("cat > data"),
        "check": sh("grep -q rows \"$MAINSTAY_DUMP\""),
    }));
    std::fs::write(world.path("data"), "rows: 1").unwrap();
    let seen = world.seen("a").await;
    assert_eq!((seen.access, seen.mark), (Access::Open, None));
    assert_eq!(world.seen("b").await.access, Access::Empty);
    world.ask("a", Op::Unseal(Epoch(1))).await.unwrap();

    let saved = Saved::of(&world.back_up().await.unwrap()).unwrap();
    assert_eq!((saved.bytes, saved.epoch), (7, Epoch(1)));
    let proven = Saved::of(&world.ask("a", prove()).await.unwrap()).unwrap();
    assert_eq!(proven.checks, ["check: sh"]);

    std::fs::write(world.path("data"), "garbage").unwrap();
    world.back_up().await.unwrap();
    assert_eq!(why(world.ask("a", prove()).await).0, "check-failed");
    assert_eq!(why(world.ask("a", restore()).await).0, "store-open");
    world.ask("a", Op::Seal(Epoch(1))).await.unwrap();
    assert_eq!(world.seen("a").await.access, Access::Sealed);
    let first = Op::Restore {
        from: offsite(),
        target: RecoveryTarget::Point(saved.point),
    };
    world.ask("a", first).await.unwrap();
    assert_eq!(world.read("data"), "rows: 1");
    assert_eq!(world.seen("a").await.access, Access::Sealed);
    world.ask("a", Op::Promote(Epoch(2))).await.unwrap();
    let mark = world.seen("a").await.mark.unwrap();
    assert_eq!((mark.epoch, mark.owner), (Epoch(2), site("a")));
}

#[tokio::test]
async fn a_backup_brings_it_up_elsewhere() {
    let world = World::new(&json!({
        "dump": sh("cat data"),
        "load": sh("cat > loaded-$MAINSTAY_SITE"),
    }));
    std::fs::write(world.path("data"), "rows: 1").unwrap();
    world.ask("a", Op::Unseal(Epoch(1))).await.unwrap();
    world.back_up().await.unwrap();
    world.ask("b", restore()).await.unwrap();
    assert_eq!(world.read("loaded-b"), "rows: 1");
    let seen = world.seen("b").await;
    assert_eq!(seen.access, Access::Replica);
    assert_eq!(seen.recovery.unwrap().source, site("a"));
    world.ask("b", Op::Promote(Epoch(2))).await.unwrap();
    let seen = world.seen("b").await;
    assert_eq!(seen.access, Access::Open);
    assert_eq!(seen.mark.unwrap().owner, site("b"));
}

#[tokio::test]
async fn a_dump_that_did_not_end_well_is_no_backup() {
    let cases = [
        (
            sh("echo half; echo no space left >&2; exit 3"),
            "no space left",
        ),
        (
            sh("echo half; echo not now >&2; exit 1"),
            "ended with 1: not now",
        ),
        (sh("echo half; kill -9 $$"), "ended by a signal"),
        (
            json!({ "command": ["sh", "-c", "echo half; echo \"key $KEY\" >&2; exit 2"],
                "secret_env": { "KEY": { "file": "key" } } }),
            "key (secret)",
        ),
    ];
    for (dump, words) in cases {
        let world = World::new(&json!({ "dump": dump }));
        let (code, what) = why(world.back_up().await);
        assert_eq!(code, "stream-not-whole", "{what}");
        assert!(what.contains(words), "{what}");
        assert!(!what.contains("sesame"), "{what}");
        assert_eq!(points(&world.plan), 0);
    }
    let world = World::new(&json!({ "dump": { "command": ["./nothing"] } }));
    assert_eq!(why(world.back_up().await).0, "program-not-run");
}

#[tokio::test]
async fn a_dump_that_takes_too_long_is_killed_with_what_it_started() {
    let script = "echo half; sleep 600 & echo $! > child; wait";
    let world = World::new(&json!({
        "dump": { "command": ["sh", "-c", script], "timeout": "400ms" },
    }));
    let (code, what) = why(world.back_up().await);
    assert_eq!(code, "stream-not-whole");
    assert!(what.contains("not over within 400ms, killed"), "{what}");
    let child = world.read("child");
    let stat = PathBuf::from(format!("/proc/{}/stat", child.trim()));
    assert!(!child.is_empty());
    // Killed is not gone: whoever inherits it reaps it.
    for _ in 0..500 {
        let stat = std::fs::read_to_string(&stat).unwrap_or_default();
        let state = stat.rsplit(") ").next().unwrap_or_default();
        if stat.is_empty() || state.starts_with(['Z', 'X']) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it still runs");
}

#[tokio::test]
async fn a_program_may_say_whose_the_store_is() {
    let world = World::new(&json!({
        "dump": sh("true"),
        "owns": sh("test \"$(cat owner)\" = $MAINSTAY_SITE"),
    }));
    std::fs::write(world.path("owner"), "b").unwrap();
    assert_eq!(world.seen("a").await.access, Access::Empty);
    let seen = world.seen("b").await;
    assert_eq!(seen.access, Access::Open);
    assert_eq!(seen.mark.unwrap().owner, site("b"));
    world.ask("b", Op::Seal(Epoch(1))).await.unwrap();
    world.ask("b", Op::Unseal(Epoch(2))).await.unwrap();
    std::fs::write(world.path("owner"), "a").unwrap();
    assert_eq!(world.seen("a").await.access, Access::Open);
    assert_eq!(world.seen("b").await.access, Access::Stopped);
}

#[tokio::test]
async fn what_it_cannot_do_is_refused() {
    let world = World::new(&json!({ "dump": sh("echo rows") }));
    world.back_up().await.unwrap();
    let (code, what) = why(world.ask("b", restore()).await);
    assert_eq!(code, "unsupported");
    assert!(what.contains("declares no `load` at b"), "{what}");
    let copy = Op::CatchUp { from: site("a") };
    assert_eq!(why(world.ask("b", copy).await).0, "unsupported");
    let empty = json!({ "dump": { "command": [] }, "load": sh("cat") });
    let found = ExecKind.check(&declared(Class::Store, NAME, &[("a", empty)]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].path, ["at", "a", "dump", "command"]);
    let stuck = json!({ "dump": sh("cat"), "check": sh("true") });
    let loads = json!({ "dump": sh("cat"), "load": sh("cat") });
    let found = ExecKind.check(&declared(Class::Store, NAME, &[("a", loads), ("b", stuck)]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].path, ["at", "b"]);
}
