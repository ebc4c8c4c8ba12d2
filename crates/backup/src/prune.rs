//! Pruning: what no snapshot needs goes. First a plan, which only looks; then its execution, which proves that the
//! plan still holds, writes everything that stays, makes it durable, reads it back, and only then deletes.
//! Whatever cannot be listed or read is a refusal: it may need anything.
//! Must not know which snapshots should stay; that is decided before.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use mainstay_storage::{Part, StorageError};

use crate::{
    BackupError, BlobKind, FileKind, Id, Index, Lock, Progress, Repository, Sharing, Stored,
    check::read_tree,
    index::{Gathered, Listed, Place},
    pack::{Entry, TARGET, tail_length},
    repository::Unseal,
    saver::{Saver, Stopped, with_saver},
};

/// How many percent of what is stored may be unused before packs are written anew: restic's default.
const UNUSED_PERCENT: u64 = 5;
/// Packs smaller than this are put together, once there are so many.
const SMALL: u64 = TARGET as u64 / 4;
const MANY: usize = 8;

/// What pruning will do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunePlan {
    /// Packs of which everything is needed, or nearly.
    pub keep: BTreeSet<Id>,
    /// Packs whose needed blobs go into new packs.
    pub repack: BTreeSet<Id>,
    /// Packs of which nothing is needed, or that no index lists.
    pub delete: BTreeSet<Id>,
    /// Bytes that will be free.
    pub frees: u64,
    /// The index files that are replaced.
    indexes: BTreeSet<Id>,
    /// The snapshots that everything was decided by.
    snapshots: BTreeSet<Id>,
}

impl PrunePlan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.repack.is_empty() && self.delete.is_empty()
    }
}

/// What pruning did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Packs that are gone.
    pub packs: u64,
    /// What was written anew.
    pub stored: Stored,
}

type Used = HashSet<(BlobKind, Id)>;

