//! Repositories that somebody with the password made to do harm: nothing is written outside, nothing is believed that
//! cannot be, nothing ends the program.

use std::{fs, path::Path, sync::Arc};

use mainstay_storage::Memory;

use crate::{
    BackupError, BlobKind, Depth, FileKind, Format, Id, Index, Lock, Quiet, Repository,
    RestoreOptions, Restored, Sharing, Snapshot, Time, check, plan_prune, restore,
    saver::with_saver,
};

fn new() -> Repository {
    Repository::init(Arc::new(Memory::default()), b"x", Format::V2).unwrap()
}

/// Puts blobs into the repository as they are.
fn save(repository: &Repository, blobs: &[(BlobKind, Vec<u8>)]) -> Vec<Id> {
    let lock = Lock::take(repository, Sharing::Shared).unwrap();
    let empty = Index::default();
    let done = with_saver(repository, &empty, &lock, &Quiet, |saver| {
        let mut hand = saver.hand()?;
        let ids = blobs.iter().map(|(kind, bytes)| hand.save(*kind, bytes));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        hand.close()?;
        Ok(ids)
    });
    done.unwrap().0
}

fn snapshot(tree: Id) -> Snapshot {
    Snapshot {
        time: Time::now(),
        parent: None,
        tree,
        paths: Vec::new(),
        hostname: String::new(),
        username: String::new(),
        uid: 0,
        gid: 0,
        tags: Vec::new(),
        excludes: Vec::new(),
        mainstay_includes: Vec::new(),
        original: None,
        program_version: String::new(),
        mainstay_missing: None,
    }
}

/// Restores a tree of these entries into a folder in a folder, and proves that the outer one has nothing else.
fn harmless(entries: &str) -> Restored {
    let repository = new();
    let ids = save(&repository, &[(BlobKind::Data, b"content".to_vec())]);
    let json = entries.replace(
        "CONTENT",
        &format!("\"content\":[\"{}\"],\"size\":7", ids[0]),
    );
    let inner = save(
        &repository,
        &[(
            BlobKind::Tree,
            format!("{{\"nodes\":[{}]}}", &json).into_bytes(),
        )],
    );
    let deeper = json.replace("TREE", &inner[0].to_string());
    let tree = save(
        &repository,
        &[(
            BlobKind::Tree,
            format!("{{\"nodes\":[{deeper}]}}").into_bytes(),
        )],
    );
    let outer = tempfile::tempdir().unwrap();
    let into = outer.path().join("into");
    let done = restore(
        &repository,
        &snapshot(tree[0]),
        &into,
        &RestoreOptions::default(),
        &Quiet,
    );
    let names: Vec<_> = fs::read_dir(outer.path())
        .unwrap()
        .map(|one| one.unwrap().file_name())
        .collect();
    assert_eq!(names, ["into"]);
    done.unwrap()
}

fn file(name: &str) -> String {
    format!("{{\"name\":{name:?},\"type\":\"file\",\"mode\":420,CONTENT}}")
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in [
        "../out",
        "..",
        ".",
        "",
        "/tmp/mainstay-hostile",
        "a/../../out",
        "a\\u0000b",
        "in/side",
    ] {
        let done = harmless(&file(name).replace("\\\\u", "\\u"));
        assert_eq!(done.missing.len(), 1, "{name:?}");
        assert!(!Path::new("/tmp/mainstay-hostile").exists());
    }
    assert!(harmless(&file("..\\\\out")).missing.len() < 2);
}

#[test]
fn nothing_is_written_through_a_link() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().display();
    let link = format!(
        "{{\"name\":\"way\",\"type\":\"symlink\",\"mode\":134218239,\"linktarget\":\"{target}\"}}"
    );
    let folder = "{\"name\":\"way\",\"type\":\"dir\",\"mode\":2147484141,\"subtree\":\"TREE\"}";
    for entries in [format!("{link},{folder}"), format!("{folder},{link}")] {
        let done = harmless(&entries);
        assert!(!done.missing.is_empty());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
    // A link that was planted before, where a folder should be.
    let repository = new();
    let ids = save(&repository, &[(BlobKind::Data, b"content".to_vec())]);
    let inner = file("planted").replace(
        "CONTENT",
        &format!("\"content\":[\"{}\"],\"size\":7", ids[0]),
    );
    let inner = save(
        &repository,
        &[(
            BlobKind::Tree,
            format!("{{\"nodes\":[{inner}]}}").into_bytes(),
        )],
    );
    let json = format!(
        "{{\"nodes\":[{}]}}",
        folder.replace("TREE", &inner[0].to_string())
    );
    let tree = save(&repository, &[(BlobKind::Tree, json.into_bytes())]);
    let into = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), into.path().join("way")).unwrap();
    for existing in [crate::Existing::Keep, crate::Existing::Mend] {
        let options = RestoreOptions {
            existing,
            ..RestoreOptions::default()
        };
        let done = restore(
            &repository,
            &snapshot(tree[0]),
            into.path(),
            &options,
            &Quiet,
        )
        .unwrap();
        assert!(!done.missing.is_empty());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}

