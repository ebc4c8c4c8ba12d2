//! Copies of real trees: equal afterwards whatever was there before, never outside, never on a doubtful listing.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use crate::{Copied, Deletes, Gate, Hashes, Tree, TreeError, copy, take};
use proptest::prelude::*;

/// Lets so many batches pass.
struct Batches(usize);

impl Gate for Batches {
    type Pass = ();

    fn pass(&mut self) -> Result<(), TreeError> {
        if self.0 == 0 {
            let why = "the gate is closed".to_owned();
            return Err(TreeError::Stopped { why });
        }
        self.0 -= 1;
        Ok(())
    }
}

fn mirror(from: &Path, to: &Path, hashes: &Hashes) -> Result<Copied, TreeError> {
    let (from, to) = (Tree::open(from).unwrap(), Tree::create(to).unwrap());
    copy(
        &from,
        &to,
        Deletes::Mirror,
        hashes,
        &mut Batches(usize::MAX),
    )
}

fn digest(path: &Path) -> String {
    take(&Tree::open(path).unwrap(), &Hashes::default())
        .unwrap()
        .digest()
}

fn put(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Two folders `a` and `b` in a temporary one.
fn two() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    fs::create_dir(&a).unwrap();
    fs::create_dir(&b).unwrap();
    (folder, a, b)
}