/// Everything that was seen, and the plan that follows from it.
struct Survey {
    plan: PrunePlan,
    packs: BTreeMap<Id, Vec<Entry>>,
    /// The blobs that are needed from each pack; a blob that several packs hold is needed from one.
    needed: BTreeMap<Id, Vec<Entry>>,
    used: Used,
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn refuse(why: impl ToString) -> BackupError {
    BackupError::PruneRefused {
        why: why.to_string(),
    }
}

/// Finds out what pruning would do. Nothing is changed.
pub fn plan_prune(repository: &Repository) -> Result<PrunePlan, BackupError> {
    let _lock = Lock::take(repository, Sharing::Shared)?;
    Ok(survey(repository)?.plan)
}

/// Carries out a plan, if it still holds.
pub fn prune(
    repository: &Repository,
    plan: &PrunePlan,
    progress: &dyn Progress,
) -> Result<Pruned, BackupError> {
    let lock = Lock::take(repository, Sharing::Exclusive)?;
    let survey = survey(repository)?;
    if survey.plan != *plan {
        return Err(refuse("the repository changed since the plan was made"));
    }
    if plan.is_empty() {
        return Ok(Pruned::default());
    }
    // Nothing counts as there already: what is copied must be in new packs.
    let empty = Index::default();
    let work = |saver: &Saver<'_>| repack(repository, &survey, saver);
    let ((), stored) = with_saver(repository, &empty, &lock, progress, work)?;
    let fresh = fresh(repository, &survey)?;
    let kept = survey.packs.iter().filter(|(id, _)| plan.keep.contains(id));
    let kept = kept.map(|(id, entries)| (*id, entries.clone()));
    let all: Vec<Listed> = kept.chain(fresh.listed).collect();
    let old: Vec<Id> = plan.indexes.iter().copied().chain(fresh.indexes).collect();
    let written = write_indexes(repository, &lock, &all, &old)?;
    prove(repository, &survey, &written)?;
    // From here on nothing refers to what goes.
    delete(repository, &lock, FileKind::Index, old.into_iter())?;
    let gone: BTreeSet<Id> = plan.repack.union(&plan.delete).copied().collect();
    delete(repository, &lock, FileKind::Pack, gone.iter().copied())?;
    Ok(Pruned {
        packs: gone.len() as u64,
        stored,
    })
}

fn delete(
    repository: &Repository,
    lock: &Lock,
    kind: FileKind,
    ids: impl Iterator<Item = Id>,
) -> Result<(), BackupError> {
    let names = ids
        .map(|id| kind.name(id))
        .collect::<Result<Vec<_>, StorageError>>()?;
    for some in names.chunks(1000) {
        lock.check()?;
        repository.storage().delete(some)?;
    }
    Ok(repository.storage().flush()?)
}

/// Looks at everything. Whatever is not as it should be is a refusal.
fn survey(repository: &Repository) -> Result<Survey, BackupError> {
    let snapshots = repository.snapshots().map_err(refuse)?;
    let indexes = repository.list(FileKind::Index).map_err(refuse)?;
    let mut packs: BTreeMap<Id, Vec<Entry>> = BTreeMap::new();
    for (id, _) in &indexes {
        for (pack, entries) in repository.index_file(*id).map_err(refuse)? {
            packs.entry(pack).or_default().extend(entries);
        }
    }
    let mut gathered = Gathered::default();
    for (id, entries) in &mut packs {
        entries.sort_unstable_by_key(|entry| (entry.offset, entry.id));
        entries.dedup();
        gathered.add(*id, entries.iter().copied());
    }
    let index = gathered.index();
    let trees = snapshots
        .iter()
        .map(|(_, snapshot)| snapshot.tree)
        .collect();
    let used = used(repository, &index, trees)?;
    let there: BTreeMap<Id, u64> = repository
        .list(FileKind::Pack)
        .map_err(refuse)?
        .into_iter()
        .collect();
    let needed = needed(&packs, &index, &used, &there)?;
    let mut plan = decide(&packs, &needed, &there);
    plan.indexes = indexes.into_iter().map(|(id, _)| id).collect();
    plan.snapshots = snapshots.into_iter().map(|(id, _)| id).collect();
    Ok(Survey {
        plan,
        packs,
        needed,
        used,
    })
}

/// Every blob that some snapshot needs.
fn used(repository: &Repository, index: &Index, mut open: Vec<Id>) -> Result<Used, BackupError> {
    let mut used = Used::new();
    while let Some(id) = open.pop() {
        if !used.insert((BlobKind::Tree, id)) {
            continue;
        }
        for node in read_tree(repository, index, id).map_err(refuse)? {
            open.extend(node.subtree);
            used.extend(node.content.into_iter().map(|id| (BlobKind::Data, id)));
        }
    }
    match used.iter().find(|(kind, id)| !index.has(*kind, id)) {
        Some((kind, id)) => Err(refuse(format!("{kind} {id} is needed and in no index"))),
        None => Ok(used),
    }
}

/// What is needed from each pack, all of which must be there.
fn needed(
    packs: &BTreeMap<Id, Vec<Entry>>,
    index: &Index,
    used: &Used,
    there: &BTreeMap<Id, u64>,
) -> Result<BTreeMap<Id, Vec<Entry>>, BackupError> {
    let mut needed = BTreeMap::new();
    for (id, entries) in packs {
        let here = |entry: &&Entry| {
            let place = index.find(entry.kind, &entry.id);
            let chosen = place.and_then(|place| Some((index.pack(place.pack)?, place.offset)));
            used.contains(&(entry.kind, entry.id)) && chosen == Some((*id, entry.offset))
        };
        let some: Vec<Entry> = entries.iter().filter(here).copied().collect();
        if some.is_empty() {
            continue;
        }
        let sum: u64 = entries.iter().map(|entry| u64::from(entry.length)).sum();
        let expected = sum + tail_length(entries.iter().copied());
        match there.get(id) {
            Some(size) if *size == expected => {}
            Some(size) => {
                let why = format!("pack {id} is needed and has {size} bytes, not {expected}");
                return Err(refuse(why));
            }
            None => return Err(refuse(format!("pack {id} is needed and not there"))),
        }
        needed.insert(*id, some);
    }
    Ok(needed)
}

/// Shares the packs out.
fn decide(
    packs: &BTreeMap<Id, Vec<Entry>>,
    needed: &BTreeMap<Id, Vec<Entry>>,
    there: &BTreeMap<Id, u64>,
) -> PrunePlan {
    let mut plan = PrunePlan::default();
    let length =
        |entries: &[Entry]| -> u64 { entries.iter().map(|entry| u64::from(entry.length)).sum() };
    let (mut waste, mut total) = (Vec::new(), 0);
    for (id, size) in there {
        let Some(some) = needed.get(id) else {
            plan.delete.insert(*id);
            plan.frees += size;
            continue;
        };
        let unused = packs.get(id).map_or(0, |all| length(all)) - length(some);
        total += length(some);
        plan.keep.insert(*id);
        if unused > 0 {
            waste.push((unused, *id));
        }
    }
    // The worst first, until little enough is left.
    waste.sort_unstable_by(|a, b| b.cmp(a));
    let mut left: u64 = waste.iter().map(|(unused, _)| unused).sum();
    for (unused, id) in waste {
        if left <= total * UNUSED_PERCENT / 100 {
            break;
        }
        left -= unused;
        plan.frees += unused;
        plan.keep.remove(&id);
        plan.repack.insert(id);
    }
    let small = |id: &&Id| there.get(id).is_some_and(|size| *size < SMALL);
    let small: Vec<Id> = plan.keep.iter().filter(small).copied().collect();
    if small.len() >= MANY {
        plan.keep.retain(|id| !small.contains(id));
        plan.repack.extend(small);
    }
    plan
}

/// Copies what is needed into new packs. Every blob is proven on the way, so that damage is never carried on.
fn repack(repository: &Repository, survey: &Survey, saver: &Saver<'_>) -> Result<(), Stopped> {
    let mut hand = saver.hand()?;
    let (mut bytes, mut plain, mut unseal) = (Vec::new(), Vec::new(), Unseal::default());
    for id in &survey.plan.repack {
        for entry in survey.needed.get(id).into_iter().flatten() {
            saver.check()?;
            let place = Place {
                pack: 0,
                offset: entry.offset,
                length: entry.length,
                raw: entry.raw,
            };
            let part = Part::Range {
                from: u64::from(entry.offset),
                len: u64::from(entry.length),
            };
            let read = FileKind::Pack
                .name(*id)
                .and_then(|name| repository.storage().read(&name, part, &mut bytes));
            let sealed = bytes.clone();
            let proven = read.map_err(BackupError::from).and_then(|()| {
                let (kind, id) = (entry.kind, entry.id);
                let opened =
                    repository.open_blob(kind, id, place, &mut bytes, &mut unseal, &mut plain);
                opened.map(|_| ())
            });
            proven.map_err(|error| saver.fail(refuse(error)))?;
            hand.save_sealed(*entry, &sealed)?;
        }
    }
    hand.close()
}

/// The packs that were just written, and the index files that list them.
struct Fresh {
    listed: Vec<Listed>,
    indexes: Vec<Id>,
}

fn fresh(repository: &Repository, survey: &Survey) -> Result<Fresh, BackupError> {
    let mut fresh = Fresh {
        listed: Vec::new(),
        indexes: Vec::new(),
    };
    for (id, _) in repository.list(FileKind::Index).map_err(refuse)? {
        if !survey.plan.indexes.contains(&id) {
            fresh
                .listed
                .extend(repository.index_file(id).map_err(refuse)?);
            fresh.indexes.push(id);
        }
    }
    Ok(fresh)
}

/// How many blobs one index file lists.
const BLOBS_PER_INDEX: usize = 50_000;

fn write_indexes(
    repository: &Repository,
    lock: &Lock,
    all: &[Listed],
    old: &[Id],
) -> Result<BTreeSet<Id>, BackupError> {
    let (mut written, mut some, mut blobs) = (BTreeSet::new(), Vec::new(), 0);
    lock.check()?;
    for pack in all {
        blobs += pack.1.len();
        some.push(pack.clone());
        if blobs >= BLOBS_PER_INDEX {
            written.insert(repository.write_index(&some, old)?);
            (some, blobs) = (Vec::new(), 0);
        }
    }
    if !some.is_empty() {
        written.insert(repository.write_index(&some, old)?);
    }
    repository.storage().flush()?;
    Ok(written)
}

/// Proves, from what is in the container now, that everything that is needed will still be there.
fn prove(
    repository: &Repository,
    survey: &Survey,
    written: &BTreeSet<Id>,
) -> Result<(), BackupError> {
    let there: BTreeMap<Id, u64> = repository
        .list(FileKind::Pack)
        .map_err(refuse)?
        .into_iter()
        .collect();
    let mut stays = Used::new();
    for id in written {
        for (pack, entries) in repository.index_file(*id).map_err(refuse)? {
            let goes = survey.plan.delete.contains(&pack) || survey.plan.repack.contains(&pack);
            if goes || !there.contains_key(&pack) {
                return Err(refuse(format!("pack {pack} should stay and would not")));
            }
            stays.extend(entries.iter().map(|entry| (entry.kind, entry.id)));
        }
    }
    if let Some((kind, id)) = survey.used.iter().find(|one| !stays.contains(one)) {
        return Err(refuse(format!("{kind} {id} is needed and would be lost")));
    }
    let snapshots = repository.list(FileKind::Snapshot).map_err(refuse)?;
    let snapshots: BTreeSet<Id> = snapshots.into_iter().map(|(id, _)| id).collect();
    if snapshots != survey.plan.snapshots {
        return Err(refuse("snapshots came or went meanwhile"));
    }
    Ok(())
}
