//! Ways that backups and restores go when something is not as it should be: entries that cannot be read, restores
//! that were cut short, files that change meanwhile, calls to stop.

#![expect(clippy::unwrap_used, reason = "a test harness that fails loudly")]

#[path = "../common/tree.rs"]
mod tree;

use std::{
    ffi::OsStr,
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use mainstay_backup::{
    BackupOptions, Entered, Existing, Files, Finished, Format, INCOMPLETE, Listed, Meta, Parent,
    Patterns, Progress, Quiet, Repository, RestoreOptions, Restored, Selected, Selection,
    ShortRead, Source, Wholeness, backup, restore,
};
use mainstay_storage::Memory;
use tree::{noise, seen};

fn new() -> Repository {
    Repository::init(Arc::new(Memory::default()), b"x", Format::V2).unwrap()
}

fn plant(root: &Path) {
    fs::create_dir_all(root.join("in/side")).unwrap();
    for number in 0..40 {
        fs::write(root.join(format!("in/{number}")), noise(number, 3000)).unwrap();
    }
    fs::write(root.join("large"), noise(99, 3_000_000)).unwrap();
    fs::write(root.join("in/side/bad"), "cannot be read").unwrap();
}

fn back_up(repository: &Repository, source: &Path) -> Finished {
    let files = Files::new(source).unwrap();
    let done = backup(repository, &files, &BackupOptions::default(), &Quiet).unwrap();
    assert_eq!(done.problems, []);
    done
}

fn put_back(repository: &Repository, made: &Finished, into: &Path, existing: Existing) -> Restored {
    let path = Some(made.snapshot.paths[0].clone().into());
    let options = RestoreOptions {
        path,
        existing,
        ..RestoreOptions::default()
    };
    restore(repository, &made.snapshot, into, &options, &Quiet).unwrap()
}

/// Files of which some cannot be read, and some folders not listed.
struct Failing<'a> {
    files: Files,
    bad: &'a str,
}

impl Failing<'_> {
    fn fail(&self, name: &OsStr) -> io::Result<()> {
        if name == self.bad {
            return Err(io::Error::other("bad sector"));
        }
        Ok(())
    }
}

impl Source for Failing<'_> {
    type Folder = (<Files as Source>::Folder, bool);
    type Content = <Files as Source>::Content;

    fn enter(&self) -> io::Result<Entered<Self::Folder>> {
        let Entered {
            path,
            folders,
            folder,
        } = self.files.enter()?;
        Ok(Entered {
            path,
            folders,
            folder: (folder, false),
        })
    }

    fn list(&self, (folder, bad): &Self::Folder) -> io::Result<Vec<Listed>> {
        if *bad {
            return Err(io::Error::other("bad sector"));
        }
        self.files.list(folder)
    }

    fn folder(&self, parent: &Self::Folder, name: &OsStr) -> io::Result<(Self::Folder, Meta)> {
        let (folder, meta) = self.files.folder(&parent.0, name)?;
        Ok(((folder, self.fail(name).is_err()), meta))
    }

    fn glance(&self, folder: &Self::Folder, name: &OsStr) -> io::Result<Meta> {
        self.files.glance(&folder.0, name)
    }

    fn look(&self, folder: &Self::Folder, name: &OsStr) -> io::Result<Meta> {
        self.files.look(&folder.0, name)
    }

    fn open(&self, folder: &Self::Folder, name: &OsStr) -> io::Result<(Self::Content, Meta)> {
        self.fail(name)?;
        self.files.open(&folder.0, name)
    }

    fn short_read(&self) -> ShortRead {
        self.files.short_read()
    }
}

