//! The files driver on real trees: a whole switchover and back, late and repeated orders, late writers, salvage.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mainstay_driver::{ActError, Driver as _, Progress};
use mainstay_model::{
    Access, Class, Copy, CopyDeletes, Epoch, Goal, Kind as _, Op, Output, PlanFile, Predicate,
    Span, StoreFacts, Tri, Wanted, standard_holds,
};
use serde_json::json;

use super::{FilesDriver, FilesKind, NAME};
use crate::shared::{
    now,
    testing::{
        act, code, conforms, declared, facts, fenced, home, order, plan, recall, scope, site,
    },
};

/// Two sites on one disk.
struct World {
    folder: tempfile::TempDir,
    plan: PlanFile,
}

impl World {
    fn new() -> Self {
        let at = |name: &str| json!({ "url": format!("file:./{name}/data") });
        let declared = declared(Class::Store, NAME, &[("a", at("a")), ("b", at("b"))]);
        Self {
            folder: tempfile::tempdir().unwrap(),
            plan: plan(&declared),
        }
    }

    async fn started() -> Self {
        let world = Self::new();
        let name = "initialise".to_owned();
        let args = [].into();
        world.act("a", Op::Custom { name, args }).await.unwrap();
        world.put("a", "t01/one", "one");
        world
    }

    fn path(&self, at: &str) -> PathBuf {
        self.folder.path().join(at).join("data")
    }

