//! What people type about backups at a running system: saved, proven, damaged, brought back, and killed in between.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use mainstay_demo::{
    order_service::{destroy, stored_orders},
    world::{Database, Site},
};
use serde_json::Value;

use crate::support::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restore_points_are_made_proven_and_brought_back() {
    let stage = Stage::up().await;
    stage.done(&["backup", "run"]).await;
    let points = stage.done(&["backup", "list"]).await.value;
    let newest = |store: &str| {
        let points = points.as_array().unwrap().iter().rev();
        let mut of = points.filter(|point| point["store"] == store);
        of.next().unwrap().clone()
    };
    for store in ["ledger", "attachments"] {
        assert_eq!(newest(store)["whole"], "complete");
        assert_eq!(newest(store)["proven"], "read-back", "{store}");
    }
    proven_and_damaged(&stage).await;
    compared(&stage).await;
    parts(&stage, &newest("attachments")).await;
    passwords(&stage).await;
    // Nothing may go: a policy that keeps two weeks keeps what was made just now.
    let pruned = stage.done(&["backup", "prune", "--yes"]).await.value;
    assert_eq!(pruned[0]["forgotten"], 0);
    in_place(&stage).await;
    stage.done(&["receipts", "verify"]).await;
}

/// A cluster with its log: back to a moment between two restore points, tried out at the other site, with a receipt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_goes_back_to_any_moment() {
    let Some(stage) = Stage::on(Database::Postgres).await else {
        return;
    };
    stage.done(&["backup", "run", "ledger"]).await;
    let database = stage.world.database_url(Site::Prod).unwrap();
    let count = async || stored_orders(&database).await.unwrap().len();
    let before = count().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let at = jiff::Timestamp::now().to_string();
    let at = [
        "backup",
        "restore",
        "ledger",
        "--in-place",
        "--yes",
        "--at",
        &at,
    ];
    destroy(&database).await.unwrap();
    stage.done(&at).await;
    stage.serves(Site::Prod).await;
    assert!(
        count().await > before,
        "writes after the restore point are there"
    );
    stage.done(&["backup", "verify", "ledger"]).await;
    let receipts = stage.done(&["receipts", "list", "ledger"]).await.value;
    let mut receipts = receipts.as_array().unwrap().iter();
    let checked = receipts
        .find(|receipt| receipt["level"] == "checked")
        .unwrap();
    let checks = checked["checks"].as_array().unwrap();
    assert!(
        checks.iter().any(|check| check == "pg_verifybackup"),
        "{checks:?}"
    );
    stage.done(&["receipts", "verify"]).await;
}

/// Each level leaves a receipt; a flipped byte is found, named with what it affects, and gone once it is mended.
async fn proven_and_damaged(stage: &Stage) {
    stage.done(&["backup", "verify"]).await;
    let receipts = stage.done(&["receipts", "list"]).await.value;
    let levels = |store: &str| -> Vec<String> {
        let of = receipts.as_array().unwrap().iter();
        let of = of.filter(|receipt| receipt["store"] == store);
        of.map(|receipt| receipt["level"].as_str().unwrap().to_owned())
            .collect()
    };
    for level in ["stored", "read-back", "checked"] {
        assert!(levels("ledger").iter().any(|one| one == level), "{level}");
    }
    assert!(levels("attachments").iter().any(|one| one == "restored"));
    let pack = largest(&stage.folder().join("offsite/data"));
    let good = fs::read(&pack).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 3] ^= 1;
    fs::write(&pack, &bad).unwrap();
    let found = stage.verb(&["backup", "verify", "--read-data"]).await;
    assert_eq!(found.exit, Some(1), "{}", found.why());
    let damage = &found.value["damaged"][0];
    let name = pack.file_name().unwrap().to_str().unwrap();
    assert_eq!(damage["pack"], name);
    assert!(!damage["affected"].as_array().unwrap().is_empty());
    // A copy of the repository has it whole.
    fs::write(&pack, &good).unwrap();
    copy(
        &stage.folder().join("offsite"),
        &stage.folder().join("third"),
    );
    fs::write(&pack, &bad).unwrap();
    stage
        .verb(&["backup", "verify", "--read-data", "--mend", "--yes"])
        .await;
    assert!(fs::read(&pack).unwrap() == good, "{name} is not mended");
    stage
        .done(&["backup", "verify", "--read-data", "--level", "read-back"])
        .await;
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn largest(folder: &Path) -> PathBuf {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        for file in fs::read_dir(entry.path()).unwrap().flatten() {
            all.push((file.metadata().unwrap().len(), file.path()));
        }
    }
    all.sort();
    all.pop().unwrap().1
}

