//! The sqlite driver on real files: a whole switchover and back, late and repeated orders, crashes between writes.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use mainstay_driver::{ActError, Driver as _, Progress};
use mainstay_model::{
    Access, Class, Epoch, Goal, Op, PlanFile, Position, Predicate, Sample, Span, StoreFacts, Tri,
    Wanted, standard_holds,
};
use rusqlite::Connection;
use serde_json::json;
use sha2::Digest as _;

use super::{NAME, SqliteDriver, SqliteKind};
use crate::shared::{
    now,
    testing::{
        act, code, conforms, declared, facts, fenced, home, order, plan, recall, scope, site,
    },
};

/// Two sites on one disk, the database of `a` initialised and with some rows.
struct World {
    folder: tempfile::TempDir,
    plan: PlanFile,
}

impl World {
    fn new() -> Self {
        let at = |name: &str| json!({ "url": format!("sqlite:./{name}/data.db") });
        let declared = declared(Class::Store, NAME, &[("a", at("a")), ("b", at("b"))]);
        Self {
            folder: tempfile::tempdir().unwrap(),
            plan: plan(&declared),
        }
    }

    fn path(&self, at: &str) -> PathBuf {
        self.folder.path().join(at).join("data.db")
    }

    /// A driver as a fresh agent process would have it: nothing remembered.
    fn driver(&self, at: &str) -> SqliteDriver {
        SqliteDriver::new(home(self.folder.path(), &self.plan, at))
    }

    async fn act(&self, at: &str, op: Op) -> Result<mainstay_model::Output, ActError> {
        act(&self.driver(at), NAME, at, op).await
    }

    async fn store(&self, at: &str) -> StoreFacts {
        facts(&self.driver(at), NAME, at).await.store.unwrap()
    }

    async fn holds(&self, at: &str, is: Predicate) -> Tri {
        let sample: Sample = self.driver(at).observe(&scope(NAME, at)).await;
        let goal = Goal {
            scope: scope(NAME, at),
            is,
        };
        standard_holds(&goal, &sample, now())
    }

    /// An application's write, on a connection of its own in WAL mode.
    fn write(&self, at: &str, text: &str) -> rusqlite::Result<()> {
        let db = application(&self.path(at));
        db.execute("INSERT INTO notes (text) VALUES (?1)", [text])
            .map(|_| ())
    }

    async fn started() -> Self {
        let world = Self::new();
        world
            .act(
                "a",
                Op::Custom {
                    name: "initialise".to_owned(),
                    args: [].into(),
                },
            )
            .await
            .unwrap();
        let db = application(&world.path("a"));
        db.execute_batch(
            "CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT);
             CREATE TABLE pairs (a TEXT, b BLOB, PRIMARY KEY (a)) WITHOUT ROWID;
             INSERT INTO pairs VALUES ('x', x'00ff');",
        )
        .unwrap();
        drop(db);
        world.write("a", "one").unwrap();
        world
    }

    fn notes(&self, at: &str) -> Vec<String> {
        let db = Connection::open(self.path(at)).unwrap();
        db.prepare("SELECT text FROM notes ORDER BY id")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap()
    }
}

fn application(path: &Path) -> Connection {
    let db = Connection::open(path).unwrap();
    db.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
        .unwrap();
    db
}

fn from(name: &str) -> Op {
    Op::CatchUp { from: site(name) }
}

/// Seals `a` while an application has it open: none of its later writes gets through.
async fn seal_under_a_live_application(world: &World) -> (Connection, Position) {
    let live = application(&world.path("a"));
    live.execute("INSERT INTO notes (text) VALUES ('two')", [])
        .unwrap();
    let sealed = world
        .act("a", Op::Seal(Epoch(1)))
        .await
        .unwrap()
        .position
        .unwrap();
    let error = live
        .execute("INSERT INTO notes (text) VALUES ('late')", [])
        .unwrap_err();
    assert!(error.to_string().contains("sealed by mainstay"), "{error}");
    for late in [
        "UPDATE notes SET text = 'x'",
        "DELETE FROM pairs",
        "INSERT OR REPLACE INTO pairs VALUES ('x', 1)",
    ] {
        assert!(live.execute(late, []).is_err(), "{late}");
    }
    assert_eq!(
        world.holds("a", Predicate::Sealed(Epoch(1))).await,
        Tri::Holds
    );
    assert_eq!(world.store("a").await.position, Some(sealed.clone()));
    (live, sealed)
}

