//! A world for one test, taken down at its end whatever that is.

use std::time::{Duration, Instant};

use mainstay_demo::{
    load::{List, Window, audit},
    world::{Answer, Database, Site, World},
};

pub(crate) struct Stage {
    pub(crate) world: World,
    folder: tempfile::TempDir,
}

impl Stage {
    /// Two sites under load, on SQLite; nobody watches.
    pub(crate) async fn up() -> Self {
        let stage = Self::on(Database::Sqlite).await;
        stage.expect("SQLite needs nothing")
    }

    /// The same on either database; none, with a printed line, where that is missing.
    pub(crate) async fn on(database: Database) -> Option<Self> {
        let folder = tempfile::Builder::new()
            .prefix("mainstay-")
            .tempdir()
            .unwrap();
        let dir = folder.path().join("w");
        let up = tokio::process::Command::new(env!("CARGO_BIN_EXE_mainstay"))
            .args(["demo", "up", "--no-watch", "--database"])
            .args([
                database.to_string().as_ref(),
                "--dir".as_ref(),
                dir.as_os_str(),
            ])
            .output();
        let up = up.await.unwrap();
        let words = String::from_utf8_lossy(&up.stderr);
        if words.contains("demo-missing") {
            #[expect(clippy::print_stdout, reason = "a test says what it leaves out")]
            {
                println!("left out: {words}");
            }
            return None;
        }
        assert!(up.status.success(), "{words}");
        let world = World::open(&dir).unwrap();
        let stage = Self { world, folder };
        stage.well().await;
        Some(stage)
    }

    /// Where the world and its plan file are.
    pub(crate) fn folder(&self) -> std::path::PathBuf {
        self.folder.path().join("w")
    }

    pub(crate) async fn verb(&self, args: &[&str]) -> Answer {
        self.world.verb(args).await.unwrap()
    }

    /// The verb must succeed.
    pub(crate) async fn done(&self, args: &[&str]) -> Answer {
        let answer = self.verb(args).await;
        assert_eq!(answer.exit, Some(0), "{args:?}: {}", answer.why());
        answer
    }

    /// Waits until `mainstay status` finds nothing wrong.
    pub(crate) async fn well(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let status = self.verb(&["status"]).await;
            if status.value["ok"] == true {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "not well: {}",
                status.value["wrong"]
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until a site has served a write that was sent from now on.
    pub(crate) async fn serves(&self, site: Site) {
        let read = || List::read(&self.world.acks()).unwrap();
        let last = read().acks().map(|ack| ack.acked_us).max().unwrap_or(0);
        let deadline = Instant::now() + Duration::from_secs(30);
        while read().first_served(last, Some(site.name())).is_none() {
            assert!(Instant::now() < deadline, "{site} does not serve");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Nothing that was acknowledged is missing at a site; how much that was.
    pub(crate) async fn nothing_lost(&self, site: Site) -> u64 {
        let database = self.world.database_url(site).unwrap();
        let files = self.world.files(site);
        let found = audit(&self.world.acks(), Window::ALWAYS, &database, &files)
            .await
            .unwrap();
        assert!(found.acknowledged > 0);
        assert_eq!(found.lost, [], "of {}", found.acknowledged);
        found.acknowledged
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.world.down();
        if std::thread::panicking() {
            // What it left behind explains the failure.
            let kept = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap()).keep();
            #[expect(clippy::print_stderr, reason = "shown when a test fails")]
            {
                eprintln!("the world is kept in {}", kept.display());
            }
        }
    }
}
