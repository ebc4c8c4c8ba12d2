//! Stores of files and of SQLite, saved, proven and brought back through their drivers, with a real repository.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use mainstay_driver::{ActError, Driver, Progress};
use mainstay_model::{
    Access, Class, Epoch, Op, Output, PlanFile, RecoveryTarget, Repository, RepositoryId, Saved,
    Secret, Span, StoreFacts,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::Saving;
use crate::{
    files::{self, FilesDriver},
    shared::testing::{code, declared, facts, fenced, home, order, plan},
    sqlite::{self, SqliteDriver},
};

struct World {
    folder: tempfile::TempDir,
    plan: PlanFile,
    kind: &'static str,
}

fn offsite() -> RepositoryId {
    RepositoryId::new("offsite").unwrap()
}

impl World {
    /// Two sites of one kind; what is at `a` has its first mark.
    async fn new(kind: &'static str, at: impl Fn(&str) -> Value, options: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut declared = declared(Class::Store, kind, &[("a", at("a")), ("b", at("b"))]);
        declared.options = options;
        let mut plan = plan(&declared);
        let key = folder.path().join("key");
        fs::write(&key, "sesame\n").unwrap();
        let repository = Repository {
            url: format!("file:{}/offsite", folder.path().display()),
            domain: None,
            password: Some(Secret::File(key.display().to_string())),
            scrub: Span::ZERO,
            mirrors: Vec::new(),
            options: Value::Null,
        };
        plan.repositories.insert(offsite(), repository);
        let world = Self { folder, plan, kind };
        let initialise = Op::Custom {
            name: "initialise".to_owned(),
            args: [].into(),
        };
        world.ask("a", initialise).await.unwrap();
        world
    }

    async fn files() -> Self {
        let at = |site: &str| json!({ "url": format!("file:./{site}") });
        let world = Self::new(files::NAME, at, json!({ "exclude": [] })).await;
        world.write("one", "1");
        world
    }

    async fn sqlite(checks: &[&str]) -> Self {
        let at = |site: &str| json!({ "url": format!("sqlite:./{site}/data.db") });
        let world = Self::new(sqlite::NAME, at, json!({ "checks": checks })).await;
        world.rows(3);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path("a").join(name), text).unwrap();
    }

    fn rows(&self, count: u32) {
        let db = Connection::open(self.path("a/data.db")).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS notes (n)")
            .unwrap();
        for n in 0..count {
            db.execute("INSERT INTO notes VALUES (?1)", [n]).unwrap();
        }
    }

    fn count(&self, file: &str) -> u32 {
        let db = Connection::open(self.path(file)).unwrap();
        db.query_row("SELECT count(*) FROM notes", [], |row| row.get(0))
            .unwrap()
    }

    /// An agent that was just started: it remembers nothing.
    fn agent(&self, at: &str) -> Saving {
        let home = home(self.folder.path(), &self.plan, at);
        if self.kind == files::NAME {
            let driver = Arc::new(FilesDriver::new(home.clone()));
            let saves = Arc::new(driver.saves());
            Saving::new(&home, driver, saves)
        } else {
            let driver = Arc::new(SqliteDriver::new(home.clone()));
            let saves = Arc::new(driver.saves());
            Saving::new(&home, driver, saves)
        }
    }

    async fn ask(&self, at: &str, op: Op) -> Result<Output, ActError> {
        self.carry_out(at, order(self.kind, at, op)).await
    }

    async fn carry_out(&self, at: &str, order: mainstay_driver::Order) -> Result<Output, ActError> {
        let agent = self.agent(at);
        let mut progress = agent.act(&order).await?;
        loop {
            match progress {
                Progress::Done(output) => return Ok(output),
                Progress::Running { handle, .. } => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    progress = agent.poll(&order, &handle).await?;
                }
            }
        }
    }

    async fn save(&self) -> Saved {
        let output = self.ask("a", Op::Backup { to: offsite() }).await.unwrap();
        Saved::of(&output).unwrap()
    }

    async fn extract(&self, target: RecoveryTarget, into: &str) -> Result<Saved, ActError> {
        let op = Op::Extract {
            from: offsite(),
            target,
            path: None,
            into: self.path(into).display().to_string(),
        };
        let output = self.ask("b", op).await?;
        Ok(Saved::of(&output).unwrap())
    }

    async fn store(&self, at: &str) -> StoreFacts {
        facts(&self.agent(at), self.kind, at).await.store.unwrap()
    }
}

