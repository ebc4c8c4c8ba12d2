//! One check, and what it found.
//! Must not know how anything is mended.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt::Display,
    path::PathBuf,
};

use super::{affected::affected, files, packs, trees};
use crate::{
    BackupError, BlobKind, FileKind, Id, Index, Lock, Progress, Repository, Sharing, Snapshot,
    index::Gathered, pack::Entry,
};

/// How far a check goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Everything that is referred to is listed, and every pack is there with the right length.
    Structure,
    /// Also every byte is read and compared with its hash.
    ReadData,
}

/// What a finding means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something cannot be restored, or cannot be believed.
    Damage,
    /// Something takes room and is of no use. Pruning removes it.
    Waste,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What it means.
    pub severity: Severity,
    /// Which file or blob.
    pub subject: String,
    /// What is wrong with it.
    pub how: String,
}

/// An entry that cannot be restored whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Affected {
    /// In which snapshot.
    pub snapshot: Id,
    /// Which path.
    pub path: PathBuf,
}

/// What a check saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Everything that is not as it should be, the worst first.
    pub findings: Vec<Finding>,
    /// Packs with a fault.
    pub damaged_packs: BTreeSet<Id>,
    /// What the damage takes away, by snapshot.
    pub affected: Vec<Affected>,
    /// Snapshots that were looked at.
    pub snapshots: u64,
    /// Packs that were looked at.
    pub packs: u64,
    /// Bytes that were read and compared.
    pub bytes_read: u64,
}

impl Checked {
    /// Whether everything can be restored.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let damage = |finding: &Finding| finding.severity == Severity::Damage;
        !self.findings.iter().any(damage)
    }
}

/// What is wrong so far.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) findings: Vec<Finding>,
    pub(crate) packs: BTreeSet<Id>,
    pub(crate) blobs: HashSet<(BlobKind, Id)>,
}

impl Found {
    pub(crate) fn damage(&mut self, subject: impl Display, how: impl Display) {
        self.add(Severity::Damage, &subject, &how);
    }

    pub(crate) fn waste(&mut self, subject: impl Display, how: impl Display) {
        self.add(Severity::Waste, &subject, &how);
    }

    fn add(&mut self, severity: Severity, subject: &dyn Display, how: &dyn Display) {
        let (subject, how) = (subject.to_string(), how.to_string());
        self.findings.push(Finding {
            severity,
            subject,
            how,
        });
    }

    /// A pack is not to be believed: what it held is gone.
    pub(crate) fn pack(&mut self, id: Id, entries: &[Entry], how: impl Display) {
        self.damage(format!("pack {id}"), how);
        self.packs.insert(id);
        self.blobs
            .extend(entries.iter().map(|entry| (entry.kind, entry.id)));
    }
}

/// The blobs of every pack that some index lists.
pub(crate) type Packs = BTreeMap<Id, Vec<Entry>>;

/// Looks at everything, goes on past every fault, and lists them all. Only what hinders looking itself is an error: a
/// folder that cannot be listed, a lock that cannot be had.
pub fn check(
    repository: &Repository,
    depth: Depth,
    progress: &dyn Progress,
) -> Result<Checked, BackupError> {
    let _lock = Lock::take(repository, Sharing::Shared)?;
    let mut found = Found::default();
    files::openers(repository, &mut found)?;
    // In this order, so that what a backup adds meanwhile is never taken for missing.
    let snapshots = snapshots(repository, &mut found)?;
    let (packs, index) = indexes(repository, &mut found)?;
    packs::compare(repository, &packs, &mut found)?;
    let mut bytes_read = 0;
    if depth == Depth::ReadData {
        bytes_read = packs::read_all(repository, &packs, &mut found, progress)?;
    }
    trees::walk(repository, &index, &snapshots, &mut found);
    let affected = affected(repository, &index, &snapshots, &found.blobs);
    let mut findings = found.findings;
    findings.sort();
    findings.dedup();
    Ok(Checked {
        findings,
        damaged_packs: found.packs,
        affected,
        snapshots: snapshots.len() as u64,
        packs: packs.len() as u64,
        bytes_read,
    })
}

/// Every snapshot that can be read.
pub(crate) fn snapshots(
    repository: &Repository,
    found: &mut Found,
) -> Result<Vec<(Id, Snapshot)>, BackupError> {
    let mut snapshots = Vec::new();
    for (id, _) in repository.list(FileKind::Snapshot)? {
        match repository.snapshot(id) {
            Ok(snapshot) => snapshots.push((id, snapshot)),
            Err(error) => found.damage(format!("snapshot {id}"), error),
        }
    }
    Ok(snapshots)
}

/// All that the indexes list that can be read.
pub(crate) fn indexes(
    repository: &Repository,
    found: &mut Found,
) -> Result<(Packs, Index), BackupError> {
    let mut packs = Packs::new();
    for (id, _) in repository.list(FileKind::Index)? {
        match repository.index_file(id) {
            Ok(listed) => {
                for (pack, entries) in listed {
                    packs.entry(pack).or_default().extend(entries);
                }
            }
            Err(error) => found.damage(format!("index {id}"), error),
        }
    }
    let mut gathered = Gathered::default();
    for (pack, entries) in &mut packs {
        entries.sort_unstable_by_key(|entry| (entry.offset, entry.id));
        entries.dedup();
        gathered.add(*pack, entries.iter().copied());
    }
    let index = gathered.index();
    Ok((packs, index))
}
