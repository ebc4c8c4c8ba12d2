//! Every call to the container fails once, every byte changes once: nothing is lost silently, no snapshot claims more
//! than is there, and what was whole before stays whole.

#![expect(clippy::unwrap_used, reason = "a test harness that fails loudly")]

#[path = "../common/tree.rs"]
mod tree;

use std::{path::Path, sync::Arc};

use mainstay_backup::{
    BackupError, BackupOptions, Depth, Files, Finished, Format, Id, Quiet, Repository,
    RestoreOptions, Restored, backup, check, plan_prune, prune, restore,
};
use mainstay_storage::{Failure, Faulty, FaultyOp, Memory, ObjectName, Part, Storage};
use tree::{noise, seen};

const PASSWORD: &str = "correct horse";

type Held = Arc<Memory>;

fn plant(root: &Path, turn: u64) {
    std::fs::create_dir_all(root.join("in/side")).unwrap();
    std::fs::write(root.join("first"), noise(turn, 3000)).unwrap();
    std::fs::write(root.join("in/same"), noise(77, 900)).unwrap();
    std::fs::write(
        root.join("in/side/text"),
        format!("turn {turn} ").repeat(99),
    )
    .unwrap();
    std::os::unix::fs::symlink("first", root.join(format!("link {turn}"))).unwrap();
}

fn new() -> (Held, Repository) {
    let storage = Arc::new(Memory::default());
    let held: Arc<dyn Storage> = Arc::<Memory>::clone(&storage);
    (
        storage,
        Repository::init(held, PASSWORD.as_bytes(), Format::V2).unwrap(),
    )
}

fn back_up(repository: &Repository, source: &Path) -> Result<Finished, BackupError> {
    let files = Files::new(source).unwrap();
    backup(repository, &files, &BackupOptions::default(), &Quiet)
}

fn put_back(repository: &Repository, id: Id, source: &Path, into: &Path) -> Restored {
    let options = RestoreOptions {
        path: Some(source.to_path_buf()),
        ..RestoreOptions::default()
    };
    let snapshot = repository.snapshot(id).unwrap();
    restore(repository, &snapshot, into, &options, &Quiet).unwrap()
}

/// Every snapshot comes back whole, and equals what it was made of.
fn assert_whole(repository: &Repository, source: &Path, made: &[(Id, String)]) {
    for (id, _) in repository.snapshots().unwrap() {
        let into = tempfile::tempdir().unwrap();
        let done = put_back(repository, id, source, into.path());
        assert_eq!(done.missing, []);
        let (_, then) = made.iter().find(|(one, _)| *one == id).unwrap();
        assert_eq!(&format!("{:?}", seen(into.path())), then);
    }
}

fn shown(source: &Path) -> String {
    format!("{:?}", seen(source))
}

/// Runs some work with the N-th call failing, for every N until no call fails any more.
fn with_every_fault(
    held: &Held,
    failure: Failure,
    mut work: impl FnMut(u64, Arc<dyn Storage>, &dyn Fn() -> Held),
) {
    for number in 0.. {
        assert!(number < 500, "the work never ends");
        let faulty = Arc::new(Faulty::new(
            Memory::clone(held),
            FaultyOp::Any,
            number,
            failure,
        ));
        // What is left is looked at as if the process had ended: its locks are nobody's any more.
        let after = || {
            let left = Arc::new(faulty.inner().clone());
            let locks = left.list(&ObjectName::new("locks").unwrap()).unwrap();
            let locks: Vec<_> = locks.into_iter().map(|lock| lock.name).collect();
            left.delete(&locks).unwrap();
            left
        };
        work(number, Arc::<Faulty<Memory>>::clone(&faulty), &after);
        if faulty.calls() <= number {
            break;
        }
    }
}

#[test]
fn a_backup_survives_every_fault() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let (held, repository) = new();
    plant(&source, 1);
    let first = back_up(&repository, &source).unwrap().id;
    let before = (first, shown(&source));
    plant(&source, 2);
    let now = shown(&source);
    for failure in [
        Failure::Before,
        Failure::After,
        Failure::Torn,
        Failure::Gone,
    ] {
        let mut failed = 0;
        with_every_fault(&held, failure, |number, faulty, after| {
            let done = back_up(&repository.on(faulty), &source);
            failed += u64::from(done.is_err());
            let left = repository.on(after());
            let mut made = vec![before.clone()];
            // One that was written although its answer was lost counts too.
            let others = left.snapshots().into_iter().flatten().map(|(id, _)| id);
            made.extend(others.filter(|id| *id != first).map(|id| (id, now.clone())));
            if let Ok(done) = &done {
                assert!(
                    made.iter().any(|(id, _)| *id == done.id),
                    "{failure:?} {number}"
                );
            }
            let checked = check(&left, Depth::ReadData, &Quiet);
            if failure == Failure::Torn && done.is_err() {
                // The container broke its word: a torn index or snapshot is damage, and is seen.
                let sound = checked.is_ok_and(|checked| checked.is_sound());
                if !sound {
                    return;
                }
            } else {
                let checked = checked.unwrap();
                assert!(
                    checked.is_sound(),
                    "{failure:?} {number}: {:?}",
                    checked.findings
                );
            }
            assert_whole(&left, &source, &made);
            // The next one works again, and uses what is there.
            let next = back_up(&left, &source).unwrap();
            assert_eq!(next.problems, []);
            assert!(check(&left, Depth::ReadData, &Quiet).unwrap().is_sound());
        });
        assert!(failed > 5, "{failure:?}: {failed}");
    }
}

