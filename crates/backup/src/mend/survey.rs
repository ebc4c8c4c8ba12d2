//! Finding out what is damaged, who has it whole, and what is needed of it. Nothing is changed.
//! Must not know how anything is written.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    mem,
    sync::Arc,
};

use mainstay_storage::ObjectName;

use super::{
    MendPlan, Salvage,
    supply::{self, Had, had},
    view::View,
};
use crate::{
    BackupError, BlobKind, FileKind, Id, Index, Progress, Repository, Snapshot,
    check::{self, Fault, Hands, affected, is_gone, read_tree, whole},
    index::{Gathered, Listed},
    layout,
    pack::{Entry, tail_length},
};

/// The plan, and what carrying it out needs besides.
pub(super) struct Survey {
    pub(super) plan: MendPlan,
    /// What each index lists, those included that are taken from the other copy.
    pub(super) indexes: BTreeMap<Id, Vec<Listed>>,
    /// The blobs that are saved from each damaged pack.
    pub(super) salvage: BTreeMap<Id, Vec<Entry>>,
    /// The blobs that are copied, with the pack of the other copy that has them.
    pub(super) fetch: Vec<(Id, Entry)>,
    /// Packs that are listed again.
    pub(super) list: Vec<Listed>,
}

/// Looks at every key, snapshot and index, at the lengths of all packs, at everything that snapshots need, and into
/// the packs that are suspected.
pub(super) fn survey(
    own: &Repository,
    other: Option<&Repository>,
    suspects: &BTreeSet<Id>,
    progress: &dyn Progress,
) -> Result<Survey, BackupError> {
    if other.is_some_and(|other| !own.is_same(other)) {
        return Err(BackupError::NotACopy {
            why: "it holds another repository",
        });
    }
    let mut suspects = suspects.clone();
    loop {
        let mut looking = Looking::new(own, other, progress);
        looking.files()?;
        looking.snapshots()?;
        looking.indexes()?;
        looking.packs(&suspects)?;
        looking.unlisted()?;
        looking.others()?;
        let more = looking.needed(&suspects)?;
        if more.is_empty() {
            return looking.finish();
        }
        // A folder's tree could not be read from a pack that nobody suspected.
        suspects.extend(more);
    }
}

/// A blob and who has it.
type Blob = (BlobKind, Id);

struct Looking<'a> {
    own: &'a Repository,
    other: Option<&'a Repository>,
    progress: &'a dyn Progress,
    plan: MendPlan,
    snapshots: Vec<(Id, Snapshot)>,
    indexes: BTreeMap<Id, Vec<Listed>>,
    /// Every pack that an index lists, and every pack that is there.
    listed: BTreeMap<Id, Vec<Entry>>,
    there: BTreeMap<Id, u64>,
    salvage: BTreeMap<Id, Vec<Entry>>,
    unlisted: BTreeMap<Id, Vec<Entry>>,
    /// Packs of the other copy, by the ids under which they are seen.
    others: BTreeMap<Id, (Id, Vec<Entry>)>,
    view: View,
    /// All of it, in the order in which a blob is taken from several places.
    gathered: Gathered,
    index: Index,
    needed: HashSet<Blob>,
    lost: HashSet<Blob>,
    fetch: Vec<(Id, Entry)>,
}

/// How long a pack of these blobs is.
fn length(entries: &[Entry]) -> u64 {
    let blobs: u64 = entries.iter().map(|entry| u64::from(entry.length)).sum();
    blobs + tail_length(entries.iter().copied())
}

fn blobs(entries: &[Entry]) -> BTreeSet<Blob> {
    entries.iter().map(|entry| (entry.kind, entry.id)).collect()
}

impl<'a> Looking<'a> {
    fn new(own: &'a Repository, other: Option<&'a Repository>, progress: &'a dyn Progress) -> Self {
        Self {
            own,
            other,
            progress,
            plan: MendPlan::default(),
            snapshots: Vec::new(),
            indexes: BTreeMap::new(),
            listed: BTreeMap::new(),
            there: BTreeMap::new(),
            salvage: BTreeMap::new(),
            unlisted: BTreeMap::new(),
            others: BTreeMap::new(),
            view: View {
                own: own.clone(),
                other: other.cloned(),
                taken: BTreeSet::new(),
                others: BTreeMap::new(),
            },
            gathered: Gathered::default(),
            index: Index::default(),
            needed: HashSet::new(),
            lost: HashSet::new(),
            fetch: Vec::new(),
        }
    }

    fn go_on(&self) -> Result<(), BackupError> {
        if self.progress.go_on() {
            Ok(())
        } else {
            Err(BackupError::Cancelled)
        }
    }

    fn take(&mut self, name: ObjectName) {
        self.view.taken.insert(name.clone());
        self.plan.replace.insert(name);
    }