/// Every file created since the last time is there; the periods join without a gap, and one that is not there is named.
async fn compared(stage: &Stage) {
    for since in [Value::Null, Value::Bool(true)] {
        stage.done(&["backup", "run", "attachments"]).await;
        let rows = stage
            .done(&["backup", "validate", "attachments"])
            .await
            .value;
        let period = &rows[0]["period"];
        assert_eq!(period["since"].is_null(), since.is_null());
        assert_eq!(period["found"]["missing"], 0);
        assert!(period["receipt"].as_u64().is_some());
    }
    stage.done(&["receipts", "verify"]).await;
    let database = stage.verb(&["backup", "validate", "ledger"]).await;
    assert_eq!(database.exit, Some(1));
}

/// One folder of a restore point, and what is wrong to ask for.
async fn parts(stage: &Stage, point: &Value) {
    let id = point["id"].as_str().unwrap();
    let first = some_file(stage, &id[..8]).await;
    let (to, other) = (stage.folder().join("out"), stage.folder().join("out2"));
    let (to, other) = (to.to_str().unwrap(), other.to_str().unwrap());
    let restore = |path: &'static str| ["backup", "restore", "attachments", "--path", path, "--to"];
    let args = [
        "backup",
        "restore",
        "attachments",
        "--point",
        &id[..12],
        "--path",
        &first,
        "--to",
        to,
    ];
    let done = stage.done(&args).await.value;
    assert_eq!(done["restored"]["missing"], 0);
    assert_eq!(fs::read_dir(to).unwrap().count(), 1);
    // A folder with something else in it is left alone.
    let again = stage.verb(&args).await;
    assert_eq!(again.exit, Some(1), "{}", again.why());
    for path in ["../../etc", "no/such/file"] {
        let mut args = restore(path).to_vec();
        args.push(other);
        let outside = stage.verb(&args).await;
        assert_eq!(outside.exit, Some(1), "{path}: {}", outside.why());
    }
    let early = [
        "backup",
        "restore",
        "ledger",
        "--in-place",
        "--at",
        "2001-01-01T00:00:00Z",
        "--yes",
    ];
    let early = stage.verb(&early).await;
    assert_eq!(early.exit, Some(3), "{}", early.why());
}

/// A file in one of the tenants' folders.
async fn some_file(stage: &Stage, id: &str) -> String {
    let shown = stage.done(&["backup", "show", id]).await.value;
    for tenant in shown["entries"].as_array().unwrap() {
        let tenant = tenant["name"].as_str().unwrap();
        let inside = stage.done(&["backup", "show", id, "--path", tenant]).await;
        if let Some(file) = inside.value["entries"][0]["name"].as_str() {
            return format!("{tenant}/{file}");
        }
    }
    panic!("no tenant has a file in {id}");
}

/// Another password opens it; the one in use stays.
async fn passwords(stage: &Stage) {
    let file = stage.folder().join("other.password");
    fs::write(&file, "another one\n").unwrap();
    let file = file.to_str().unwrap();
    let added = stage
        .done(&["backup", "keys", "add", "--password-file", file])
        .await;
    let added = added.value.as_str().unwrap().to_owned();
    let keys = stage.done(&["backup", "keys", "list"]).await.value;
    let keys = keys.as_array().unwrap();
    assert_eq!(keys.len(), 2);
    let used = keys.iter().find(|key| key["in_use"] == true).unwrap();
    let used = used["id"].as_str().unwrap();
    let refused = stage
        .verb(&["backup", "keys", "remove", used, "--yes"])
        .await;
    assert_eq!(refused.exit, Some(1), "{}", refused.why());
    stage
        .done(&["backup", "keys", "remove", &added, "--yes"])
        .await;
}

/// The mover is killed in the middle of a restore in place; whoever carries on ends it, and the application serves.
async fn in_place(stage: &Stage) {
    for pause in [5_u64, 250, 500] {
        stage.well().await;
        let verb = stage
            .world
            .start_verb(&["backup", "restore", "ledger", "--in-place", "--yes"])
            .unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(400 + pause)).await;
        if let Some(process) = verb.process() {
            process.kill();
        }
        drop(verb.end().await);
        let resumed = stage.verb(&["run", "resume"]).await;
        // It may have been over, or not have begun.
        assert!(
            matches!(resumed.exit, Some(0..=2)),
            "{:?}: {}",
            resumed.exit,
            resumed.why()
        );
        stage.serves(Site::Prod).await;
        let protected = stage.verb(&["reprotect", "dr", "--yes"]).await;
        // After a restore that never began, dr is a copy as before.
        assert!(matches!(protected.exit, Some(0 | 3)), "{}", protected.why());
    }
}
