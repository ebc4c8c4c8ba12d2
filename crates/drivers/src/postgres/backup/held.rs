//! The log as a repository has it: a snapshot for each group of files, which grows. A new one is written with what the
//! old one had, and then the old one is forgotten, so that at any moment nothing that was stored is missing.
//! Must not know who receives the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Path, PathBuf},
};

use mainstay_backup::{
    BackupError, Finished, Holds, Id, Kind, Meta, Node, Quiet, Reader, Repository, RestorePoint,
    Time, archive,
};
use mainstay_driver::Cause;
use mainstay_model::{Position, Timestamp};

use super::{
    segment::{Gap, Line, LogFile, Segment, Size, gaps, history_name, partial_name},
    store::{Seen, Store, tag, tagged},
};
use crate::shared::failed;

/// How far the stored log goes: every write acknowledged before `taken`, by the source's clock, and every byte below
/// the position.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reach {
    pub(super) taken: Timestamp,
    pub(super) lsn: u64,
}

/// The log of one cluster in one repository.
pub(super) struct Held {
    pub(super) cluster: u64,
    pub(super) size: Size,
    /// Every file by its name.
    pub(super) files: BTreeMap<String, Node>,
    /// The snapshots of each group, the one that counts last.
    snapshots: BTreeMap<String, Vec<Id>>,
    /// How far the log goes, for each timeline.
    pub(super) reach: BTreeMap<u32, Reach>,
}

/// A file to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct New {
    pub(super) name: String,
    pub(super) path: PathBuf,
}

impl Held {
    /// An empty one.
    pub(super) fn new(cluster: u64, size: Size) -> Self {
        Self {
            cluster,
            size,
            files: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            reach: BTreeMap::new(),
        }
    }

    /// What is there of a cluster's log.
    pub(super) fn load(
        store: &Store,
        from: &Repository,
        cluster: u64,
        size: Size,
    ) -> Result<Self, Cause> {
        let points = RestorePoint::of(from, &store.system, &store.instance.name);
        let points = points.map_err(|error| failed(&error))?;
        let reader = Reader::open(from).map_err(|error| failed(&error))?;
        Self::of(store, &points, &reader, cluster, size)
    }

    /// The same from what was read already.
    pub(super) fn of(
        store: &Store,
        points: &[RestorePoint],
        reader: &Reader,
        cluster: u64,
        size: Size,
    ) -> Result<Self, Cause> {
        let mut held = Self::new(cluster, size);
        for point in points
            .iter()
            .filter(|point| point.label.holds == Holds::Log)
        {
            let tags = &point.snapshot.tags;
            let (Some(one), Some(group)) = (tagged(tags, "cluster"), tagged(tags, "log")) else {
                continue;
            };
            if one != cluster.to_string() {
                continue;
            }
            let path = store.log_path(cluster, group);
            let nodes = reader.folder(&point.snapshot, &path);
            for node in nodes.map_err(|error| failed(&error))? {
                let name = String::from_utf8_lossy(&node.name).into_owned();
                if node.meta.kind == Kind::File && size.parse(&name).is_some() {
                    held.files.insert(name, node);
                }
            }
            let known = held.snapshots.entry(group.to_owned()).or_default();
            known.push(point.id);
            held.learn_reach(point);
        }
        Ok(held)
    }

    fn learn_reach(&mut self, point: &RestorePoint) {
        let timeline = tagged(&point.snapshot.tags, "timeline").and_then(|text| text.parse().ok());
        if let (Some(timeline), Some(Position::Lsn(lsn))) = (timeline, &point.label.position) {
            let taken = point.label.taken;
            self.reached(timeline, Reach { taken, lsn: *lsn });
        }
    }

    fn reached(&mut self, timeline: u32, reach: Reach) {
        let known = self.reach.entry(timeline).or_default();
        *known = Reach {
            taken: known.taken.max(reach.taken),
            lsn: known.lsn.max(reach.lsn),
        };
    }

