//! Stock restic reads what is written here, and what it wrote is read here.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test harness that fails loudly and says what it leaves out"
)]

mod planted;
mod program;
#[path = "../common/tree.rs"]
mod tree;

use std::{fs, path::Path, sync::Arc};

use mainstay_backup::{
    BackupOptions, Files, Finished, Format, Quiet, Repository, RestoreOptions, Restored, Snapshot,
    Stream, backup, restore,
};
use mainstay_storage::{Failure, Faulty, FaultyOp, Local};
use planted::plant;
use program::{PASSWORD, Restic};
use tree::{noise, seen};

fn init(path: &Path, format: Format) -> Repository {
    let storage = Arc::new(Local::create(path).unwrap());
    Repository::init(storage, PASSWORD.as_bytes(), format).unwrap()
}

fn open(path: &Path) -> Repository {
    let storage = Arc::new(Local::open(path).unwrap());
    Repository::open(storage, PASSWORD.as_bytes()).unwrap()
}

fn back_up(repository: &Repository, source: &Path) -> Finished {
    let files = Files::new(source).unwrap();
    let done = backup(repository, &files, &BackupOptions::default(), &Quiet).unwrap();
    assert_eq!(done.problems, []);
    done
}

fn put_back(repository: &Repository, snapshot: &Snapshot, path: &Path, into: &Path) -> Restored {
    let options = RestoreOptions {
        path: Some(path.to_path_buf()),
        ..RestoreOptions::default()
    };
    let done = restore(repository, snapshot, into, &options, &Quiet).unwrap();
    assert_eq!(done.missing, []);
    done
}

fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (seen(a), seen(b));
    for (path, text) in &a {
        assert_eq!(Some(text), b.get(path), "{}", path.display());
    }
    assert_eq!(a.len(), b.len());
}

#[test]
fn restic_checks_and_restores_what_was_written_here() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Some(restic) = Restic::on(&at("repository")) else {
        return;
    };
    for format in [Format::V1, Format::V2] {
        let _ = fs::remove_dir_all(at("repository"));
        let _ = fs::remove_dir_all(at("source"));
        let _ = fs::remove_dir_all(at("restored"));
        plant(&at("source"));
        let repository = init(&at("repository"), format);
        back_up(&repository, &at("source"));
        restic.check();
        restic.run(&[
            "restore",
            "latest",
            "--target",
            at("restored").to_str().unwrap(),
        ]);
        let inside = at("restored").join(at("source").strip_prefix("/").unwrap());
        assert_same(&at("source"), &inside);
    }
}

#[test]
fn what_restic_wrote_is_restored_here() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Some(restic) = Restic::on(&at("repository")) else {
        return;
    };
    plant(&at("source"));
    for version in ["1", "2"] {
        let _ = fs::remove_dir_all(at("repository"));
        let _ = fs::remove_dir_all(at("restored"));
        restic.run(&["init", "--repository-version", version]);
        restic.run(&["backup", at("source").to_str().unwrap()]);
        let repository = open(&at("repository"));
        assert_eq!(repository.version().to_string(), version);
        let (_, snapshot) = repository.find_snapshot("latest").unwrap();
        put_back(&repository, &snapshot, &at("source"), &at("restored"));
        assert_same(&at("source"), &at("restored"));
    }
}