#[test]
fn a_prune_survives_every_fault() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let (held, repository) = new();
    let mut made = Vec::new();
    for turn in 1..=3 {
        plant(&source, turn);
        made.push((back_up(&repository, &source).unwrap().id, shown(&source)));
    }
    repository.forget(&[made[0].0]).unwrap();
    made.remove(0);
    let plan = plan_prune(&repository).unwrap();
    assert!(!plan.is_empty());
    for failure in [
        Failure::Before,
        Failure::After,
        Failure::Torn,
        Failure::Gone,
    ] {
        with_every_fault(&held, failure, |number, faulty, after| {
            let done = prune(&repository.on(faulty), &plan, &Quiet);
            let left = repository.on(after());
            let torn = failure == Failure::Torn && done.is_err();
            if torn && left.index().is_err() {
                return;
            }
            let checked = check(&left, Depth::ReadData, &Quiet).unwrap();
            assert!(
                checked.is_sound(),
                "{failure:?} {number}: {:?}",
                checked.findings
            );
            assert_whole(&left, &source, &made);
            // What was left half done is finished by the next.
            prune(&left, &plan_prune(&left).unwrap(), &Quiet).unwrap();
            let checked = check(&left, Depth::ReadData, &Quiet).unwrap();
            assert!(
                checked.findings.is_empty(),
                "{failure:?} {number}: {:?}",
                checked.findings
            );
            assert_whole(&left, &source, &made);
        });
    }
}

#[test]
fn a_restore_lists_exactly_what_every_fault_took() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let (held, repository) = new();
    plant(&source, 1);
    let made = back_up(&repository, &source).unwrap();
    let all = seen(&source);
    let mut partial = 0;
    with_every_fault(&held, Failure::Gone, |number, faulty, _| {
        let into = tempfile::tempdir().unwrap();
        let options = RestoreOptions {
            path: Some(source.clone()),
            ..RestoreOptions::default()
        };
        let faulty = repository.on(faulty);
        let Ok(done) = restore(&faulty, &made.snapshot, into.path(), &options, &Quiet) else {
            return;
        };
        partial += u64::from(!done.missing.is_empty());
        let there = seen(into.path());
        for (path, text) in &all {
            let listed = done
                .missing
                .iter()
                .any(|one| Path::new("/").join(path).starts_with(&one.path));
            let same = there.get(path) == Some(text);
            assert!(
                same || listed,
                "{number}: {} is silently missing",
                path.display()
            );
        }
    });
    assert!(partial > 0);
}

fn objects(held: &Held) -> Vec<(ObjectName, Vec<u8>)> {
    let mut names = vec![ObjectName::new("config").unwrap()];
    for folder in ["keys", "data", "index", "snapshots"] {
        let listed = held.list(&ObjectName::new(folder).unwrap()).unwrap();
        names.extend(listed.into_iter().map(|object| object.name));
    }
    let bytes = |name: ObjectName| {
        let mut bytes = Vec::new();
        held.read(&name, Part::Whole, &mut bytes).unwrap();
        (name, bytes)
    };
    names.into_iter().map(bytes).collect()
}

/// Whether a check sees that something is wrong.
fn is_seen(repository: &Repository, held: &Held) -> bool {
    let there: Arc<dyn Storage> = Arc::new(Memory::clone(held));
    let checked = check(&repository.on(there), Depth::ReadData, &Quiet);
    !checked.is_ok_and(|checked| checked.is_sound())
}