#[tokio::test]
async fn a_switchover_there_and_back_loses_nothing() {
    let world = World::started().await;
    assert_eq!(
        world.holds("a", Predicate::Open(Epoch(1))).await,
        Tri::Holds
    );
    world.act("b", from("a")).await.unwrap();
    let copies = Predicate::Copies {
        of: site("a"),
        within: Span::from_secs(60),
    };
    assert_eq!(world.holds("b", copies).await, Tri::Holds);

    let (live, sealed) = seal_under_a_live_application(&world).await;
    let caught_up = Predicate::CaughtUp(Wanted::Position(sealed));
    assert_eq!(world.holds("b", caught_up.clone()).await, Tri::DoesNot);
    world.act("b", from("a")).await.unwrap();
    assert_eq!(world.holds("b", caught_up).await, Tri::Holds);
    world.act("b", Op::Promote(Epoch(2))).await.unwrap();
    assert_eq!(
        world.holds("b", Predicate::Open(Epoch(2))).await,
        Tri::Holds
    );
    assert_eq!(
        world.holds("b", Predicate::Untouched(Epoch(2))).await,
        Tri::Holds
    );
    world.write("b", "three").unwrap();
    assert_eq!(
        world.holds("b", Predicate::Untouched(Epoch(2))).await,
        Tri::DoesNot
    );

    // Periodic copies never touch what is not a copy; a rebuild makes the old primary one.
    assert_eq!(code(world.act("a", from("b")).await), "store-not-a-copy");
    world
        .act("a", Op::Rebuild { from: site("b") })
        .await
        .unwrap();
    let copies = Predicate::Copies {
        of: site("b"),
        within: Span::MAX,
    };
    assert_eq!(world.holds("a", copies).await, Tri::Holds);
    drop(live);
    let sealed = world
        .act("b", Op::Seal(Epoch(2)))
        .await
        .unwrap()
        .position
        .unwrap();
    world.act("a", from("b")).await.unwrap();
    assert_eq!(
        world
            .holds("a", Predicate::CaughtUp(Wanted::Position(sealed)))
            .await,
        Tri::Holds
    );
    world.act("a", Op::Promote(Epoch(3))).await.unwrap();
    world.write("a", "four").unwrap();
    assert_eq!(world.notes("a"), ["one", "two", "three", "four"]);
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
        conforms(SqliteKind, world.driver(at), &declared, at, op, is).await;
    }
}