fn restore(target: RecoveryTarget) -> Op {
    Op::Restore {
        from: offsite(),
        target,
    }
}

fn prove(target: RecoveryTarget) -> Op {
    Op::Prove {
        from: offsite(),
        target,
    }
}

#[tokio::test]
async fn a_time_brings_back_what_was_saved_before_it() {
    let world = World::files().await;
    let first = world.save().await;
    world.write("two", "2");
    let second = world.save().await;
    assert!(first.taken < second.taken && first.epoch == Epoch(1));
    let early = world
        .extract(RecoveryTarget::Time(first.taken), "early")
        .await
        .unwrap();
    assert_eq!((early.point, early.missing), (first.point.clone(), 0));
    assert!(!world.path("early/two").exists());
    world.extract(RecoveryTarget::Newest, "late").await.unwrap();
    assert_eq!(fs::read(world.path("late/two")).unwrap(), b"2");
    // Mainstay's own folder is no part of the data.
    assert!(!world.path("late/.mainstay").exists());
    let before = mainstay_model::Timestamp(first.taken.0 - 1);
    let nothing = world.extract(RecoveryTarget::Time(before), "never").await;
    assert_eq!(code(nothing), "no-restore-point");
    // Several begin with nothing.
    let any = world.extract(RecoveryTarget::Point(String::new()), "never");
    assert_eq!(code(any.await), "no-restore-point");
}

#[tokio::test]
async fn a_folder_with_something_else_is_left_alone_and_a_restore_carries_on() {
    let world = World::files().await;
    let saved = world.save().await;
    fs::create_dir_all(world.path("mine")).unwrap();
    fs::write(world.path("mine/precious"), "mine").unwrap();
    let refused = world.extract(RecoveryTarget::Newest, "mine").await;
    assert_eq!(code(refused), "restore-target");
    assert_eq!(fs::read(world.path("mine/precious")).unwrap(), b"mine");
    // As a restore leaves it that was killed: the note beside it, and a file that was not written to its end.
    let whole = world.extract(RecoveryTarget::Newest, "x").await.unwrap();
    let note = format!("{} {}", saved.point, world.path("a").display());
    fs::write(world.path(".x.mainstay-restore"), note).unwrap();
    fs::write(world.path("x/one"), "").unwrap();
    let again = world.extract(RecoveryTarget::Newest, "x").await.unwrap();
    assert_eq!(again, whole);
    assert_eq!(fs::read(world.path("x/one")).unwrap(), b"1");
    assert!(!world.path(".x.mainstay-restore").exists());
}

#[tokio::test]
async fn a_database_is_saved_while_it_is_written_and_passes_its_checks() {
    let world = World::sqlite(&["SELECT count(*) >= 3 FROM notes"]).await;
    let saved = world.save().await;
    world.rows(10);
    let proven = world.ask("b", prove(RecoveryTarget::Newest)).await.unwrap();
    let proven = Saved::of(&proven).unwrap();
    assert_eq!((&proven.point, &proven.tree), (&saved.point, &saved.tree));
    assert_eq!(
        proven.checks,
        [
            "integrity_check",
            "foreign_key_check",
            "SELECT count(*) >= 3 FROM notes"
        ]
    );
    // Nothing is left of it.
    assert!(!world.path("state-b/scratch/thing").exists());
    world.extract(RecoveryTarget::Newest, "out").await.unwrap();
    assert_eq!(world.count("out/thing.db"), 3);
}