    /// `config`, and the keys.
    fn files(&mut self) -> Result<(), BackupError> {
        let mut names = vec![layout::config()?];
        for (id, _) in self.own.list(FileKind::Key)? {
            names.push(FileKind::Key.name(id)?);
        }
        for name in names {
            match had(self.own, self.other, |one| whole(one, &name))? {
                Had::Here(_) => {}
                Had::There(_) => self.take(name),
                Had::Nowhere(how) => {
                    self.plan.left.insert(name, how);
                }
            }
        }
        Ok(())
    }

    fn snapshots(&mut self) -> Result<(), BackupError> {
        for (id, _) in self.own.list(FileKind::Snapshot)? {
            self.go_on()?;
            let name = FileKind::Snapshot.name(id)?;
            match had(self.own, self.other, |one| one.snapshot(id))? {
                Had::Here(snapshot) => self.snapshots.push((id, snapshot)),
                Had::There(snapshot) => {
                    self.take(name);
                    self.snapshots.push((id, snapshot));
                }
                Had::Nowhere(_) => {
                    self.plan.aside.insert(name);
                    self.plan.lost_snapshots.insert(id);
                }
            }
        }
        Ok(())
    }

    fn indexes(&mut self) -> Result<(), BackupError> {
        for (id, _) in self.own.list(FileKind::Index)? {
            self.go_on()?;
            let name = FileKind::Index.name(id)?;
            let listed = match had(self.own, self.other, |one| one.index_file(id))? {
                Had::Here(listed) => listed,
                Had::There(listed) => {
                    self.take(name);
                    listed
                }
                Had::Nowhere(_) => {
                    self.plan.aside.insert(name);
                    continue;
                }
            };
            for (pack, entries) in &listed {
                self.listed.entry(*pack).or_default().extend(entries);
            }
            self.indexes.insert(id, listed);
        }
        for entries in self.listed.values_mut() {
            entries.sort_unstable_by_key(|entry| (entry.offset, entry.id));
            entries.dedup();
        }
        Ok(())
    }

    /// Every pack that is listed: sound, taken from the other copy, or to be salvaged.
    fn packs(&mut self, suspects: &BTreeSet<Id>) -> Result<(), BackupError> {
        self.there = self.own.list(FileKind::Pack)?.into_iter().collect();
        let (mut hands, mut bad) = (Hands::default(), Vec::new());
        for (id, entries) in &self.listed {
            let how = match self.there.get(id) {
                None => Some("it is not there".to_owned()),
                Some(size) if *size != length(entries) => Some(format!(
                    "it has {size} bytes, its blobs make {}",
                    length(entries)
                )),
                Some(_) if suspects.contains(id) => {
                    self.go_on()?;
                    match check::prove(self.own, *id, entries, &mut hands) {
                        Ok(()) => None,
                        Err(Fault::Damaged { how, .. }) => Some(how),
                        Err(Fault::Unreadable(how)) => {
                            self.plan.left.insert(FileKind::Pack.name(*id)?, how);
                            None
                        }
                    }
                }
                Some(_) => None,
            };
            bad.extend(how.map(|how| (*id, how)));
        }
        for (id, how) in bad {
            self.bad_pack(id, how)?;
        }
        let sound = self
            .listed
            .iter()
            .filter(|(id, _)| !self.salvage.contains_key(id));
        supply::add(
            &mut self.gathered,
            sound.map(|(id, entries)| (*id, &entries[..])),
        );
        let salvaged = self.salvage.iter();
        supply::add(
            &mut self.gathered,
            salvaged.map(|(id, entries)| (*id, &entries[..])),
        );
        Ok(())
    }

    fn bad_pack(&mut self, id: Id, how: String) -> Result<(), BackupError> {
        let name = FileKind::Pack.name(id)?;
        let there = |other: &Repository| match whole(other, &name) {
            Ok(_) => Ok(true),
            Err(BackupError::Storage(error)) if !is_gone(&error) => Err(error.into()),
            Err(_) => Ok::<_, BackupError>(false),
        };
        if self.other.map(there).transpose()? == Some(true) {
            self.take(name);
            return Ok(());
        }
        let entries = self.listed.get(&id).map_or(&[][..], |entries| entries);
        let readable = supply::readable(self.own, id, entries)?;
        let salvage = Salvage {
            how,
            unreadable: &blobs(entries) - &blobs(&readable),
            readable: BTreeSet::new(),
        };
        self.plan.salvage.insert(id, salvage);
        self.salvage.insert(id, readable);
        Ok(())
    }

