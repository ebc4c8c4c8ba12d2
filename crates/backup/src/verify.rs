//! How far one snapshot is proven: all that it needs is listed where it should be, with the lengths that it should have
//! (*stored*), and was read back whole, now or earlier, as a scrub remembers (*read back*).
//! Must not know receipts.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::{
    BackupError, BlobKind, FileKind, Finding, Id, Index, Kind, Lock, Repository, ScrubMemory,
    Severity, Sharing, Snapshot, Time,
    check::{self, Found, Packs, read_tree},
    pack::tail_length,
};

/// A repository whose snapshots are verified. What is written to it later is not seen.
pub struct Verifier {
    repository: Repository,
    packs: Packs,
    index: Index,
    there: BTreeMap<Id, u64>,
    _lock: Lock,
}

/// What was seen of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The hash over everything in it.
    pub tree: Id,
    /// Entries in it, folders included.
    pub entries: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Packs that it needs.
    pub packs: BTreeSet<Id>,
    /// Of these, packs that nobody read since they were written, as far as is remembered.
    pub unread: u64,
    /// What is not as it should be.
    pub faults: Vec<Finding>,
}

impl Verified {
    /// Whether all of it is listed where it should be.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.faults.is_empty()
    }

    /// Whether all of it was read back as well, and its hashes matched.
    #[must_use]
    pub fn is_read_back(&self) -> bool {
        self.is_stored() && self.unread == 0
    }
}

impl Verifier {
    /// Reads the indexes and lists the packs.
    pub fn open(repository: &Repository) -> Result<Self, BackupError> {
        let lock = Lock::take(repository, Sharing::Shared)?;
        let mut found = Found::default();
        let (packs, index) = check::indexes(repository, &mut found)?;
        Ok(Self {
            packs,
            index,
            there: repository.list(FileKind::Pack)?.into_iter().collect(),
            repository: repository.clone(),
            _lock: lock,
        })
    }

    /// Looks at everything that a snapshot needs.
    #[must_use]
    pub fn verify(&self, snapshot: &Snapshot, memory: &ScrubMemory) -> Verified {
        let mut seen = Verified {
            tree: snapshot.tree,
            entries: 0,
            bytes: 0,
            packs: BTreeSet::new(),
            unread: 0,
            faults: Vec::new(),
        };
        self.walk(snapshot.tree, &mut seen);
        let now = Time::now();
        for id in seen.packs.clone() {
            let entries = self.packs.get(&id).map_or(&[][..], Vec::as_slice);
            let blobs: u64 = entries.iter().map(|one| u64::from(one.length)).sum();
            let size = blobs + tail_length(entries.iter().copied());
            match self.there.get(&id) {
                Some(there) if *there == size => {}
                Some(there) => {
                    let how = format!("it has {there} bytes, its blobs make {size}");
                    seen.fault(format!("pack {id}"), how);
                }
                None => seen.fault(format!("pack {id}"), "it is not there".to_owned()),
            }
            if !memory.is_whole(&id, size, now) {
                seen.unread += 1;
            }
        }
        seen
    }

    fn walk(&self, root: Id, seen: &mut Verified) {
        let (mut open, mut known) = (vec![root], HashSet::new());
        while let Some(id) = open.pop() {
            if !known.insert(id) {
                // The same folder twice: it is read once, and counts once.
                continue;
            }
            self.need(BlobKind::Tree, id, seen);
            let nodes = match read_tree(&self.repository, &self.index, id) {
                Ok(nodes) => nodes,
                Err(error) => {
                    seen.fault(format!("tree {id}"), error.to_string());
                    continue;
                }
            };
            for node in nodes {
                seen.entries += 1;
                if node.meta.kind == Kind::File {
                    seen.bytes += node.meta.size;
                }
                for part in &node.content {
                    self.need(BlobKind::Data, *part, seen);
                }
                open.extend(node.subtree);
            }
        }
    }

    fn need(&self, kind: BlobKind, id: Id, seen: &mut Verified) {
        let place = self.index.find(kind, &id);
        match place.and_then(|place| self.index.pack(place.pack)) {
            Some(pack) => {
                seen.packs.insert(pack);
            }
            None => seen.fault(format!("{kind} {id}"), "no index lists it".to_owned()),
        }
    }
}

impl Verified {
    fn fault(&mut self, subject: String, how: String) {
        self.faults.push(Finding {
            severity: Severity::Damage,
            subject,
            how,
        });
    }
}