#[test]
fn what_cannot_be_read_makes_a_snapshot_incomplete_and_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path());
    let repository = new();
    for (bad, lost) in [
        ("bad", "in/side/bad"),
        ("side", "in/side"),
        ("large", "large"),
    ] {
        let files = Files::new(folder.path()).unwrap();
        let source = Failing { files, bad };
        // Nothing is taken from an earlier one, so everything is read.
        let options = BackupOptions {
            parent: Parent::Nothing,
            ..BackupOptions::default()
        };
        let done = backup(&repository, &source, &options, &Quiet).unwrap();
        assert_eq!(done.snapshot.wholeness(), Wholeness::Incomplete);
        assert!(done.snapshot.tags.contains(&INCOMPLETE.to_owned()));
        assert_eq!(done.problems.len(), 1);
        assert_eq!(done.problems[0].path, folder.path().join(lost));
        let read = repository.snapshot(done.id).unwrap();
        assert_eq!(read.mainstay_missing.unwrap().first[0].why, "bad sector");
        // Everything else is there.
        let into = tempfile::tempdir().unwrap();
        assert_eq!(
            put_back(&repository, &done, into.path(), Existing::Keep).missing,
            []
        );
        // Each time exactly one is missing: a folder that cannot be listed is there, but the file in it is not.
        assert_eq!(seen(into.path()).len() + 1, seen(folder.path()).len());
    }
    // The next one that reads everything is whole again.
    let done = back_up(&repository, folder.path());
    assert_eq!(done.snapshot.wholeness(), Wholeness::Whole);
}

#[test]
fn what_is_left_out_on_purpose_is_not_missing_and_the_snapshot_says_so() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path());
    let repository = new();
    let selection = |include: &[&str], exclude: &[&str]| Selection {
        include: include.iter().map(|&one| one.to_owned()).collect(),
        exclude: exclude.iter().map(|&one| one.to_owned()).collect(),
    };
    let back_up = |selection: &Selection| {
        let files = Files::new(folder.path()).unwrap();
        let source = Selected::new(files, Patterns::new(selection.clone()).unwrap());
        let done = backup(&repository, &source, &BackupOptions::default(), &Quiet).unwrap();
        (done, source.left_out())
    };
    let left = selection(&[], &["[0-3]*", "large", "side/"]);
    let (done, left_out) = back_up(&left);
    assert_eq!(done.snapshot.wholeness(), Wholeness::Whole);
    assert_eq!((&done.problems[..], left_out), (&[][..], 36));
    let read = repository.snapshot(done.id).unwrap();
    assert_eq!(read.excludes, left.exclude);
    let into = tempfile::tempdir().unwrap();
    put_back(&repository, &done, into.path(), Existing::Keep);
    let names: Vec<_> = seen(into.path()).into_keys().collect();
    let kept = ["", "in", "in/4", "in/5", "in/6", "in/7", "in/8", "in/9"];
    assert_eq!(names, kept.map(std::path::PathBuf::from));
    // A parent that lacks something is a good parent all the same.
    let (done, left_out) = back_up(&selection(&["side"], &[]));
    assert_eq!(
        (done.snapshot.mainstay_includes, left_out),
        (vec!["side".to_owned()], 41)
    );
    let whole = self::back_up(&repository, folder.path());
    assert_eq!(whole.bytes, 40 * 3000 + 3_000_000 + 14);
}

#[test]
fn a_source_that_is_not_there_makes_no_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let repository = new();
    let files = Files::new(&folder.path().join("gone")).unwrap();
    let failed = backup(&repository, &files, &BackupOptions::default(), &Quiet).unwrap_err();
    assert_eq!(failed.code(), "source-unreadable");
    assert!(repository.snapshots().unwrap().is_empty());
}

