//! Snapshots: one restore point each. Source: restic's design document, "Snapshots".
//! Must not know how trees are read.

use serde::{Deserialize, Serialize};

use crate::{Id, Time};

/// The tag of a snapshot that lacks something its source had. It is a plain tag, so that restic shows and keeps it.
pub const INCOMPLETE: &str = "mainstay:incomplete";

/// A snapshot. What Mainstay does not know is lost when it is written again, so a snapshot is never rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When the backup began, by the clock of the machine that made it.
    pub time: Time,
    /// The snapshot that was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Id>,
    /// The tree of everything.
    pub tree: Id,
    /// What was backed up.
    #[serde(default)]
    pub paths: Vec<String>,
    /// On which machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// By which user.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// The user's number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// The group's number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gid: u32,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Patterns of what was left out on purpose: see [`crate::Selection`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
    /// Patterns of what alone was taken in, if there were any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mainstay_includes: Vec<String>,
    /// The first of the snapshots that this one is an edited copy of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Id>,
    /// Which program wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program_version: String,
    /// What is missing, if anything: how many entries, and the first of them with the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mainstay_missing: Option<Missing>,
}

/// What a snapshot lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// How many entries could not be read.
    pub count: u64,
    /// The first of them.
    pub first: Vec<MissingEntry>,
}

/// One entry that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingEntry {
    /// Its path.
    pub path: String,
    /// Why.
    pub why: String,
}

/// Whether everything was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wholeness {
    /// All that the source had.
    Whole,
    /// Something is missing.
    Incomplete,
}

impl Snapshot {
    /// Whether everything was read.
    #[must_use]
    pub fn wholeness(&self) -> Wholeness {
        if self.tags.iter().any(|tag| tag == INCOMPLETE) || self.mainstay_missing.is_some() {
            Wholeness::Incomplete
        } else {
            Wholeness::Whole
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
