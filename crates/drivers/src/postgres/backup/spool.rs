//! The folder that the receiver writes into: what is in it, whether it is this cluster's, and where the receiver would
//! take up. Nothing leaves it before a repository has it.
//! Must not know processes.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use mainstay_backup::Reader;

use super::{
    held::{Held, New},
    segment::{Line, LogFile, Segment, Size},
};

/// The most that waits here for a repository.
const ROOM: u64 = 8 << 30;
/// What the disk keeps for others.
const FREE: u64 = 256 << 20;

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    pub(super) path: PathBuf,
    pub(super) size: Size,
    pub(super) cluster: u64,
}

/// A file in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spooled {
    pub(super) kind: LogFile,
    pub(super) new: New,
    /// Changes when the file does: the receiver writes a segment that has its full length from the start.
    pub(super) changed: (i64, i64),
}

/// What a file turns out to be.
enum State {
    Ours,
    Foreign,
    /// Nothing was received into it yet.
    Empty,
}

impl Spool {
    /// Makes the folder if it is not there.
    pub(super) fn open(path: &Path, size: Size, cluster: u64) -> io::Result<Self> {
        // Only the folder itself is private: others may have to get through those above.
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        Ok(Self {
            path: path.to_owned(),
            size,
            cluster,
        })
    }

    /// What is in it, in order. A file of another cluster, or one that is no segment although it is called so, is set
    /// aside: it must neither be stored as this cluster's nor be taken up from.
    pub(super) fn list(&self) -> io::Result<Vec<Spooled>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(kind) = self.size.parse(&name) else {
                continue;
            };
            let meta = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                meta => meta?,
            };
            match self.state(kind, &entry.path(), meta.len()) {
                // Renamed since it was listed: it is there under its new name next time.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
                Ok(State::Empty) => continue,
                Ok(State::Foreign) => {
                    self.set_aside(&name)?;
                    continue;
                }
                Ok(State::Ours) => {}
            }
            found.push(Spooled {
                kind,
                new: New {
                    name,
                    path: entry.path(),
                },
                changed: (meta.mtime(), meta.mtime_nsec()),
            });
        }
        found.sort_by_key(|one| one.kind);
        Ok(found)
    }

    fn state(&self, kind: LogFile, path: &Path, length: u64) -> io::Result<State> {
        let (segment, partial) = match kind {
            LogFile::Whole(segment) => (segment, false),
            LogFile::Partial(segment) => (segment, true),
            LogFile::History(_) => return Ok(State::Ours),
        };
        // A segment has its full length before its first byte is received.
        if partial && (length != self.size.0 || is_blank(path)?) {
            return Ok(State::Empty);
        }
        if length == self.size.0 && self.is_ours(path, segment)? {
            return Ok(State::Ours);
        }
        Ok(State::Foreign)
    }

    /// Whether a segment begins as one of this cluster at its place does. Source: `XLogLongPageHeaderData`.
    fn is_ours(&self, path: &Path, segment: Segment) -> io::Result<bool> {
        let mut head = [0; 40];
        File::open(path)?.read_exact(&mut head)?;
        let number = |at: usize| {
            head.get(at..at + 8)
                .and_then(|eight| eight.first_chunk().copied())
        };
        let number = |at: usize| number(at).map_or(0, u64::from_ne_bytes);
        let page = number(8);
        let cluster = number(24);
        Ok(page == segment.number.saturating_mul(self.size.0) && cluster == self.cluster)
    }

    fn set_aside(&self, name: &str) -> io::Result<()> {
        tracing::warn!(file = name, "not a segment of this cluster: set aside");
        let aside = self.path.join("foreign");
        fs::create_dir_all(&aside)?;
        fs::rename(self.path.join(name), aside.join(name))
    }

    /// Whether nothing more may be received: a repository is away, and the agent's disk is not the log's to fill.
    pub(super) fn is_full(&self) -> io::Result<bool> {
        let files = fs::read_dir(&self.path)?.count() as u64;
        let disk = rustix::fs::statvfs(&self.path)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        Ok(files.saturating_mul(self.size.0) > ROOM || free < FREE + self.size.0)
    }

    /// Removes a file that every repository has.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name)).or_else(super::super::rebuild::gone)
    }

    /// Whether the receiver, which takes up after the last file here, would take up on the server's line.
    pub(super) fn continues(&self, line: &Line) -> io::Result<Option<bool>> {
        let place = |one: Spooled| match one.kind {
            LogFile::Whole(segment) => Some((segment, self.size.end(segment.number))),
            LogFile::Partial(segment) => Some((segment, segment.number * self.size.0)),
            LogFile::History(_) => None,
        };
        let last = self.list()?.into_iter().filter_map(place).max();
        Ok(last.map(|(segment, at)| line.has(segment.timeline, at)))
    }

    /// Puts a segment here that a repository has, so that the receiver takes up after it: the newest on the line.
    pub(super) fn seed(&self, held: &Held, reader: &Reader, line: &Line) -> io::Result<()> {
        let fits = |one: &&Segment| line.has(one.timeline, self.size.end(one.number));
        let whole = held.whole();
        let Some(newest) = whole.iter().rev().find(fits) else {
            return Ok(());
        };
        let name = self.size.name(*newest);
        let Some(node) = held.files.get(&name) else {
            return Ok(());
        };
        let beside = self.path.join("seed");
        let mut file = File::create(&beside)?;
        reader.copy(node, &mut file).map_err(io::Error::other)?;
        file.sync_all()?;
        fs::rename(beside, self.path.join(name))?;
        File::open(&self.path)?.sync_all()
    }
}

fn is_blank(path: &Path) -> io::Result<bool> {
    let mut head = [0; 40];
    File::open(path)?.read_exact(&mut head)?;
    Ok(head == [0; 40])
}