#[tokio::test]
async fn a_check_that_does_not_hold_is_named() {
    let world = World::sqlite(&["SELECT count(*) > 1000 FROM notes"]).await;
    world.save().await;
    match world.ask("b", prove(RecoveryTarget::Newest)).await {
        Err(ActError::NotDone(cause)) => {
            assert_eq!(cause.code, "check-failed");
            assert!(cause.what.contains("> 1000"), "{}", cause.what);
        }
        other => panic!("{other:?}"),
    }
    assert!(!world.path("state-b/scratch/thing").exists());
}

#[tokio::test]
async fn an_open_store_is_never_overwritten_and_a_sealed_one_keeps_its_mark() {
    for world in [World::files().await, World::sqlite(&[]).await] {
        let saved = world.save().await;
        if world.kind == files::NAME {
            world.write("two", "2");
        } else {
            world.rows(4);
        }
        let back = || restore(RecoveryTarget::Point(saved.point.clone()));
        let open = world.ask("a", back()).await;
        assert_eq!(code(open), "store-open", "{}", world.kind);
        world.ask("a", Op::Seal(Epoch(1))).await.unwrap();
        let old = fenced(order(world.kind, "a", back()), 0);
        assert_eq!(code(world.carry_out("a", old).await), "stale at 1");
        let order = fenced(order(world.kind, "a", back()), 1);
        // Nobody lived to see the end of an order that never came: it is made again.
        let agent = world.agent("a");
        assert_eq!(code(agent.recall(&order).await), "restore-unfinished");
        let output = world.carry_out("a", order.clone()).await.unwrap();
        assert_eq!(
            agent.recall(&order).await.unwrap(),
            Progress::Done(output.clone())
        );
        // A second time changes nothing.
        assert_eq!(
            world.carry_out("a", order).await.unwrap().position,
            output.position
        );
        let seen = world.store("a").await;
        assert_eq!(seen.access, Access::Sealed, "{}", world.kind);
        assert_eq!(seen.mark.unwrap().epoch, Epoch(1));
        assert_eq!(seen.position, output.position);
        world.ask("a", Op::Promote(Epoch(2))).await.unwrap();
        if world.kind == files::NAME {
            assert!(!world.path("a/two").exists());
        } else {
            assert_eq!(world.count("a/data.db"), 3);
        }
        assert_eq!(world.store("a").await.written, Some(false));
    }
}

#[tokio::test]
async fn a_site_without_the_store_gets_a_copy_that_can_be_promoted() {
    for world in [World::files().await, World::sqlite(&[]).await] {
        world.save().await;
        world
            .ask("b", restore(RecoveryTarget::Newest))
            .await
            .unwrap();
        let seen = world.store("b").await;
        assert_eq!(seen.access, Access::Replica, "{}", world.kind);
        assert_eq!(seen.recovery.unwrap().source.as_str(), "a");
        world.ask("b", Op::Promote(Epoch(2))).await.unwrap();
        assert_eq!(world.store("b").await.access, Access::Open);
    }
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_said() {
    let world = World::files().await;
    let nothing = world.extract(RecoveryTarget::Newest, "x").await;
    assert_eq!(code(nothing), "no-repository");
    world.save().await;
    let strange = Op::Backup {
        to: RepositoryId::new("elsewhere").unwrap(),
    };
    assert_eq!(code(world.ask("a", strange).await), "no-repository");
    fs::write(world.path("key"), "another").unwrap();
    let wrong = world.extract(RecoveryTarget::Newest, "x").await;
    assert_eq!(code(wrong), "wrong-password");
    fs::write(world.path("key"), "").unwrap();
    let empty = world.extract(RecoveryTarget::Newest, "x").await;
    assert_eq!(code(empty), "repository-declared");
}