    /// Stores files, each group in one snapshot. When this answers, all of them are durable. `reach` is how far the
    /// log goes with them; it must have been known before the files were read.
    pub(super) fn put(
        &mut self,
        store: &Store,
        into: &Repository,
        seen: &Seen,
        files: &[New],
        reach: Reach,
    ) -> Result<(), Cause> {
        let mut groups: BTreeMap<String, Vec<(LogFile, &New)>> = BTreeMap::new();
        for file in files {
            if let Some(kind) = self.size.parse(&file.name) {
                groups
                    .entry(kind.group(self.size))
                    .or_default()
                    .push((kind, file));
            }
        }
        // Histories last: whoever finds one finds what it refers to.
        for (group, files) in groups {
            self.put_group(store, into, seen, &group, &files, reach)?;
        }
        Ok(())
    }

    fn put_group(
        &mut self,
        store: &Store,
        into: &Repository,
        seen: &Seen,
        group: &str,
        files: &[(LogFile, &New)],
        reach: Reach,
    ) -> Result<(), Cause> {
        let root = store.log_path(self.cluster, group);
        let replaced = files.iter().flat_map(|(_, file)| also_gone(&file.name));
        let replaced: BTreeSet<String> = replaced.collect();
        let kept = self.of_group(group);
        let kept: Vec<(&String, &Node)> =
            kept.filter(|(name, _)| !replaced.contains(*name)).collect();
        // How far the log goes is said of the timeline that is being written, and never more than the group has.
        let timeline = files.iter().find_map(|(kind, _)| kind.timeline());
        let timeline = timeline.filter(|timeline| *timeline == seen.timeline);
        let end = kept.iter().map(|(name, _)| self.size.parse(name));
        let end = end.flatten().chain(files.iter().map(|(kind, _)| *kind));
        let end = end.filter_map(|kind| self.end_of(kind)).max().unwrap_or(0);
        let at = timeline.map(|_| reach.lsn.min(end));
        let mut tags = store.label(seen, reach.taken, at, Holds::Log).tags();
        tags.extend([tag("cluster", self.cluster), tag("log", group)]);
        tags.push(tag("segment-bytes", self.size.0));
        tags.extend(timeline.map(|timeline| tag("timeline", timeline)));
        let made = archive(into, &root, &store.options(), &Quiet, |archive| {
            for (name, node) in &kept {
                archive.keep(&root.join(name), node)?;
            }
            for (_, file) in files {
                let unreadable = |source| BackupError::Source {
                    path: file.path.clone(),
                    source,
                };
                let mut content = File::open(&file.path).map_err(unreadable)?;
                let meta = Meta::plain(Kind::File, 0o600, Time::now());
                archive.file(&root.join(&file.name), meta, &mut content)?;
            }
            Ok(tags)
        });
        let made = made.map_err(|error| failed(&error))?;
        self.replace(into, group, &root, &made)?;
        if let (Some(timeline), Some(lsn)) = (timeline, at) {
            let taken = reach.taken;
            self.reached(timeline, Reach { taken, lsn });
        }
        Ok(())
    }

    /// Takes a group's new snapshot for the old ones, which are forgotten.
    fn replace(
        &mut self,
        into: &Repository,
        group: &str,
        root: &Path,
        made: &Finished,
    ) -> Result<(), Cause> {
        let reader = Reader::open(into).map_err(|error| failed(&error))?;
        let nodes = reader.folder(&made.snapshot, root);
        let nodes = nodes.map_err(|error| failed(&error))?;
        drop(reader);
        let gone: Vec<String> = self.of_group(group).map(|(name, _)| name.clone()).collect();
        for name in &gone {
            self.files.remove(name);
        }
        let named = nodes
            .into_iter()
            .map(|node| (String::from_utf8_lossy(&node.name).into_owned(), node));
        self.files.extend(named);
        let old = self.snapshots.insert(group.to_owned(), vec![made.id]);
        let forgotten = into.forget(&old.unwrap_or_default());
        forgotten.map_err(|error| failed(&error))
    }