#[tokio::test]
async fn every_order_may_come_twice_and_no_order_may_come_late() {
    let world = World::started().await;
    for _ in 0..2 {
        world.act("b", from("a")).await.unwrap();
    }
    for _ in 0..2 {
        world.act("a", Op::Seal(Epoch(1))).await.unwrap();
    }
    world.act("b", from("a")).await.unwrap();
    for _ in 0..2 {
        world.act("b", Op::Promote(Epoch(4))).await.unwrap();
    }
    assert_eq!(
        code(world.act("b", Op::Promote(Epoch(3))).await),
        "stale at 4"
    );
    let late = fenced(order(NAME, "b", Op::Rebuild { from: site("a") }), 3);
    assert_eq!(code(world.driver("b").act(&late).await), "stale at 4");
    assert_eq!(code(world.act("b", Op::Seal(Epoch(3))).await), "stale at 4");
    assert_eq!(
        code(world.act("b", Op::Demote(Epoch(3))).await),
        "stale at 4"
    );
    assert_eq!(code(world.act("b", from("a")).await), "store-open");
    assert_eq!(
        code(world.act("b", Op::Rebuild { from: site("a") }).await),
        "store-open"
    );
    assert_eq!(
        world.holds("b", Predicate::Open(Epoch(4))).await,
        Tri::Holds
    );
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
    assert_eq!(
        world.holds("b", Predicate::FencedBelow(Epoch(3))).await,
        Tri::Holds
    );
    assert_eq!(
        world.holds("b", Predicate::Untouched(Epoch(2))).await,
        Tri::Holds
    );
    assert_eq!(
        code(world.act("b", Op::Promote(Epoch(2))).await),
        "stale at 3"
    );
    assert!(world.write("b", "lost").is_err());
    assert_eq!(code(world.act("b", from("a")).await), "source-stale");
    for _ in 0..2 {
        world.act("a", Op::Unseal(Epoch(3))).await.unwrap();
    }
    assert_eq!(
        world.holds("a", Predicate::Open(Epoch(3))).await,
        Tri::Holds
    );
    world.write("a", "two").unwrap();
    world.act("b", from("a")).await.unwrap();
    assert_eq!(world.notes("b"), ["one", "two"]);
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
async fn a_demoted_store_that_was_written_to_is_not_overwritten() {
    let world = World::started().await;
    world.act("a", Op::Seal(Epoch(1))).await.unwrap();
    world.act("b", from("a")).await.unwrap();
    world.act("b", Op::Promote(Epoch(2))).await.unwrap();
    world.write("b", "kept").unwrap();
    world.act("b", Op::Demote(Epoch(3))).await.unwrap();
    assert_eq!(
        world.holds("b", Predicate::Untouched(Epoch(2))).await,
        Tri::DoesNot
    );
    world.act("a", Op::Unseal(Epoch(3))).await.unwrap();
    assert_eq!(code(world.act("b", from("a")).await), "store-not-a-copy");
    assert_eq!(world.notes("b"), ["one", "kept"]);
}

#[tokio::test]
async fn looking_changes_nothing_and_creates_nothing() {
    let world = World::new();
    let empty = world.store("a").await;
    assert_eq!((empty.access, empty.mark), (Access::Empty, None));
    assert!(!world.path("a").parent().unwrap().exists());

    let world = World::started().await;
    world.act("b", from("a")).await.unwrap();
    for at in ["a", "b"] {
        let before = listing(world.path(at).parent().unwrap());
        for _ in 0..3 {
            world.store(at).await;
        }
        assert_eq!(listing(world.path(at).parent().unwrap()), before);
    }
}

fn listing(folder: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let content = std::fs::read(entry.path()).unwrap();
            (name, hex::encode(sha2::Sha256::digest(content)))
        })
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn an_unchanged_source_only_renews_the_recovery_point() {
    let world = World::started().await;
    world.act("b", from("a")).await.unwrap();
    let first = world.store("b").await.recovery.unwrap();
    let file = std::fs::metadata(world.path("b")).unwrap();
    world.act("b", from("a")).await.unwrap();
    let second = world.store("b").await.recovery.unwrap();
    assert!(second.taken_at > first.taken_at);
    assert_eq!(second.position, first.position);
    assert_eq!(
        std::fs::metadata(world.path("b")).unwrap().ino(),
        file.ino()
    );
}

#[tokio::test]
async fn a_copy_that_was_cut_short_leaves_the_old_one_known() {
    let world = World::started().await;
    world.act("b", from("a")).await.unwrap();
    let before = world.store("b").await.recovery;
    // The record of the next copy was written, its file was not renamed; and one was half written.
    let path = world.path("b");
    let half = path.with_file_name(".data.db.mainstay-copy");
    std::fs::write(&half, "half").unwrap();
    let next = super::record::Proven {
        file: super::record::FileId::of(&half).unwrap(),
        source: site("a"),
        taken_at: now(),
        digest: "of the next".to_owned(),
        journal: super::record::Journal::Wal,
    };
    super::record::Record::read(&path)
        .with_copy(&path, next)
        .write(&path)
        .unwrap();
    assert_eq!(world.store("b").await.recovery, before);
    world.write("a", "two").unwrap();
    world.act("b", from("a")).await.unwrap();
    assert!(!half.exists());
    assert_eq!(world.notes("b"), ["one", "two"]);
}