    fn put(&self, at: &str, path: &str, content: &str) {
        let path = self.path(at).join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn read(&self, at: &str, path: &str) -> Option<String> {
        fs::read_to_string(self.path(at).join(path)).ok()
    }

    /// A driver as a fresh agent process would have it: nothing remembered.
    fn driver(&self, at: &str) -> FilesDriver {
        FilesDriver::new(home(self.folder.path(), &self.plan, at))
    }

    async fn act(&self, at: &str, op: Op) -> Result<Output, ActError> {
        act(&self.driver(at), NAME, at, op).await
    }

    async fn store(&self, at: &str) -> StoreFacts {
        facts(&self.driver(at), NAME, at).await.store.unwrap()
    }

    async fn holds(&self, at: &str, is: Predicate) -> Tri {
        let sample = self.driver(at).observe(&scope(NAME, at)).await;
        let goal = Goal {
            scope: scope(NAME, at),
            is,
        };
        standard_holds(&goal, &sample, now())
    }

    async fn assert(&self, at: &str, is: Predicate) {
        assert_eq!(
            self.holds(at, is.clone()).await,
            Tri::Holds,
            "{is:?} at {at}"
        );
    }
}

fn from(name: &str) -> Op {
    Op::CatchUp { from: site(name) }
}

#[tokio::test]
async fn a_switchover_there_and_back_loses_nothing() {
    let world = World::started().await;
    world.assert("a", Predicate::Open(Epoch(1))).await;
    world.act("b", from("a")).await.unwrap();
    let within = Span::from_secs(60);
    world
        .assert(
            "b",
            Predicate::Copies {
                of: site("a"),
                within,
            },
        )
        .await;
    world.put("a", "t02/two", "two");
    fs::remove_file(world.path("a").join("t01/one")).unwrap();
    let sealed = world
        .act("a", Op::Seal(Epoch(1)))
        .await
        .unwrap()
        .position
        .unwrap();
    world.assert("a", Predicate::Sealed(Epoch(1))).await;
    assert_eq!(world.store("a").await.position, Some(sealed.clone()));
    let caught_up = Predicate::CaughtUp(Wanted::Position(sealed));
    assert_eq!(world.holds("b", caught_up.clone()).await, Tri::DoesNot);
    world.act("b", from("a")).await.unwrap();
    world.assert("b", caught_up).await;
    world.act("b", Op::Promote(Epoch(2))).await.unwrap();
    world.assert("b", Predicate::Open(Epoch(2))).await;
    world.assert("b", Predicate::Untouched(Epoch(2))).await;
    world.put("b", "t03/three", "three");
    assert_eq!(
        world.holds("b", Predicate::Untouched(Epoch(2))).await,
        Tri::DoesNot
    );

    assert_eq!(code(world.act("a", from("b")).await), "store-not-a-copy");
    world
        .act("a", Op::Rebuild { from: site("b") })
        .await
        .unwrap();
    world
        .assert(
            "a",
            Predicate::Copies {
                of: site("b"),
                within: Span::MAX,
            },
        )
        .await;
    let sealed = world
        .act("b", Op::Seal(Epoch(2)))
        .await
        .unwrap()
        .position
        .unwrap();
    world.act("a", from("b")).await.unwrap();
    world
        .assert("a", Predicate::CaughtUp(Wanted::Position(sealed)))
        .await;
    world.act("a", Op::Promote(Epoch(3))).await.unwrap();
    assert_eq!(world.read("a", "t01/one"), None);
    assert_eq!(world.read("a", "t02/two").unwrap(), "two");
    assert_eq!(world.read("a", "t03/three").unwrap(), "three");
}

#[tokio::test]
async fn it_keeps_the_drivers_contract() {
    let world = World::started().await;
    let declared = world.plan.stores.values().next().unwrap().declared.clone();
    let copies = |of: &str| Predicate::Copies {
        of: site(of),
        within: Span::MAX,
    };
    let of_b = Op::Rebuild { from: site("b") };
    for (at, op, is) in [
        ("b", from("a"), copies("a")),
        ("a", Op::Seal(Epoch(1)), Predicate::Sealed(Epoch(1))),
        ("b", Op::Promote(Epoch(2)), Predicate::Open(Epoch(2))),
        ("a", of_b, copies("b")),
        ("b", Op::Demote(Epoch(3)), Predicate::FencedBelow(Epoch(3))),
        ("b", Op::Unseal(Epoch(4)), Predicate::Open(Epoch(4))),
    ] {
        conforms(FilesKind, world.driver(at), &declared, at, op, is).await;
    }
}

#[tokio::test]
async fn every_order_may_come_twice_and_no_order_may_come_late() {
    let world = World::started().await;
    for _ in 0..2 {
        world.act("b", from("a")).await.unwrap();
        world.act("a", Op::Seal(Epoch(1))).await.unwrap();
    }
    for _ in 0..2 {
        world.act("b", Op::Promote(Epoch(4))).await.unwrap();
    }
    for late in [
        Op::Promote(Epoch(3)),
        Op::Seal(Epoch(3)),
        Op::Demote(Epoch(3)),
    ] {
        assert_eq!(code(world.act("b", late).await), "stale at 4");
    }
    assert_eq!(code(world.act("b", from("a")).await), "store-open");
    let late = fenced(order(NAME, "b", Op::Rebuild { from: site("a") }), 3);
    assert_eq!(code(world.driver("b").act(&late).await), "stale at 4");
    world.assert("b", Predicate::Open(Epoch(4))).await;
}

#[tokio::test]
async fn a_late_writer_breaks_the_seal() {
    let world = World::started().await;
    world.act("b", from("a")).await.unwrap();
    world.act("a", Op::Seal(Epoch(1))).await.unwrap();
    world.put("a", "t01/late", "late");
    assert_eq!(world.store("a").await.access, Access::Open);
    assert_eq!(
        world.holds("a", Predicate::Sealed(Epoch(1))).await,
        Tri::DoesNot
    );
    // Sealed again after it stopped, the late file is part of what is copied.
    world.act("a", Op::Seal(Epoch(1))).await.unwrap();
    world.assert("a", Predicate::Sealed(Epoch(1))).await;
    world.act("b", from("a")).await.unwrap();
    assert_eq!(world.read("b", "t01/late").unwrap(), "late");
}

#[tokio::test]
async fn a_tree_that_is_written_to_all_the_time_is_not_sealed() {
    let world = World::started().await;
    let (root, stop) = (world.path("a"), Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&stop);
    let writer = tokio::task::spawn_blocking(move || {
        for number in 0.. {
            if flag.load(Ordering::SeqCst) {
                return;
            }
            fs::write(root.join("busy"), format!("{number}")).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    // A machine that is busy may hold the writer up for as long as one seal looks, not for all of them.
    let mut refused = false;
    for _ in 0..50 {
        let outcome = world.act("a", Op::Seal(Epoch(1))).await;
        refused = matches!(&outcome, Err(ActError::Unknown(cause)) if cause.code == "store-still-written");
        if refused {
            break;
        }
    }
    stop.store(true, Ordering::SeqCst);
    writer.await.unwrap();
    assert!(refused, "sealed each time while it was written to");
    world.act("a", Op::Seal(Epoch(1))).await.unwrap();
    world.assert("a", Predicate::Sealed(Epoch(1))).await;
}

#[tokio::test]
async fn a_retreat_voids_a_late_promote_and_reopens_the_source() {
    let world = World::started().await;
    world.act("a", Op::Seal(Epoch(1))).await.unwrap();
    world.act("b", from("a")).await.unwrap();
    world.act("b", Op::Promote(Epoch(2))).await.unwrap();
    for _ in 0..2 {
        world.act("b", Op::Demote(Epoch(3))).await.unwrap();
    }
    world.assert("b", Predicate::FencedBelow(Epoch(3))).await;
    world.assert("b", Predicate::Untouched(Epoch(2))).await;
    assert_eq!(
        code(world.act("b", Op::Promote(Epoch(2))).await),
        "stale at 3"
    );
    assert_eq!(code(world.act("b", from("a")).await), "source-stale");
    world.act("a", Op::Unseal(Epoch(3))).await.unwrap();
    world.put("a", "t01/two", "two");
    world.act("b", from("a")).await.unwrap();
    assert_eq!(world.read("b", "t01/two").unwrap(), "two");
}

#[tokio::test]
async fn a_promote_that_never_arrived_is_voided_too() {
    let world = World::started().await;
    world.act("a", Op::Seal(Epoch(1))).await.unwrap();
    world.act("b", from("a")).await.unwrap();
    world.act("b", Op::Demote(Epoch(3))).await.unwrap();
    for goal in [
        Predicate::FencedBelow(Epoch(3)),
        Predicate::Untouched(Epoch(2)),
    ] {
        assert_eq!(world.holds("b", goal).await, Tri::Holds);
    }
    assert_eq!(
        code(world.act("b", Op::Promote(Epoch(2))).await),
        "stale at 3"
    );
}

#[tokio::test]
async fn a_demoted_tree_that_was_written_to_is_not_overwritten() {
    let world = World::started().await;
    world.act("a", Op::Seal(Epoch(1))).await.unwrap();
    world.act("b", from("a")).await.unwrap();
    world.act("b", Op::Promote(Epoch(2))).await.unwrap();
    world.put("b", "t01/kept", "kept");
    world.act("b", Op::Demote(Epoch(3))).await.unwrap();
    assert_eq!(
        world.holds("b", Predicate::Untouched(Epoch(2))).await,
        Tri::DoesNot
    );
    world.act("a", Op::Unseal(Epoch(3))).await.unwrap();
    assert_eq!(code(world.act("b", from("a")).await), "store-not-a-copy");
    assert_eq!(world.read("b", "t01/kept").unwrap(), "kept");
}

#[tokio::test]
async fn looking_creates_nothing_and_a_source_without_a_mark_empties_nothing() {
    let world = World::new();
    assert_eq!(world.store("a").await.access, Access::Empty);
    assert!(!world.path("a").exists());
    assert_eq!(
        code(world.act("a", Op::Promote(Epoch(2))).await),
        "store-empty"
    );
    assert_eq!(code(world.act("a", from("b")).await), "source-unreachable");
    assert!(!world.path("a").exists());

    let world = World::started().await;
    world.act("b", from("a")).await.unwrap();
    // The volume at a is not mounted: an empty folder is there.
    fs::rename(world.path("a"), world.path("a").with_extension("unmounted")).unwrap();
    fs::create_dir(world.path("a")).unwrap();
    assert_eq!(code(world.act("b", from("a")).await), "source-not-owner");
    assert_eq!(world.read("b", "t01/one").unwrap(), "one");
}

#[tokio::test]
async fn files_that_nobody_marked_are_not_replaced() {
    let world = World::started().await;
    world.put("b", "mine", "mine");
    assert_eq!(code(world.act("b", from("a")).await), "store-open");
    assert_eq!(world.read("b", "mine").unwrap(), "mine");
}

#[tokio::test]
async fn a_copy_may_keep_what_its_source_deletes() {
    let mut world = World::started().await;
    let store = world.plan.stores.values_mut().next().unwrap();
    store.copy = Some(Copy {
        every: None,
        by: None,
        deletes: Some(CopyDeletes::Keep),
        offline: None,
    });
    world.act("b", from("a")).await.unwrap();
    fs::remove_file(world.path("a").join("t01/one")).unwrap();
    world.put("a", "t01/two", "two");
    let sealed = world
        .act("a", Op::Seal(Epoch(1)))
        .await
        .unwrap()
        .position
        .unwrap();
    world.act("b", from("a")).await.unwrap();
    assert_eq!(world.read("b", "t01/one").unwrap(), "one");
    world
        .assert("b", Predicate::CaughtUp(Wanted::Position(sealed)))
        .await;
    world.act("b", Op::Promote(Epoch(2))).await.unwrap();
    world.assert("b", Predicate::Untouched(Epoch(2))).await;
}

#[tokio::test]
async fn salvage_keeps_what_the_owner_lacks() {
    let world = World::started().await;
    world.act("b", from("a")).await.unwrap();
    world.put("a", "t09/deep/only-a", "only a");
    world.put("a", "t01/one", "changed");
    world.act("b", Op::Promote(Epoch(2))).await.unwrap();
    world.act("a", Op::Fence(Epoch(2))).await.unwrap();
    world.assert("a", Predicate::FencedBelow(Epoch(2))).await;
    let salvage = Op::Salvage { owner: site("b") };
    let recalled = recall(&world.driver("a"), NAME, "a", salvage.clone()).await;
    assert!(
        matches!(recalled, Err(ActError::NotDone(_))),
        "{recalled:?}"
    );
    let first = world.act("a", salvage.clone()).await.unwrap();
    assert_eq!(world.act("a", salvage.clone()).await.unwrap(), first);
    let recalled = recall(&world.driver("a"), NAME, "a", salvage).await;
    assert_eq!(recalled, Ok(Progress::Done(first.clone())));
    let recalled = recall(&world.driver("a"), NAME, "a", Op::Seal(Epoch(1))).await;
    assert!(
        matches!(recalled, Err(ActError::Unknown(_))),
        "{recalled:?}"
    );
    let folder = Path::new(&first.values["salvage"]);
    let saved = |path: &str| fs::read_to_string(folder.join("files").join(path)).unwrap();
    assert_eq!(saved("t09/deep/only-a"), "only a");
    assert_eq!(saved("t01/one"), "changed");
    let manifest = fs::read_to_string(folder.join("manifest.json")).unwrap();
    assert!(
        manifest.contains("absent") && manifest.contains("differs"),
        "{manifest}"
    );
    world
        .act("a", Op::Rebuild { from: site("b") })
        .await
        .unwrap();
    assert_eq!(world.read("a", "t01/one").unwrap(), "one");
    assert_eq!(world.read("a", "t09/deep/only-a"), None);
}

#[test]
fn options_are_complained_about_where_they_stand() {
    let places = |a: &str, b: &str| -> Vec<String> {
        let at = |path: &str| json!({ "path": path });
        let declared = declared(Class::Store, NAME, &[("a", at(a)), ("b", at(b))]);
        let found = FilesKind.check(&declared);
        found.into_iter().map(|one| one.path.join(".")).collect()
    };
    assert_eq!(places("./a", "./b"), [""; 0]);
    assert_eq!(places("./a", "a/../a/inner"), ["at.b"]);
    assert_eq!(places("", "./b"), ["at.a.path"]);
}