    /// Packs that no index lists: what a crash left, or what a lost index listed.
    fn unlisted(&mut self) -> Result<(), BackupError> {
        for id in self.there.keys().filter(|id| !self.listed.contains_key(id)) {
            self.go_on()?;
            if let Some(entries) = supply::listed_by_itself(self.own, *id) {
                self.unlisted.insert(*id, entries);
            }
        }
        let found = self.unlisted.iter();
        supply::add(
            &mut self.gathered,
            found.map(|(id, entries)| (*id, &entries[..])),
        );
        Ok(())
    }

    /// Everything that the other copy has, after all that is here.
    fn others(&mut self) -> Result<(), BackupError> {
        let there = self.other.map(supply::listed_there).transpose()?;
        for (id, entries) in there.into_iter().flatten() {
            let shown = self.view.show(id)?;
            self.gathered.add(shown, entries.iter().copied());
            self.others.insert(shown, (id, entries));
        }
        self.index = mem::take(&mut self.gathered).index();
        Ok(())
    }

    /// Walks everything that snapshots need. Answers packs that have to be looked into first.
    fn needed(&mut self, suspects: &BTreeSet<Id>) -> Result<BTreeSet<Id>, BackupError> {
        let view = self.view();
        let mut more = BTreeSet::new();
        let mut open: Vec<Id> = self.snapshots.iter().map(|(_, one)| one.tree).collect();
        while let Some(id) = open.pop() {
            if !self.needed.insert((BlobKind::Tree, id)) {
                continue;
            }
            self.go_on()?;
            match read_tree(&view, &self.index, id) {
                Ok(nodes) => {
                    for node in nodes {
                        open.extend(node.subtree);
                        let content = node.content.into_iter();
                        self.needed.extend(content.map(|id| (BlobKind::Data, id)));
                    }
                }
                Err(BackupError::Storage(error)) if !is_gone(&error) => return Err(error.into()),
                Err(_) => {
                    let pack = self.pack_of((BlobKind::Tree, id));
                    match pack.filter(|pack| self.listed.contains_key(pack)) {
                        Some(pack) if !suspects.contains(&pack) => _ = more.insert(pack),
                        _ => _ = self.lost.insert((BlobKind::Tree, id)),
                    }
                }
            }
        }
        Ok(more)
    }

    fn view(&self) -> Repository {
        let View {
            own,
            other,
            taken,
            others,
        } = &self.view;
        self.own.on(Arc::new(View {
            own: own.clone(),
            other: other.clone(),
            taken: taken.clone(),
            others: others.clone(),
        }))
    }

    fn pack_of(&self, (kind, id): Blob) -> Option<Id> {
        self.index.pack(self.index.find(kind, &id)?.pack)
    }

    /// Decides for every needed blob where it comes from.
    fn finish(mut self) -> Result<Survey, BackupError> {
        let needed: BTreeSet<Blob> = self.needed.iter().copied().collect();
        for blob in needed {
            match self.pack_of(blob) {
                None => _ = self.lost.insert(blob),
                Some(pack) if self.unlisted.contains_key(&pack) => {
                    self.plan.list.insert(pack);
                }
                Some(pack) => self.fetched(blob, pack)?,
            }
        }
        let index = &self.index;
        for (id, entries) in &mut self.salvage {
            let only_here = |entry: &Entry| {
                let place = index.find(entry.kind, &entry.id);
                place.and_then(|place| index.pack(place.pack)) == Some(*id)
            };
            entries.retain(only_here);
            if let Some(salvage) = self.plan.salvage.get_mut(id) {
                salvage.readable = blobs(entries);
            }
        }
        self.plan.lost_blobs = self.lost.iter().copied().collect();
        self.plan.lost = affected(&self.view(), &self.index, &self.snapshots, &self.lost);
        let listed = self.unlisted.into_iter();
        let list = listed
            .filter(|(id, _)| self.plan.list.contains(id))
            .collect();
        Ok(Survey {
            plan: self.plan,
            indexes: self.indexes,
            salvage: self.salvage,
            fetch: self.fetch,
            list,
        })
    }

    /// A blob that is needed and only in a pack of the other copy: copied, if it is sound there.
    fn fetched(&mut self, blob: Blob, pack: Id) -> Result<(), BackupError> {
        let (Some((real, entries)), Some(other)) = (self.others.get(&pack), self.other) else {
            return Ok(());
        };
        let entry = entries.iter().find(|one| (one.kind, one.id) == blob);
        let Some(entry) = entry else { return Ok(()) };
        match supply::sealed(other, *real, entry) {
            Ok(_) => {
                self.plan.fetch.insert(blob);
                self.fetch.push((*real, *entry));
            }
            Err(BackupError::Storage(error)) if !is_gone(&error) => return Err(error.into()),
            Err(_) => _ = self.lost.insert(blob),
        }
        Ok(())
    }
}
