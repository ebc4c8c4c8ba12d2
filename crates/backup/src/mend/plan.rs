//! What mending will do, and what it did.
//! Must not know how.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_storage::ObjectName;

use crate::{Affected, BlobKind, Id, Stored};

/// What mending will do. Nothing that is damaged is thrown away: it is kept below `damaged/` as far as it can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MendPlan {
    /// Files that are damaged or missing here and sound in the other copy: they are taken from there.
    pub replace: BTreeSet<ObjectName>,
    /// Packs that are damaged or missing here, and whole nowhere: what can be read of them goes into new packs.
    pub salvage: BTreeMap<Id, Salvage>,
    /// Packs that are sound and needed and in no index: they are listed again.
    pub list: BTreeSet<Id>,
    /// Blobs that snapshots need, that no pack here has, and the other copy does: they are copied.
    pub fetch: BTreeSet<(BlobKind, Id)>,
    /// Indexes and snapshots that can be read nowhere: they are set aside, for they hinder everything else.
    pub aside: BTreeSet<ObjectName>,
    /// Blobs that snapshots need and nobody has.
    pub lost_blobs: BTreeSet<(BlobKind, Id)>,
    /// Snapshots that can be read nowhere.
    pub lost_snapshots: BTreeSet<Id>,
    /// The paths that stay damaged.
    pub lost: Vec<Affected>,
    /// What could not be read just now, and may be sound; and what is damaged and nobody can mend, with the reason. It
    /// is left as it is.
    pub left: BTreeMap<ObjectName, String>,
}

/// What is saved of a pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvage {
    /// How it is damaged.
    pub how: String,
    /// Blobs that are sound in it and nowhere else here.
    pub readable: BTreeSet<(BlobKind, Id)>,
    /// Blobs that are not.
    pub unreadable: BTreeSet<(BlobKind, Id)>,
}

impl MendPlan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.replace.is_empty()
            && self.salvage.is_empty()
            && self.list.is_empty()
            && self.fetch.is_empty()
            && self.aside.is_empty()
    }

    /// Whether everything will be as it should be afterwards.
    #[must_use]
    pub fn mends_all(&self) -> bool {
        self.lost_blobs.is_empty() && self.lost_snapshots.is_empty() && self.left.is_empty()
    }
}

/// What mending did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mended {
    /// Where the damaged files are kept now.
    pub kept: BTreeSet<ObjectName>,
    /// Damaged files that could not be kept, because they cannot be read: those that were replaced are gone, the
    /// others were left where they are.
    pub not_kept: BTreeSet<ObjectName>,
    /// What was written into new packs.
    pub stored: Stored,
}
