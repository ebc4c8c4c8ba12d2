//! The folder as the parent snapshot has it: what did not change is taken from there, unread.
//! Must not know the source.

use std::ops::Range;

use crate::{
    BackupError, BlobKind, Id, Index, Kind, Meta, Repository, Time,
    tree::{self, Brief},
};

/// File times are only this exact: what changed so shortly before the parent was made may have changed again since,
/// and look the same.
const TICK_NANOS: i128 = 50_000_000;

/// A folder of the parent.
pub(super) struct Old {
    id: Id,
    json: Vec<u8>,
    /// Sorted by name, as trees are.
    entries: Vec<(Range<usize>, Brief)>,
}

impl Old {
    /// Reads a folder's tree. A parent that cannot be read is no parent: everything is read again.
    pub(super) fn read(
        repository: &Repository,
        index: &Index,
        id: Id,
    ) -> Result<Self, BackupError> {
        let json = repository.blob(index, BlobKind::Tree, id)?;
        let bad = |how| BackupError::BadBlob {
            kind: BlobKind::Tree,
            id,
            how,
        };
        let mut entries = Vec::new();
        for text in tree::texts(&json).map_err(bad)? {
            let from = text.as_ptr().addr() - json.as_ptr().addr();
            entries.push((from..from + text.len(), tree::brief(text).map_err(bad)?));
        }
        entries.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        Ok(Self { id, json, entries })
    }

    fn find(&self, name: &[u8]) -> Option<&(Range<usize>, Brief)> {
        let at = self
            .entries
            .binary_search_by(|(_, old)| old.name[..].cmp(name));
        self.entries.get(at.ok()?)
    }

    /// The tree of a folder in it.
    pub(super) fn subtree(&self, name: &[u8]) -> Option<Id> {
        self.find(name)?.1.subtree
    }

    /// Whether it has a file of that name, so that a look at the times may save reading it.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.find(name).is_some()
    }

    /// The entry's text and size if it surely did not change and all its blobs are there.
    pub(super) fn unchanged(
        &self,
        name: &[u8],
        now: &Meta,
        made: Time,
        index: &Index,
    ) -> Option<(&[u8], u64)> {
        let (text, old) = self.find(name)?;
        let latest = now.modified.max(now.changed).as_nanos();
        let same = old.kind == Some(now.kind)
            && old.modified == Some(now.modified)
            && old.changed == Some(now.changed)
            && old.inode == now.inode
            && (now.kind != Kind::File || old.size == now.size)
            && latest + TICK_NANOS < made.as_nanos()
            && old.content.iter().all(|id| index.has(BlobKind::Data, id));
        same.then(|| (&self.json[text.clone()], old.size))
    }

    /// Its id, if the tree is still the same.
    pub(super) fn same(&self, json: &[u8], index: &Index) -> Option<Id> {
        (self.json == json && index.has(BlobKind::Tree, &self.id)).then_some(self.id)
    }
}
