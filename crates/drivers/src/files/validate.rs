//! Compares a tree with its newest restore point: everything that was created or changed since the last good comparison
//! must be there, with the same bytes.
//! Must not know receipts, or when this is done.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _, Write},
    path::{Path, PathBuf},
};

use mainstay_backup::{
    BackupError, Kind, Node, Patterns, Problem, Progress, Reader, Repository, Snapshot,
};
use mainstay_driver::Cause;
use mainstay_model::{RecoveryTarget, Timestamp};
use mainstay_storage::{Entry, Node as Listed, scan};
use sha2::{Digest as _, Sha256};

use super::{observe::unreadable, state::data};
use crate::shared::{About, Validated, failed, find};

/// Bytes read at a time.
const PART: usize = 256 * 1024;

/// Compares. Entries that vanish meanwhile, or change after the restore point was taken, are not its business.
pub(super) fn validate(
    about: &About<'_>,
    root: &Path,
    patterns: &Patterns,
    from: &Repository,
    since: Option<Timestamp>,
    progress: &dyn Progress,
) -> Result<Validated, Cause> {
    let point = find(about, from, &RecoveryTarget::Newest)?;
    let window = Window {
        since: since.map_or(i64::MIN, |since| since.0.saturating_mul(1000)),
        until: point.label.taken.0.saturating_mul(1000),
    };
    let tree = data(root).map_err(|error| unreadable(root, &error))?;
    let listing = scan(&tree).map_err(|error| unreadable(root, &error))?;
    let wanted = listing
        .into_iter()
        .filter(|entry| window.has(entry) && patterns.take(&entry.path, Kind::File));
    let reader = Reader::open(from).map_err(|error| failed(&error))?;
    let mut comparison = Comparison {
        root,
        reader: &reader,
        snapshot: &point.snapshot,
        folders: BTreeMap::new(),
        here: Sha256::new(),
        there: Sha256::new(),
        missing: Vec::new(),
    };
    let (mut entries, mut bytes) = (0, 0);
    for entry in wanted {
        let size = comparison.compare(&entry, window)?;
        progress.found(1, size);
        progress.done(1, size);
        entries += 1;
        bytes += size;
    }
    let Comparison {
        here,
        there,
        missing,
        ..
    } = comparison;
    Ok(Validated {
        entries,
        bytes,
        here: hex::encode(here.finalize()),
        there: hex::encode(there.finalize()),
        missing,
        point,
    })
}

/// From when to when something counts, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Window {
    since: i64,
    until: i64,
}

impl Window {
    /// Whether a file was created or changed in it, and not again since.
    fn has(self, entry: &Entry) -> bool {
        matches!(&entry.node, Listed::File(stamp)
            if stamp.changed_ns >= self.since && stamp.changed_ns < self.until)
    }
}

struct Comparison<'a> {
    root: &'a Path,
    reader: &'a Reader,
    snapshot: &'a Snapshot,
    /// Folders of the restore point that were looked into: files by name.
    folders: BTreeMap<PathBuf, BTreeMap<Vec<u8>, Node>>,
    here: Sha256,
    there: Sha256,
    missing: Vec<Problem>,
}

impl Comparison<'_> {
    /// Compares one file; its size.
    fn compare(&mut self, entry: &Entry, window: Window) -> Result<u64, Cause> {
        use std::os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _};
        let path = self.root.join(&entry.path);
        let Ok(mut file) = File::open(&path) else {
            // Gone meanwhile, or not to be read: then the backup says so itself.
            return Ok(0);
        };
        let here = hash(&mut file).map_err(|error| unreadable(&path, &error))?;
        let size = file.metadata().map_err(|error| unreadable(&path, &error))?;
        let changed = size.ctime().saturating_mul(1_000_000_000) + size.ctime_nsec();
        if changed >= window.until {
            return Ok(0);
        }
        let problem = |why: &str| Problem {
            path: entry.path.clone(),
            why: why.to_owned(),
        };
        let parent = entry.path.parent().unwrap_or(Path::new(""));
        let name = entry.path.file_name().unwrap_or_default();
        let found = self.folder(parent)?.get(name.as_bytes()).cloned();
        let Some(found) = found else {
            self.missing.push(problem("it is not in the restore point"));
            return Ok(size.len());
        };
        let mut sink = Hashing(Sha256::new());
        match self.reader.copy(&found, &mut sink) {
            Ok(_) => {}
            Err(error) => {
                self.missing.push(problem(&error.to_string()));
                return Ok(size.len());
            }
        }
        let there: [u8; 32] = sink.0.finalize().into();
        for (sum, hash) in [(&mut self.here, here), (&mut self.there, there)] {
            sum.update(entry.path.as_os_str().as_bytes());
            sum.update([0]);
            sum.update(hash);
        }
        if here != there {
            self.missing
                .push(problem("its bytes differ in the restore point"));
        }
        Ok(size.len())
    }

    fn folder(&mut self, path: &Path) -> Result<&BTreeMap<Vec<u8>, Node>, Cause> {
        if !self.folders.contains_key(path) {
            let root = self.snapshot.paths.first().map_or("/", String::as_str);
            let wanted = Path::new(root).join(path);
            let nodes = match self.reader.folder(self.snapshot, &wanted) {
                Ok(nodes) => nodes,
                Err(BackupError::NoPath { .. }) => Vec::new(),
                Err(error) => return Err(failed(&error)),
            };
            let nodes = nodes.into_iter().map(|node| (node.name.clone(), node));
            self.folders.insert(path.to_owned(), nodes.collect());
        }
        Ok(&self.folders[path])
    }
}

fn hash(file: &mut File) -> io::Result<[u8; 32]> {
    let (mut sum, mut part) = (Sha256::new(), vec![0; PART]);
    loop {
        match file.read(&mut part)? {
            0 => return Ok(sum.finalize().into()),
            count => sum.update(&part[..count]),
        }
    }
}

/// Hashes what is written to it.
struct Hashing(Sha256);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
