//! What is asked at a terminal, and refused because the world or the run is not what it was.

use std::{process::Stdio, time::Duration};

use mainstay_demo::world::{Database, Site};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::timeout,
};

use crate::support::Stage;

const PATIENCE: Duration = Duration::from_secs(60);

/// A verb at a terminal of its own, waiting for its answer.
struct Asking {
    child: Child,
    said: String,
}

impl Asking {
    /// Types a verb and reads on until it asks.
    async fn verb(stage: &Stage, verb: &str) -> Self {
        let line = format!("{} {verb}", env!("CARGO_BIN_EXE_mainstay"));
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .current_dir(stage.folder())
            .env("TERM", "dumb")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = String::new();
        let out = child.stdout.as_mut().unwrap();
        let mut buffer = [0; 4096];
        while !said.contains("Type yes:") {
            let count = timeout(PATIENCE, out.read(&mut buffer)).await;
            let count = count.unwrap().unwrap();
            assert!(count > 0, "it ended without asking:\n{said}");
            said += &String::from_utf8_lossy(&buffer[..count]);
        }
        Self { child, said }
    }

    /// Answers, and gives the exit code and everything that was said.
    async fn answer(mut self, text: &str) -> (Option<i32>, String) {
        let mut stdin = self.child.stdin.take().unwrap();
        stdin.write_all(text.as_bytes()).await.unwrap();
        stdin.write_all(b"\n").await.unwrap();
        let ended = timeout(PATIENCE, self.child.wait_with_output()).await;
        let output = ended.unwrap().unwrap();
        let said = self.said + &String::from_utf8_lossy(&output.stdout);
        (output.status.code(), said)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_carried_out_only_as_it_was_shown() {
    let Some(stage) = Stage::on(Database::Sqlite).await else {
        panic!("SQLite needs nothing");
    };

    // Everything is at home already.
    let failback = stage.verb(&["failback", "--yes"]).await;
    assert_eq!(failback.exit, Some(3), "{}", failback.why());
    assert!(failback.why().contains("MS0011"), "{}", failback.why());

    // The answer is no.
    let asking = Asking::verb(&stage, "switchover --to dr").await;
    let (exit, said) = asking.answer("y").await;
    assert_eq!(exit, Some(1), "{said}");
    assert!(said.contains("MS0012"), "{said}");
    stage.serves(Site::Prod).await;

    // While it asks, everything moves there and back: the same steps, at other epochs.
    let asking = Asking::verb(&stage, "switchover --to dr").await;
    stage.done(&["switchover", "--to", "dr", "--yes"]).await;
    stage.done(&["reprotect", "prod", "--yes"]).await;
    stage.well().await;
    stage.done(&["failback", "--yes"]).await;
    stage.done(&["reprotect", "dr", "--yes"]).await;
    stage.well().await;
    let (exit, said) = asking.answer("yes").await;
    assert_eq!(exit, Some(3), "{said}");
    assert!(said.contains("MS0013"), "{said}");
    stage.serves(Site::Prod).await;

    // The answer is yes.
    let asking = Asking::verb(&stage, "switchover --to dr").await;
    let (exit, said) = asking.answer("yes").await;
    assert_eq!(exit, Some(0), "{said}");
    stage.serves(Site::Dr).await;
    stage.nothing_lost(Site::Dr).await;

    // A run that is over takes no more orders.
    let cancel = stage.verb(&["run", "cancel", "--reason", "too late"]).await;
    assert_eq!(cancel.exit, Some(3), "{}", cancel.why());
    assert!(cancel.why().contains("MS0014"), "{}", cancel.why());
}