#[test]
fn a_restore_that_was_cut_short_goes_on_and_mends_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    plant(&at("source"));
    let repository = new();
    let made = back_up(&repository, &at("source"));
    let first = put_back(&repository, &made, &at("into"), Existing::Keep);
    assert_eq!((first.missing, first.kept), (Vec::new(), 0));
    // One is gone, one is short, one is changed in its middle, one is a link to outside, one has a name outside.
    fs::remove_file(at("into/in/1")).unwrap();
    fs::write(at("into/in/2"), "short").unwrap();
    let mut large = fs::read(at("into/large")).unwrap();
    large[1_500_000] ^= 1;
    fs::write(at("into/large"), large).unwrap();
    fs::write(at("outside"), "mine").unwrap();
    fs::remove_file(at("into/in/3")).unwrap();
    std::os::unix::fs::symlink(at("outside"), at("into/in/3")).unwrap();
    fs::remove_file(at("into/in/4")).unwrap();
    fs::hard_link(at("outside"), at("into/in/4")).unwrap();
    // Without being asked to, nothing that is there is touched.
    let kept = put_back(&repository, &made, &at("into"), Existing::Keep);
    assert_eq!(kept.missing.len(), 41);
    assert_eq!(fs::read(at("into/in/2")).unwrap(), b"short");
    let mended = put_back(&repository, &made, &at("into"), Existing::Mend);
    assert_eq!(mended.missing, []);
    assert!(mended.kept > 37 * 3000, "{mended:?}");
    assert_eq!(seen(&at("into")), seen(&at("source")));
    assert_eq!(fs::read(at("outside")).unwrap(), b"mine");
    let again = put_back(&repository, &made, &at("into"), Existing::Mend);
    assert_eq!(again.kept, again.bytes);
}

#[test]
fn one_folder_or_one_file_is_restored_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    plant(&at("source"));
    let repository = new();
    let made = back_up(&repository, &at("source"));
    let part = |path: &str, into: &str| {
        let path = Some(at("source").join(path));
        let options = RestoreOptions {
            path,
            ..RestoreOptions::default()
        };
        restore(&repository, &made.snapshot, &at(into), &options, &Quiet)
    };
    assert_eq!(part("in/side", "one").unwrap().missing, []);
    assert_eq!(seen(&at("one")), seen(&at("source/in/side")));
    assert_eq!(part("large", "two").unwrap().entries, 1);
    assert_eq!(fs::read(at("two/large")).unwrap(), noise(99, 3_000_000));
    for bad in ["nothing", "large/deeper", "../source"] {
        assert_eq!(
            part(bad, "three").unwrap_err().code(),
            "no-such-path",
            "{bad}"
        );
    }
}

#[test]
fn a_change_that_keeps_size_and_time_is_backed_up() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path());
    let repository = new();
    std::thread::sleep(std::time::Duration::from_millis(80));
    back_up(&repository, folder.path());
    let path = folder.path().join("in/5");
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, noise(500, 3000)).unwrap();
    fs::File::open(&path).unwrap().set_modified(before).unwrap();
    let second = back_up(&repository, folder.path());
    assert_eq!(second.unchanged, 41);
    let into = tempfile::tempdir().unwrap();
    put_back(&repository, &second, into.path(), Existing::Keep);
    assert_eq!(
        fs::read(into.path().join("in/5")).unwrap(),
        noise(500, 3000)
    );
}

/// Stops after so many answers.
struct Until(AtomicU32);

impl Progress for Until {
    fn go_on(&self) -> bool {
        self.0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok()
    }
}

#[test]
fn a_backup_and_a_restore_stop_when_they_are_told_to() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path());
    let repository = new();
    let files = Files::new(folder.path()).unwrap();
    for answers in [0, 1, 3] {
        let until = Until(AtomicU32::new(answers));
        let stopped = backup(&repository, &files, &BackupOptions::default(), &until).unwrap_err();
        assert_eq!(stopped.code(), "backup-cancelled");
    }
    assert!(repository.snapshots().unwrap().is_empty());
    let made = back_up(&repository, folder.path());
    let into = tempfile::tempdir().unwrap();
    let options = RestoreOptions::default();
    let until = Until(AtomicU32::new(1));
    let stopped = restore(&repository, &made.snapshot, into.path(), &options, &until).unwrap_err();
    assert_eq!(stopped.code(), "backup-cancelled");
}
