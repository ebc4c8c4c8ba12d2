//! A whole round on real servers: a repository is made, written twice, checked, restored, pruned and checked again.
//! Stock restic reads what is left.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test harness that fails loudly and says what it leaves out"
)]

#[path = "../../storage/tests/common/servers.rs"]
mod servers;
#[path = "common/tree.rs"]
mod tree;

use std::{fs, path::Path, process::Command, sync::Arc};

use mainstay_backup::{
    BackupOptions, Depth, Files, Finished, Format, Quiet, Repository, RestoreOptions, backup,
    check, plan_prune, prune, restore,
};
use mainstay_storage::{
    Failure, Faulty, FaultyOp, Missing, Options, Patience, Patient, Storage, open,
};
use servers::{Server, Sshd};
use tree::{noise, seen};

const PASSWORD: &str = "correct horse";

fn plant(root: &Path) {
    fs::create_dir_all(root.join("many/deep")).unwrap();
    for number in 0..200 {
        fs::write(root.join(format!("many/{number}")), noise(number, 2000)).unwrap();
    }
    fs::write(
        root.join("many/deep/text"),
        "the same again. ".repeat(50_000),
    )
    .unwrap();
    // More than one pack.
    fs::write(root.join("large"), noise(999, 20_000_000)).unwrap();
}

fn back_up(repository: &Repository, source: &Path) -> Finished {
    let files = Files::new(source).unwrap();
    let done = backup(repository, &files, &BackupOptions::default(), &Quiet).unwrap();
    assert_eq!(done.problems, []);
    done
}

fn comes_back(repository: &Repository, done: &Finished, source: &Path) {
    let into = tempfile::tempdir().unwrap();
    let options = RestoreOptions {
        path: Some(source.to_path_buf()),
        ..RestoreOptions::default()
    };
    let target = into.path().join("restored");
    let restored = restore(repository, &done.snapshot, &target, &options, &Quiet).unwrap();
    assert_eq!(restored.missing, []);
    assert_eq!(seen(source), seen(&target));
}

fn is_clean(repository: &Repository) {
    let checked = check(repository, Depth::ReadData, &Quiet).unwrap();
    assert_eq!(checked.findings, []);
    assert!(checked.bytes_read > 0);
}

/// Everything that is done with a repository, each time through a container that was opened anew.
fn round(url: &str, options: &Options, source: &Path) -> Finished {
    plant(source);
    let reopen = || Repository::open(open(url, options).unwrap(), PASSWORD.as_bytes()).unwrap();
    Repository::init(open(url, options).unwrap(), PASSWORD.as_bytes(), Format::V2).unwrap();
    let again = Repository::init(open(url, options).unwrap(), PASSWORD.as_bytes(), Format::V2);
    assert_eq!(again.unwrap_err().code(), "repository-exists");

    let first = back_up(&reopen(), source);
    assert!(first.stored.packs > 1, "{:?}", first.stored);
    comes_back(&reopen(), &first, source);
    fs::write(source.join("large"), noise(1000, 3_000_000)).unwrap();
    fs::remove_file(source.join("many/7")).unwrap();
    let second = back_up(&reopen(), source);
    assert!(second.unchanged >= 199, "{second:?}");
    is_clean(&reopen());
    comes_back(&reopen(), &second, source);

    let repository = reopen();
    repository.forget(&[first.id]).unwrap();
    let plan = plan_prune(&repository).unwrap();
    assert!(plan.frees > 10_000_000, "{plan:?}");
    assert!(prune(&repository, &plan, &Quiet).unwrap().packs > 0);
    is_clean(&reopen());
    comes_back(&reopen(), &second, source);
    second
}

#[test]
fn a_round_on_s3_that_restic_reads() {
    let Some(server) = Server::s3() else {
        return;
    };
    server.make_bucket("offsite");
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    round("s3://offsite/orders", &server.s3_options(), &source);

    let restic = |arguments: &[&str]| {
        Command::new("restic")
            .args(["--no-cache", "--repo"])
            .arg(format!("s3:http://{}/offsite/orders", server.address()))
            .args(arguments)
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("AWS_ACCESS_KEY_ID", "mainstay")
            .env("AWS_SECRET_ACCESS_KEY", "nothing is behind it")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .output()
    };
    if restic(&["version"]).is_err() {
        println!("skipped: restic is not installed (Debian: restic)");
        return;
    }
    let checked = restic(&["check", "--read-data"]).unwrap();
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(text.contains("no errors were found"), "{text}{checked:?}");
    let target = folder.path().join("restored");
    let restored = restic(&["restore", "latest", "--target", target.to_str().unwrap()]).unwrap();
    assert!(restored.status.success(), "{restored:?}");
    let inside = target.join(source.strip_prefix("/").unwrap());
    assert_eq!(seen(&source), seen(&inside));
}

#[test]
fn a_round_on_a_server_with_ssh_that_restic_reads() {
    let Some(server) = Sshd::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let options = server.options().missing(Missing::Make);
    round(&server.url("offsite"), &options, &source);
    // What lies there is a repository like any other.
    let checked = Command::new("restic")
        .args(["--no-cache", "check", "--read-data", "--repo"])
        .arg(server.path("offsite"))
        .env("RESTIC_PASSWORD", PASSWORD)
        .output();
    let Ok(checked) = checked else {
        println!("skipped: restic is not installed (Debian: restic)");
        return;
    };
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(text.contains("no errors were found"), "{text}{checked:?}");
}

#[test]
fn a_round_on_azure() {
    let Some(server) = Server::azure() else {
        return;
    };
    server.make_container("offsite");
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    round("azblob://offsite/orders", &server.azure_options(), &source);
}

#[test]
fn answers_that_are_lost_cost_a_bucket_nothing() {
    let Some(server) = Server::s3() else {
        return;
    };
    server.make_bucket("offsite");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), noise(5, 5000)).unwrap();
    let bucket = open("s3://offsite", &server.s3_options()).unwrap();
    // Each write in turn is done and its answer is lost, or is not done: nobody notices.
    for at in 0..5 {
        for failure in [Failure::Before, Failure::After] {
            let faulty = Faulty::new(Arc::clone(&bucket), FaultyOp::Write, at, failure);
            let patience = Patience {
                first: std::time::Duration::ZERO,
                ..Patience::default()
            };
            let storage: Arc<dyn Storage> = Arc::new(Patient::new(faulty, patience));
            let repository = Repository::init(storage, PASSWORD.as_bytes(), Format::V2).unwrap();
            let done = back_up(&repository, folder.path());
            let plain = Repository::open(Arc::clone(&bucket), PASSWORD.as_bytes()).unwrap();
            is_clean(&plain);
            comes_back(&plain, &done, folder.path());
            empty(&*bucket);
        }
    }
}

fn empty(bucket: &dyn Storage) {
    let name = |text: &str| mainstay_storage::ObjectName::new(text).unwrap();
    for folder in ["data", "index", "keys", "locks", "snapshots"] {
        let listed = bucket.list(&name(folder)).unwrap();
        let names: Vec<_> = listed.into_iter().map(|object| object.name).collect();
        bucket.delete(&names).unwrap();
    }
    bucket.delete(&[name("config")]).unwrap();
}