#[test]
fn every_changed_byte_and_every_truncation_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let (held, repository) = new();
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), noise(5, 300)).unwrap();
    back_up(&repository, &source).unwrap();
    assert!(!is_seen(&repository, &held));
    let all = objects(&held);
    assert!(all.len() >= 6);
    for (name, bytes) in &all {
        for at in 0..bytes.len() {
            let changed: Held = Arc::new(Memory::clone(&held));
            let mut other = bytes.clone();
            other[at] ^= 1 << (at % 8);
            changed.write(name, &other).unwrap();
            assert!(is_seen(&repository, &changed), "{name}, byte {at}");
        }
        for length in (0..bytes.len()).step_by(5) {
            let shorter: Held = Arc::new(Memory::clone(&held));
            shorter.write(name, &bytes[..length]).unwrap();
            assert!(is_seen(&repository, &shorter), "{name}, {length} bytes");
        }
        // A snapshot that is gone is one that was forgotten; anything else is missed.
        let gone: Held = Arc::new(Memory::clone(&held));
        gone.delete(std::slice::from_ref(name)).unwrap();
        let snapshot = name.as_str().starts_with("snapshots");
        assert_eq!(is_seen(&repository, &gone), !snapshot, "{name} gone");
    }
}

#[test]
fn a_repository_opens_as_itself_or_not_at_all() {
    let (held, repository) = new();
    let mut refused = 0;
    for (name, bytes) in objects(&held) {
        // Each try with a sound key costs as much as a guess at the password; a key that is not sound costs nothing.
        let step = if name.as_str() == "config" { 23 } else { 1 };
        let flipped = (0..bytes.len()).step_by(step).map(|at| {
            let mut other = bytes.clone();
            other[at] ^= 1 << (at % 8);
            other
        });
        let cut = (0..bytes.len()).step_by(step);
        let cut = cut.map(|length| bytes[..length].to_vec());
        for other in flipped.chain(cut) {
            let changed: Held = Arc::new(Memory::clone(&held));
            changed.write(&name, &other).unwrap();
            match Repository::open(changed, PASSWORD.as_bytes()) {
                Ok(opened) => assert_eq!(opened.id(), repository.id()),
                Err(error) => {
                    assert_eq!(error.code(), "repository-damaged", "{name}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 800, "{refused}");
}

#[test]
fn what_a_damaged_pack_takes_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let (held, repository) = new();
    plant(&source, 1);
    let made = back_up(&repository, &source).unwrap();
    let packs: Vec<_> = objects(&held)
        .into_iter()
        .filter(|(name, _)| name.as_str().starts_with("data"))
        .collect();
    let mut named = 0;
    for (name, bytes) in packs {
        let mut other = bytes.clone();
        other[20] ^= 1;
        held.write(&name, &other).unwrap();
        let checked = check(&repository, Depth::ReadData, &Quiet).unwrap();
        assert_eq!(checked.damaged_packs.len(), 1);
        assert!(
            name.as_str()
                .ends_with(&checked.damaged_packs.first().unwrap().to_string())
        );
        assert!(checked.affected.iter().all(|one| one.snapshot == made.id));
        named += checked.affected.len();
        assert!(plan_prune(&repository).is_ok() || checked.affected.len() == 1);
        held.write(&name, &bytes).unwrap();
    }
    assert!(named >= 2, "{named}");
}

#[test]
fn wrong_passwords_and_endless_keys_are_refused() {
    let (held, repository) = new();
    let storage = || -> Arc<dyn Storage> { Arc::new(Memory::clone(&held)) };
    let code = |password: &[u8]| Repository::open(storage(), password).unwrap_err().code();
    assert_eq!(code(b"wrong"), "wrong-password");
    assert_eq!(
        Repository::init(storage(), b"x", Format::V2)
            .unwrap_err()
            .code(),
        "repository-exists"
    );
    let empty: Arc<dyn Storage> = Arc::new(Memory::default());
    assert_eq!(
        Repository::open(empty, b"x").unwrap_err().code(),
        "no-repository"
    );
    assert_eq!(
        repository
            .remove_key(repository.key_id())
            .unwrap_err()
            .code(),
        "key-needed"
    );

    let name = ObjectName::new(format!("keys/{}", repository.key_id())).unwrap();
    let mut text = Vec::new();
    held.read(&name, Part::Whole, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    held.delete(&[name]).unwrap();
    for (from, to) in [
        ("\"N\":32768", "\"N\":1073741824"),
        ("\"N\":32768", "\"N\":32767"),
        ("\"r\":8", "\"r\":4294967295"),
        ("\"p\":3", "\"p\":4000000000"),
        ("\"p\":3", "\"p\":0"),
        ("scrypt", "none"),
    ] {
        let hostile = text.replacen(from, to, 1);
        assert_ne!(hostile, text);
        let name = format!("keys/{}", Id::of(hostile.as_bytes()));
        let name = ObjectName::new(name).unwrap();
        held.write(&name, hostile.as_bytes()).unwrap();
        assert_eq!(code(PASSWORD.as_bytes()), "key-refused", "{to}");
        held.delete(&[name]).unwrap();
    }
}