#[test]
fn both_write_one_repository_in_turns() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Some(restic) = Restic::on(&at("repository")) else {
        return;
    };
    let source = at("source");
    plant(&source);
    restic.run(&["init"]);
    let mut times = Vec::new();
    for turn in 0..4_u64 {
        fs::write(source.join(format!("turn {turn}")), noise(turn, 700_000)).unwrap();
        fs::write(source.join("text"), format!("changed {turn}")).unwrap();
        // Both take what is unchanged from the other's snapshot; a file that has just changed is read again.
        std::thread::sleep(std::time::Duration::from_millis(60));
        if turn % 2 == 0 {
            restic.run(&["backup", source.to_str().unwrap()]);
        } else {
            let done = back_up(&open(&at("repository")), &source);
            assert!(done.unchanged > 150, "{done:?}");
            assert!(done.stored.plain_bytes < 1_500_000, "{done:?}");
        }
        times.push(seen(&source));
    }
    restic.check();
    let repository = open(&at("repository"));
    let snapshots = repository.snapshots().unwrap();
    assert_eq!(snapshots.len(), 4);
    for ((id, snapshot), then) in snapshots.iter().zip(&times) {
        let mine = at(&format!("mine {id}"));
        put_back(&repository, snapshot, &source, &mine);
        assert_eq!(&seen(&mine), then);
        let theirs = at(&format!("theirs {id}"));
        restic.run(&[
            "restore",
            &id.to_string(),
            "--target",
            theirs.to_str().unwrap(),
        ]);
        assert_eq!(&seen(&theirs.join(source.strip_prefix("/").unwrap())), then);
    }
}

#[test]
fn restic_reads_its_keys_and_ours() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Some(restic) = Restic::on(&at("repository")) else {
        return;
    };
    let storage = || Arc::new(Local::create(&at("repository")).unwrap());
    let first = Repository::init(storage(), b"first", Format::V2).unwrap();
    first.add_key(PASSWORD.as_bytes()).unwrap();
    assert!(restic.run(&["key", "list"]).lines().count() > 3);
    let second = open(&at("repository"));
    second.remove_key(first.key_id()).unwrap();
    assert_eq!(second.keys().unwrap().len(), 1);
    assert!(Repository::open(storage(), b"first").is_err());
    let third = second.change_password(b"third").unwrap();
    assert_eq!(third.keys().unwrap().len(), 1);
    assert!(!restic.try_run(&["snapshots"]).status.success());
}

#[test]
fn a_stream_is_kept_only_if_its_writer_ended_well() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Some(restic) = Restic::on(&at("repository")) else {
        return;
    };
    let repository = init(&at("repository"), Format::V2);
    let run = |script: &str| {
        let mut child = std::process::Command::new("sh")
            .args(["-c", script])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let verdict = move || match child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(status.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let stream = Stream::new("dump.sql", output, verdict);
        backup(&repository, &stream, &BackupOptions::default(), &Quiet)
    };
    let failed = run("echo half; exit 3").unwrap_err();
    assert_eq!(failed.code(), "stream-not-whole");
    assert!(repository.snapshots().unwrap().is_empty());
    let done = run("for i in 1 2 3; do echo line $i; sleep 0.01; done").unwrap();
    assert_eq!(done.bytes, 21);
    assert_eq!(
        restic.run(&["dump", "latest", "/dump.sql"]),
        "line 1\nline 2\nline 3\n"
    );
    restic.check();
}

#[test]
fn restic_finds_nothing_wrong_after_a_crash_at_any_write() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Some(restic) = Restic::on(&at("repository")) else {
        return;
    };
    fs::create_dir_all(at("source/in")).unwrap();
    fs::write(at("source/in/file"), noise(1, 600_000)).unwrap();
    let repository = init(&at("repository"), Format::V2);
    back_up(&repository, &at("source"));
    let files = Files::new(&at("source")).unwrap();
    for number in 0.. {
        assert!(number < 50, "the backup never ends");
        fs::write(at("source/in/other"), noise(number + 2, 600_000)).unwrap();
        let local = Local::open(&at("repository")).unwrap();
        let crashing = Faulty::new(local, FaultyOp::Write, number, Failure::Gone);
        let crashing = repository.on(Arc::new(crashing));
        let done = backup(&crashing, &files, &BackupOptions::default(), &Quiet);
        // The process that held a lock is this one, and it lives; a real one would be gone with its lock.
        let text = restic.run(&["--no-lock", "check", "--read-data"]);
        assert!(text.contains("no errors were found"), "{number}: {text}");
        if let Ok(done) = done {
            let (id, snapshot) = repository.find_snapshot("latest").unwrap();
            assert_eq!(id, done.id);
            put_back(&repository, &snapshot, &at("source"), &at("restored"));
            assert_same(&at("source"), &at("restored"));
            assert!(number > 3, "{number}");
            break;
        }
    }
}
