//! What people type at a world from `demo up`, in one world: each refusal, and the way back after a loss.

use std::time::Duration;

use mainstay_demo::world::{Database, Site};

use crate::support::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_a_broken_site_a_second_mover_and_a_returned_site() {
    let Some(stage) = Stage::on(Database::Sqlite).await else {
        panic!("SQLite needs nothing");
    };
    by_hand(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_on_postgresql() {
    if let Some(stage) = Stage::on(Database::Postgres).await {
        by_hand(stage).await;
    }
}

async fn by_hand(mut stage: Stage) {
    refused(&stage).await;
    two_movers(&stage).await;

    // A planned move to a site that is broken: refused or aborted, and the primary serves on.
    stage.world.break_site(Site::Prod).unwrap();
    let aborted = stage.verb(&["switchover", "--to", "prod", "--yes"]).await;
    assert!(matches!(aborted.exit, Some(1 | 3)), "{}", aborted.why());
    stage.serves(Site::Dr).await;
    stage.nothing_lost(Site::Dr).await;
    stage.world.heal(Site::Prod).await.unwrap();
    stage.well().await;

    // The active site is lost; a person accepts the loss.
    stage.world.break_site(Site::Dr).unwrap();
    stage
        .done(&["failover", "--to", "prod", "--accept-loss", "10m", "--yes"])
        .await;
    stage.serves(Site::Prod).await;

    stage.world.heal(Site::Dr).await.unwrap();
    serves_nothing(&stage, Site::Dr).await;
    let switchover = stage.verb(&["switchover", "--to", "dr", "--yes"]).await;
    assert_eq!(switchover.exit, Some(3), "{}", switchover.why());

    // What only it has is given up by the hash that is shown for it, and by no other word.
    let guessed = ["reprotect", "dr", "--discard-divergence", "all", "--yes"];
    let guessed = stage.verb(&guessed).await;
    assert_eq!(guessed.exit, Some(3), "{}", guessed.why());
    stage.done(&["reprotect", "dr", "--yes"]).await;
    stage.well().await;
}

/// A forced move without an acceptance; and without a terminal and without a yes, nothing.
async fn refused(stage: &Stage) {
    let refused = stage.verb(&["failover", "--to", "dr", "--yes"]).await;
    assert_eq!(refused.exit, Some(3), "{}", refused.why());
    let words = refused.why();
    assert!(words.contains("--accept-loss"), "{words}");
    assert!(words.contains("loss bound"), "{words}");
    stage.serves(Site::Prod).await;
    let refused = stage.verb(&["switchover", "--to", "dr"]).await;
    assert_eq!(refused.exit, Some(2), "{}", refused.why());
}

/// One moves, the other is refused.
async fn two_movers(stage: &Stage) {
    let start = || {
        let args = ["switchover", "--to", "dr", "--yes"];
        stage.world.start_verb(&args).unwrap()
    };
    let (first, second) = (start(), start());
    let (first, second) = tokio::join!(first.end(), second.end());
    let mut exits = [first.unwrap().exit, second.unwrap().exit];
    exits.sort_unstable();
    assert_eq!(exits, [Some(0), Some(3)]);
    stage.serves(Site::Dr).await;
    stage.nothing_lost(Site::Dr).await;
    stage.done(&["reprotect", "prod", "--yes"]).await;
    stage.well().await;
}

/// A site that returned is quarantined, and nobody answers there.
async fn serves_nothing(stage: &Stage, site: Site) {
    for _ in 0..20 {
        for replica in stage.world.addresses.replicas(site) {
            assert!(
                tokio::net::TcpStream::connect(replica).await.is_err(),
                "{replica} serves"
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let status = stage.verb(&["status"]).await.value;
    let sites = status["sites"].as_array().unwrap();
    let row = sites.iter().find(|row| row["site"] == site.name()).unwrap();
    assert_eq!(row["standing"], "quarantined");
}