#[test]
fn sizes_and_parts_that_are_not_true_are_listed() {
    let huge = file("huge").replace("CONTENT", "\"content\":[],\"size\":9223372036854775807");
    assert_eq!(harmless(&huge).missing.len(), 1);
    let nothing = format!("\"content\":[\"{}\"],\"size\":7", "ab".repeat(32));
    assert_eq!(
        harmless(&file("gone").replace("CONTENT", &nothing))
            .missing
            .len(),
        1
    );
    assert_eq!(
        harmless("{\"name\":\"d\",\"type\":\"dir\",\"mode\":2147484141}")
            .missing
            .len(),
        1
    );
    let twice = format!("{},{}", file("a"), file("a"));
    let done = harmless(&twice);
    assert_eq!((done.missing.len(), done.entries), (1, 1));
}

#[test]
fn trees_that_are_none_are_named_and_hinder_deleting() {
    for text in [
        "",
        "{",
        "[]",
        "{\"nodes\":[{}]}",
        "{\"nodes\":[{\"name\":\"a\",\"type\":\"file\",\"size\":-1}]}",
        "{\"nodes\":[{\"name\":\"a\",\"type\":\"odd\"}]}",
    ] {
        let repository = new();
        let tree = save(&repository, &[(BlobKind::Tree, text.as_bytes().to_vec())]);
        repository
            .write_json(FileKind::Snapshot, &snapshot(tree[0]))
            .unwrap();
        let checked = check(&repository, Depth::Structure, &Quiet).unwrap();
        assert!(!checked.is_sound(), "{text}");
        let refused = plan_prune(&repository).unwrap_err();
        assert_eq!(refused.code(), "prune-refused", "{text}");
        let into = tempfile::tempdir().unwrap();
        let options = RestoreOptions::default();
        let done = restore(
            &repository,
            &snapshot(tree[0]),
            into.path(),
            &options,
            &Quiet,
        )
        .unwrap();
        assert_eq!(done.missing.len(), 1, "{text}");
    }
}

#[test]
fn an_index_that_promises_too_much_is_found_out() {
    let repository = new();
    let ids = save(&repository, &[(BlobKind::Data, vec![b'a'; 9000])]);
    let (index, _) = repository.list(FileKind::Index).unwrap()[0];
    let listed = repository.index_file(index).unwrap();
    for change in 0..4 {
        let mut changed = listed.clone();
        let entry = &mut changed[0].1[0];
        match change {
            0 => entry.raw = u32::MAX,
            1 => entry.raw = 8999,
            2 => entry.length = u32::MAX,
            _ => entry.offset = u32::MAX,
        }
        let mut lying = crate::index::Gathered::default();
        lying.add(changed[0].0, changed[0].1.iter().copied());
        let lying = lying.index();
        let read = repository.blob(&lying, BlobKind::Data, ids[0]);
        let known = matches!(
            read,
            Err(BackupError::BadBlob { .. } | BackupError::Storage(_))
        );
        assert!(known, "{change}: {read:?}");
    }
}

#[test]
fn locks_exclude_each_other() {
    let repository = new();
    let shared = Lock::take(&repository, Sharing::Shared).unwrap();
    let second = Lock::take(&repository, Sharing::Shared).unwrap();
    let refused = Lock::take(&repository, Sharing::Exclusive).unwrap_err();
    assert_eq!(refused.code(), "repository-locked");
    drop((shared, second));
    let alone = Lock::take(&repository, Sharing::Exclusive).unwrap();
    assert!(Lock::take(&repository, Sharing::Shared).is_err());
    alone.check().unwrap();
    drop(alone);
    assert!(repository.list(FileKind::Lock).unwrap().is_empty());
}