#[test]
fn a_copy_equals_its_source_and_a_second_one_writes_nothing() {
    let (_folder, a, b) = two();
    put(&a, "x/y/deep.txt", "deep");
    put(&a, "plain", "plain");
    fs::create_dir(a.join("empty")).unwrap();
    fs::set_permissions(a.join("plain"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(a.join("empty"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("/etc/passwd", a.join("link")).unwrap();
    put(&b, "gone/with/all", "old");
    put(&b, "x", "a file where a folder has to be");
    fs::create_dir_all(b.join("plain/inner")).unwrap();

    let hashes = Hashes::default();
    let first = mirror(&a, &b, &hashes).unwrap();
    assert_eq!(first.manifest.digest(), digest(&a));
    assert_eq!(digest(&b), digest(&a));
    assert_eq!(
        fs::read_link(b.join("link")).unwrap(),
        Path::new("/etc/passwd")
    );
    let time = |root: &Path| fs::metadata(root.join("plain")).unwrap().mtime_nsec();
    assert_eq!(time(&a), time(&b));
    let second = mirror(&a, &b, &hashes).unwrap();
    assert_eq!((second.written, second.removed, second.bytes), (0, 0, 0));
}

#[test]
fn a_change_that_keeps_size_and_time_is_copied() {
    let (_folder, a, b) = two();
    put(&a, "file", "one");
    let hashes = Hashes::default();
    std::thread::sleep(std::time::Duration::from_millis(80));
    mirror(&a, &b, &hashes).unwrap();
    let time = fs::metadata(a.join("file")).unwrap().modified().unwrap();
    put(&a, "file", "two");
    let file = fs::File::options()
        .write(true)
        .open(a.join("file"))
        .unwrap();
    file.set_modified(time).unwrap();
    mirror(&a, &b, &hashes).unwrap();
    assert_eq!(fs::read_to_string(b.join("file")).unwrap(), "two");
}

#[test]
fn nothing_outside_the_destination_is_touched() {
    let (folder, a, b) = two();
    let outside = folder.path().join("outside");
    put(&outside, "file", "untouched");
    put(&a, "folder/file", "from a");
    // The destination has a link where the source has a folder.
    symlink(&outside, b.join("folder")).unwrap();
    mirror(&a, &b, &Hashes::default()).unwrap();
    assert_eq!(
        fs::read_to_string(outside.join("file")).unwrap(),
        "untouched"
    );
    assert!(fs::symlink_metadata(b.join("folder")).unwrap().is_dir());
    assert_eq!(fs::read_to_string(b.join("folder/file")).unwrap(), "from a");
    // And one that would be deleted leads nowhere either.
    symlink(&outside, b.join("stray")).unwrap();
    mirror(&a, &b, &Hashes::default()).unwrap();
    assert!(!b.join("stray").exists() && outside.join("file").exists());
}

#[test]
fn what_cannot_be_listed_is_an_error_and_deletes_nothing() {
    let (_folder, a, b) = two();
    put(&b, "precious", "kept");
    let _socket = std::os::unix::net::UnixListener::bind(a.join("socket")).unwrap();
    let error = mirror(&a, &b, &Hashes::default()).unwrap_err();
    assert!(matches!(error, TreeError::Unsupported { .. }), "{error}");
    assert!(b.join("precious").exists());
}

#[test]
fn kept_files_stay_and_hidden_ones_are_no_part_of_it() {
    let (_folder, a, b) = two();
    put(&a, "new", "new");
    put(&a, ".state/mark", "a's");
    put(&b, "old", "old");
    put(&b, ".state/mark", "b's");
    let (from, to) = (Tree::open(&a).unwrap(), Tree::open(&b).unwrap());
    let (from, to) = (from.without(".state"), to.without(".state"));
    let hashes = Hashes::default();
    let gate = &mut Batches(usize::MAX);
    copy(&from, &to, Deletes::Keep, &hashes, gate).unwrap();
    assert!(b.join("old").exists() && b.join("new").exists());
    copy(&from, &to, Deletes::Mirror, &hashes, gate).unwrap();
    assert!(!b.join("old").exists());
    assert_eq!(fs::read_to_string(b.join(".state/mark")).unwrap(), "b's");
}

#[test]
fn a_closed_gate_stops_the_copy_between_batches() {
    let (_folder, a, b) = two();
    for number in 0..600 {
        put(&a, &format!("{number}"), "x");
    }
    let (from, to) = (Tree::open(&a).unwrap(), Tree::open(&b).unwrap());
    let hashes = Hashes::default();
    let stopped = copy(&from, &to, Deletes::Mirror, &hashes, &mut Batches(1));
    assert!(matches!(stopped, Err(TreeError::Stopped { .. })));
    assert_eq!(fs::read_dir(&b).unwrap().count(), 256);
    mirror(&a, &b, &hashes).unwrap();
    assert_eq!(digest(&a), digest(&b));
}

#[test]
fn leftovers_of_a_copy_that_was_cut_short_are_removed_and_never_copied() {
    let (_folder, a, b) = two();
    put(&a, ".mainstay-copy-0011223344556677", "half");
    put(&b, ".mainstay-copy-0011223344556677", "half");
    put(&a, "file", "whole");
    mirror(&a, &b, &Hashes::default()).unwrap();
    assert_eq!(fs::read_dir(&b).unwrap().count(), 1);
}

#[test]
fn a_source_that_changes_all_the_time_is_still_copied_without_losing_old_files() {
    let (_folder, a, b) = two();
    for number in 0..50 {
        put(&a, &format!("old/{number}"), "old");
    }
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (flag, root) = (stop.clone(), a.clone());
    let writer = std::thread::spawn(move || {
        for number in 0.. {
            if flag.load(std::sync::atomic::Ordering::SeqCst) {
                return;
            }
            put(&root, &format!("new/{}", number % 40), &format!("{number}"));
            let _ = fs::remove_file(root.join(format!("new/{}", (number + 20) % 40)));
        }
    });
    let hashes = Hashes::default();
    for _ in 0..5 {
        match mirror(&a, &b, &hashes) {
            Ok(_)
            | Err(TreeError::Changing { .. } | TreeError::Read { .. } | TreeError::List { .. }) => {
            }
            Err(error) => panic!("{error}"),
        }
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    writer.join().unwrap();
    assert_eq!(fs::read_dir(b.join("old")).unwrap().count(), 50);
    mirror(&a, &b, &hashes).unwrap();
    assert_eq!(digest(&a), digest(&b));
}

/// A tree as a list of what to put where; later entries may contradict earlier ones and are then left out.
fn tree() -> impl Strategy<Value = Vec<(String, u8)>> {
    prop::collection::vec(("[ab]/[ab]/[ab]|[ab]/[ab]|[ab]", 0_u8..6), 0..12)
}

fn build(root: &Path, entries: &[(String, u8)]) {
    for (path, what) in entries {
        let path = root.join(path);
        if fs::create_dir_all(path.parent().unwrap()).is_err()
            || fs::symlink_metadata(&path).is_ok()
        {
            continue;
        }
        let made = match what {
            0 => fs::create_dir(&path),
            1 => symlink("nowhere", &path),
            content => fs::write(&path, [*content; 3]),
        };
        let _ = made;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_tree_becomes_any_other(before in tree(), after in tree()) {
        let (_folder, a, b) = two();
        build(&a, &after);
        build(&b, &before);
        mirror(&a, &b, &Hashes::default()).unwrap();
        prop_assert_eq!(digest(&a), digest(&b));
    }
}