#[tokio::test]
async fn a_copy_that_somebody_changed_has_no_recovery_point() {
    let world = World::started().await;
    world.act("b", from("a")).await.unwrap();
    let db = Connection::open(world.path("b")).unwrap();
    assert!(db.execute("DELETE FROM notes", []).is_err());
    db.execute_batch("CREATE TABLE mine (x)").unwrap();
    drop(db);
    let seen = world.store("b").await;
    assert_eq!(
        seen.access,
        Access::Open,
        "a table without a seal takes writes"
    );
    assert_eq!(seen.recovery, None);
}

#[tokio::test]
async fn a_log_left_by_the_old_database_is_never_applied_to_the_copy() {
    let world = World::started().await;
    world.act("b", from("a")).await.unwrap();
    world.act("a", Op::Seal(Epoch(1))).await.unwrap();
    world.act("b", from("a")).await.unwrap();
    world.act("b", Op::Promote(Epoch(2))).await.unwrap();
    world.write("b", "two").unwrap();
    // The old primary died with a log: keep one by leaving a connection open over the copy of its files.
    let holder = application(&world.path("a"));
    holder.pragma_update(None, "user_version", 7).unwrap();
    let log = std::fs::read(super::open::beside(&world.path("a"), "-wal")).unwrap();
    assert!(!log.is_empty());
    world
        .act("a", Op::Rebuild { from: site("b") })
        .await
        .unwrap();
    assert!(!super::open::beside(&world.path("a"), "-wal").exists());
    drop(holder);
    assert_eq!(world.notes("a"), ["one", "two"]);
    let position = |facts: StoreFacts| facts.recovery.unwrap().position;
    let copied = position(world.store("a").await);
    let sealed = world.act("b", Op::Seal(Epoch(2))).await.unwrap().position;
    assert_eq!(sealed, Some(copied));
}

#[tokio::test]
async fn salvage_keeps_what_the_owner_lacks() {
    let world = World::started().await;
    world.act("b", from("a")).await.unwrap();
    world.write("a", "only a has this").unwrap();
    world.act("b", Op::Promote(Epoch(2))).await.unwrap();
    world.act("a", Op::Fence(Epoch(2))).await.unwrap();
    assert_eq!(
        world.holds("a", Predicate::FencedBelow(Epoch(2))).await,
        Tri::Holds
    );
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
    assert_eq!(first.values["rows"], "1");
    let folder = PathBuf::from(&first.values["salvage"]);
    let rows = std::fs::read_to_string(folder.join("rows.jsonl")).unwrap();
    assert!(rows.contains("only a has this"), "{rows}");
    let mut left: Vec<String> = listing(&folder).into_iter().map(|(name, _)| name).collect();
    left.sort();
    assert_eq!(
        left,
        ["database.db", "manifest.json", "rows.jsonl", "summary"]
    );
    assert!(matches!(first.position, Some(Position::Digest(_))));
}

#[test]
fn options_are_complained_about_where_they_stand() {
    use mainstay_model::Kind as _;
    let same = json!({ "path": "./x.db" });
    let complaints = SqliteKind.check(&declared(
        Class::Store,
        NAME,
        &[("a", same.clone()), ("b", same)],
    ));
    assert_eq!(complaints[0].path, ["at", "b"]);
    let complaints = SqliteKind.check(&declared(Class::Store, NAME, &[("a", json!({}))]));
    assert_eq!(complaints[0].path, ["at", "a", "url"]);
}
