//! Backups that are told entry by entry, and files read one by one.

#![expect(clippy::unwrap_used, reason = "a test harness that fails loudly")]

use std::{io, path::Path, sync::Arc};

use mainstay_backup::{
    Archive, BackupError, BackupOptions, Depth, Finished, Format, Kind, Meta, Quiet, Reader,
    Repository, RestoreOptions, Time, archive, check, restore,
};
use mainstay_storage::Memory;

fn new() -> Repository {
    Repository::init(Arc::new(Memory::default()), b"x", Format::V2).unwrap()
}

fn meta() -> Meta {
    Meta::plain(Kind::File, 0o640, Time { secs: 7, nanos: 0 })
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn told(
    repository: &Repository,
    tell: impl FnOnce(&mut Archive<'_>) -> Result<(), BackupError>,
) -> Result<Finished, BackupError> {
    let options = BackupOptions::default();
    archive(repository, Path::new("/a/b"), &options, &Quiet, |archive| {
        tell(archive)?;
        Ok(vec!["known=late".to_owned()])
    })
}

#[test]
fn what_is_told_in_any_order_comes_back() {
    let repository = new();
    let large = noise(3, 9_000_000);
    let made = told(&repository, |archive| {
        archive.file(Path::new("/a/b/z/late"), meta(), &mut &b"late"[..])?;
        archive.file(Path::new("/a/b/large"), meta(), &mut &large[..])?;
        archive.file(Path::new("/a/b/empty"), meta(), &mut io::empty())?;
        let folder = Meta::plain(Kind::Folder, 0o700, Time { secs: 9, nanos: 0 });
        archive.folder(Path::new("/a/b/z"), folder)
    })
    .unwrap();
    assert_eq!(made.snapshot.tags, ["known=late"]);
    let into = tempfile::tempdir().unwrap();
    let options = RestoreOptions {
        path: Some("/a/b".into()),
        ..RestoreOptions::default()
    };
    let done = restore(&repository, &made.snapshot, into.path(), &options, &Quiet).unwrap();
    assert_eq!(done.missing, []);
    assert_eq!(std::fs::read(into.path().join("large")).unwrap(), large);
    assert_eq!(std::fs::read(into.path().join("z/late")).unwrap(), b"late");
    assert_eq!(std::fs::read(into.path().join("empty")).unwrap(), b"");
    assert_eq!(
        check(&repository, Depth::ReadData, &Quiet)
            .unwrap()
            .findings,
        []
    );
}

#[test]
fn entries_of_an_earlier_snapshot_are_kept_unread() {
    let repository = new();
    let first = told(&repository, |archive| {
        archive.file(Path::new("/a/b/1"), meta(), &mut &noise(1, 2_000_000)[..])?;
        Ok(())
    })
    .unwrap();
    let second = told(&repository, |archive| {
        let reader = Reader::open(&repository)?;
        for node in reader.folder(&first.snapshot, Path::new("/a/b"))? {
            archive.keep(Path::new("/a/b/1"), &node)?;
        }
        archive.file(Path::new("/a/b/2"), meta(), &mut &b"new"[..])?;
        Ok(())
    })
    .unwrap();
    assert_eq!((second.unchanged, second.entries), (1, 2));
    assert_eq!(second.snapshot.parent, Some(first.id));
    repository.forget(&[first.id]).unwrap();
    let reader = Reader::open(&repository).unwrap();
    let node = reader.find(&second.snapshot, Path::new("/a/b/1")).unwrap();
    let mut content = Vec::new();
    assert_eq!(reader.copy(&node, &mut content).unwrap(), 2_000_000);
    assert_eq!(content, noise(1, 2_000_000));
    let gone = reader.find(&second.snapshot, Path::new("/a/b/3"));
    assert_eq!(gone.unwrap_err().code(), "no-such-path");
}

/// Gives something and then breaks off.
struct Broken(usize);

impl io::Read for Broken {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = into.len().min(self.0);
        self.0 -= count;
        if count == 0 {
            return Err(io::Error::other("the pipe broke"));
        }
        into[..count].fill(7);
        Ok(count)
    }
}

#[test]
fn whatever_goes_wrong_there_is_no_snapshot() {
    let repository = new();
    let broken = told(&repository, |archive| {
        archive.file(Path::new("/a/b/1"), meta(), &mut Broken(5_000_000))?;
        Ok(())
    });
    assert_eq!(broken.unwrap_err().code(), "stream-not-whole");
    let late = told(&repository, |archive| {
        archive.file(Path::new("/a/b/1"), meta(), &mut &b"fine"[..])?;
        Err(BackupError::Cancelled)
    });
    assert_eq!(late.unwrap_err().code(), "backup-cancelled");
    for bad in ["/a/../b", "/a/b/1/2"] {
        let refused = told(&repository, |archive| {
            archive.file(Path::new("/a/b/1"), meta(), &mut &b"a file"[..])?;
            archive.file(Path::new(bad), meta(), &mut &b""[..])?;
            Ok(())
        });
        assert_eq!(refused.unwrap_err().code(), "stream-not-whole", "{bad}");
    }
    assert_eq!(repository.snapshots().unwrap(), []);
}
