//! One scrub: what is there is compared with the indexes, and the packs whose turn it is are read to the last byte.
//! Must not know how anything is mended.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use super::{
    ScrubBudget, ScrubMemory,
    budget::{Candidate, Pace, choose},
    memory::{Seen, Wrong},
};
use crate::{
    Affected, BackupError, Finding, Id, Lock, Progress, Repository, Severity, Sharing, Time,
    check::{self, Fault, Found, Packs},
    pack::{Entry, tail_length},
};

/// What a scrub saw, and how fresh the whole repository is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Packs that the indexes list.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packs that were read this time.
    pub packs_read: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// Packs that nobody ever read since they were written, as far as is remembered.
    pub never_read: u64,
    /// When the pack was read that was unread for longest; nothing if no pack was ever read.
    pub stalest: Option<Time>,
    /// Packs that have been unread for longer than the pace allows.
    pub overdue: u64,
    /// Packs that are not there or not what they should be: now, or when they were read last.
    pub damaged: BTreeMap<Id, String>,
    /// Packs that could not be read just now, and may be sound.
    pub unreadable: BTreeMap<Id, String>,
    /// Everything that is not as it should be, the worst first; of the packs too.
    pub findings: Vec<Finding>,
    /// What the damage takes away, by snapshot.
    pub affected: Vec<Affected>,
}

impl Scrubbed {
    /// Whether everything that was ever read is as it should be, and everything could be read.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let damage = |finding: &Finding| finding.severity == Severity::Damage;
        self.unreadable.is_empty() && !self.findings.iter().any(damage)
    }
}

/// Reads the packs whose turn it is and remembers what it saw. The memory is right at any time, also after an error:
/// it is worth keeping then too.
pub fn scrub(
    repository: &Repository,
    memory: &mut ScrubMemory,
    budget: ScrubBudget,
    progress: &dyn Progress,
) -> Result<Scrubbed, BackupError> {
    let _lock = Lock::take(repository, Sharing::Shared)?;
    let mut found = Found::default();
    let snapshots = check::snapshots(repository, &mut found)?;
    let (packs, index) = check::indexes(repository, &mut found)?;
    check::compare(repository, &packs, &mut found)?;
    memory.belong(repository.id());
    if found
        .findings
        .iter()
        .all(|one| one.severity != Severity::Damage)
    {
        // Only what every index says is known: one that cannot be read may list the pack.
        memory.packs.retain(|id, _| packs.contains_key(id));
    }
    let now = Time::now();
    let chosen = chosen(&packs, &found, memory, budget, now);
    let mut scrubbed = read(repository, &packs, &chosen, &mut found, memory, progress)?;
    recall(&packs, &chosen, &mut found, memory);
    measure(&mut scrubbed, &packs, memory, budget.pace, Time::now());
    let damage = |finding: &Finding| finding.severity == Severity::Damage;
    if found.findings.iter().any(damage) {
        check::walk(repository, &index, &snapshots, &mut found);
        scrubbed.affected = check::affected(repository, &index, &snapshots, &found.blobs);
    }
    for finding in &found.findings {
        let id = finding.subject.strip_prefix("pack ");
        if let Some(Ok(id)) = id.map(str::parse::<Id>)
            && finding.severity == Severity::Damage
        {
            scrubbed.damaged.insert(id, finding.how.clone());
        }
    }
    scrubbed.findings = found.findings;
    scrubbed.findings.sort();
    scrubbed.findings.dedup();
    Ok(scrubbed)
}

/// How long a pack of these blobs is.
fn length(entries: &[Entry]) -> u64 {
    let blobs: u64 = entries.iter().map(|entry| u64::from(entry.length)).sum();
    blobs + tail_length(entries.iter().copied())
}

fn chosen(
    packs: &Packs,
    found: &Found,
    memory: &ScrubMemory,
    budget: ScrubBudget,
    now: Time,
) -> BTreeSet<Id> {
    // What is not there, or has another length, is known to be damaged without being read.
    let whole = packs.iter().filter(|(id, _)| !found.packs.contains(id));
    let candidate = |(id, entries): (&Id, &Vec<Entry>)| {
        let size = length(entries);
        let read = memory.fresh(id, size, now).map(|seen| seen.at);
        Candidate {
            id: *id,
            size,
            read,
        }
    };
    let all = whole.map(candidate).collect();
    choose(all, budget, now).into_iter().collect()
}

fn read(
    repository: &Repository,
    packs: &Packs,
    chosen: &BTreeSet<Id>,
    found: &mut Found,
    memory: &mut ScrubMemory,
    progress: &dyn Progress,
) -> Result<Scrubbed, BackupError> {
    let all = packs.iter().filter(|(id, _)| chosen.contains(id));
    let all: Vec<_> = all.map(|(id, entries)| (*id, &entries[..])).collect();
    let shared = Mutex::new((found, memory, Scrubbed::default()));
    let tell = |id: Id, entries: &[Entry], bytes: u64, fault: Option<Fault>| {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, memory, scrubbed) = &mut *shared;
        scrubbed.packs_read += 1;
        scrubbed.bytes_read += bytes;
        let (at, size) = (Time::now(), length(entries));
        match fault {
            None => memory.note_whole(repository.id(), id, size, at),
            // It stays as old as it was.
            Some(Fault::Unreadable(how)) => {
                scrubbed.unreadable.insert(id, how);
            }
            Some(Fault::Damaged { how, lost }) => {
                found.pack(id, &lost, &how);
                let lost = lost.iter().map(|entry| entry.id).collect();
                let wrong = Some(Wrong { how, lost });
                memory.packs.insert(id, Seen { at, size, wrong });
            }
        }
    };
    check::read_each(repository, &all, progress, &tell)?;
    let (_, _, scrubbed) = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(scrubbed)
}

/// Names the packs again that were found damaged an earlier time.
fn recall(packs: &Packs, chosen: &BTreeSet<Id>, found: &mut Found, memory: &ScrubMemory) {
    for (id, entries) in packs {
        let wrong = memory.packs.get(id).and_then(|seen| seen.wrong.as_ref());
        let Some(wrong) = wrong else { continue };
        if chosen.contains(id) || found.packs.contains(id) {
            continue;
        }
        let lost = entries.iter().filter(|one| wrong.lost.contains(&one.id));
        let lost: Vec<Entry> = lost.copied().collect();
        found.pack(*id, &lost, &wrong.how);
    }
}

/// How fresh everything is now.
fn measure(
    scrubbed: &mut Scrubbed,
    packs: &Packs,
    memory: &ScrubMemory,
    pace: Option<Pace>,
    now: Time,
) {
    for (id, entries) in packs {
        let size = length(entries);
        scrubbed.packs += 1;
        scrubbed.bytes += size;
        let read = memory.fresh(id, size, now).map(|seen| seen.at);
        match read {
            None => scrubbed.never_read += 1,
            Some(at) => scrubbed.stalest = Some(scrubbed.stalest.map_or(at, |old| old.min(at))),
        }
        scrubbed.overdue += u64::from(pace.is_some_and(|pace| pace.is_overdue(read, now)));
    }
}