    /// Forgets groups that end before a position. Histories stay: they are small, and lead to what is left.
    pub(super) fn forget_before(&mut self, from: &Repository, lsn: u64) -> Result<(), Cause> {
        let over = |group: &&String| {
            let kinds = self.of_group(group).map(|(name, _)| self.size.parse(name));
            let end = kinds.flatten().filter_map(|kind| self.end_of(kind)).max();
            end.is_some_and(|end| end <= lsn)
        };
        let groups: Vec<String> = self.snapshots.keys().filter(over).cloned().collect();
        for group in groups {
            let ids = self.snapshots.get(&group).cloned().unwrap_or_default();
            from.forget(&ids).map_err(|error| failed(&error))?;
            self.snapshots.remove(&group);
            let gone: Vec<String> = self
                .of_group(&group)
                .map(|(name, _)| name.clone())
                .collect();
            for name in &gone {
                self.files.remove(name);
            }
        }
        Ok(())
    }

    fn of_group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = (&'a String, &'a Node)> {
        let size = self.size;
        let in_group = move |name: &str| {
            size.parse(name)
                .is_some_and(|kind| kind.group(size) == group)
        };
        self.files.iter().filter(move |(name, _)| in_group(name))
    }

    /// Where a file's log ends at most.
    fn end_of(&self, kind: LogFile) -> Option<u64> {
        match kind {
            LogFile::Whole(one) | LogFile::Partial(one) => Some(self.size.end(one.number)),
            LogFile::History(_) => None,
        }
    }

    /// Whole segments.
    pub(super) fn whole(&self) -> BTreeSet<Segment> {
        self.segments(|kind| match kind {
            LogFile::Whole(segment) => Some(segment),
            _ => None,
        })
    }

    /// Segments that are whole, or of which there is a beginning.
    pub(super) fn begun(&self) -> BTreeSet<Segment> {
        self.segments(|kind| match kind {
            LogFile::Whole(segment) | LogFile::Partial(segment) => Some(segment),
            LogFile::History(_) => None,
        })
    }

    fn segments(&self, which: impl Fn(LogFile) -> Option<Segment>) -> BTreeSet<Segment> {
        self.files
            .keys()
            .filter_map(|name| which(self.size.parse(name)?))
            .collect()
    }

    /// The line of a timeline, by its history; the first needs none.
    pub(super) fn line(&self, reader: &Reader, timeline: u32) -> Result<Option<Line>, Cause> {
        if timeline == 1 {
            return Ok(Some(Line::alone(1)));
        }
        let Some(node) = self.files.get(&history_name(timeline)) else {
            return Ok(None);
        };
        let mut text = Vec::new();
        reader
            .copy(node, &mut text)
            .map_err(|error| failed(&error))?;
        Ok(Line::read(timeline, &String::from_utf8_lossy(&text)))
    }

    /// The gaps on a line from a position on.
    pub(super) fn gaps(&self, line: &Line, from: u64) -> Vec<Gap> {
        let mut there = self.whole();
        // The beginning of a segment is all there is of the last; anywhere else it is a gap.
        let on_line = |one: &&Segment| line.at(one.number, self.size) == **one;
        there.extend(self.begun().iter().rev().find(on_line));
        gaps(line, self.size.number(from), &there, self.size)
    }

    /// The highest timeline of which something is there.
    pub(super) fn newest_timeline(&self) -> Option<u32> {
        let kinds = self.files.keys().filter_map(|name| self.size.parse(name));
        kinds
            .map(|kind| match kind {
                LogFile::Whole(one) | LogFile::Partial(one) => one.timeline,
                LogFile::History(timeline) => timeline,
            })
            .max()
    }
}

/// What a file takes the place of: itself as it was before, and of a whole segment its beginning.
fn also_gone(name: &str) -> [String; 2] {
    [name.to_owned(), partial_name(name)]
}
