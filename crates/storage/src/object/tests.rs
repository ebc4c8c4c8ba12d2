//! What only a folder can get wrong, and what the decorators do. What every container promises is tried in
//! `tests/containers`.

use std::{fs, os::unix::fs::symlink};

use super::{Failure, Faulty, FaultyOp, Local, Memory, ObjectName, Part, Storage, StorageError};

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn names(storage: &dyn Storage, folder: &str) -> Vec<String> {
    let listed = storage.list(&name(folder)).unwrap();
    listed.into_iter().map(|one| one.name.to_string()).collect()
}

#[test]
fn names_cannot_lead_out() {
    for bad in [
        "", "/", "/a", "a/", "a//b", "..", "a/../b", "a/.", "a\0", "a b", "ä",
    ] {
        assert!(ObjectName::new(bad).is_err(), "{bad:?}");
    }
    assert!(!name("database").is_below(&name("data")));
}

#[test]
fn a_link_in_a_folder_leads_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    fs::create_dir_all(outside.join("deep")).unwrap();
    fs::write(outside.join("deep/secret"), "secret").unwrap();
    let local = Local::create(&folder.path().join("repository")).unwrap();
    symlink(&outside, folder.path().join("repository/data")).unwrap();
    symlink(
        outside.join("deep/secret"),
        folder.path().join("repository/config"),
    )
    .unwrap();

    let mut bytes = Vec::new();
    assert!(
        local
            .read(&name("config"), Part::Whole, &mut bytes)
            .is_err()
    );
    let inside = name("data/deep/secret");
    assert!(local.read(&inside, Part::Whole, &mut bytes).is_err());
    assert!(local.write(&inside, b"changed").is_err());
    assert!(local.delete(&[inside]).is_err());
    assert!(local.list(&name("data")).is_err());
    let kept = fs::read_to_string(outside.join("deep/secret")).unwrap();
    assert_eq!(kept, "secret");
}

#[test]
fn a_folder_that_cannot_be_read_is_an_error_and_no_short_list() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::create(folder.path()).unwrap();
    local.write(&name("data/00/a"), b"x").unwrap();
    // A file in a folder's place: what should lie below it cannot be told.
    fs::write(folder.path().join("index"), "no folder").unwrap();
    let listed = local.list(&name("index"));
    assert!(
        matches!(listed, Err(StorageError::List { .. })),
        "{listed:?}"
    );
}

#[test]
fn an_object_that_grows_is_none_before_it_has_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::create(folder.path()).unwrap();
    let mut growing = local.begin().unwrap().unwrap();
    growing.append(b"one ").unwrap();
    growing.append(b"two").unwrap();
    assert!(names(&local, "data").is_empty());
    growing.finish(&name("data/a")).unwrap();
    let mut bytes = Vec::new();
    local
        .read(&name("data/a"), Part::Whole, &mut bytes)
        .unwrap();
    assert_eq!(bytes, b"one two");
    local.begin().unwrap().unwrap().append(b"never").unwrap();
    assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
    assert!(Memory::default().begin().unwrap().is_none());
}

#[test]
fn what_was_not_finished_is_no_object() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::create(folder.path()).unwrap();
    local.write(&name("keys/a"), b"x").unwrap();
    let left = format!("tmp/mainstay-{}-1", std::process::id());
    fs::write(folder.path().join(left), "half").unwrap();
    local.write(&name("keys/b"), b"y").unwrap();
    assert_eq!(names(&local, "keys"), ["keys/a", "keys/b"]);
}

#[test]
fn a_fault_strikes_once_and_as_told() {
    let a = name("data/a");
    let before = Faulty::new(Memory::default(), FaultyOp::Write, 0, Failure::Before);
    assert_eq!(
        before.write(&a, b"1234").unwrap_err().code(),
        "object-not-written"
    );
    assert!(before.list(&name("data")).unwrap().is_empty());
    before.write(&a, b"1234").unwrap();

    let after = Faulty::new(Memory::default(), FaultyOp::Write, 0, Failure::After);
    assert_eq!(
        after.write(&a, b"1234").unwrap_err().code(),
        "object-outcome-unknown"
    );
    assert_eq!(after.list(&name("data")).unwrap()[0].size, 4);

    let torn = Faulty::new(Memory::default(), FaultyOp::Any, 1, Failure::Torn);
    assert!(torn.list(&name("data")).unwrap().is_empty());
    assert!(torn.write(&a, b"1234").is_err());
    assert_eq!(torn.list(&name("data")).unwrap()[0].size, 2);

    let gone = Faulty::new(Memory::default(), FaultyOp::Any, 1, Failure::Gone);
    gone.flush().unwrap();
    assert!(gone.list(&name("data")).is_err() && gone.flush().is_err());
}
