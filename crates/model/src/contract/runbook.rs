//! The computed graph of steps, with everything it was computed for. A plan is a value: printable, hashable, pinned.
//! Must not know how it was computed or how far it has come.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{facts::RecoveryPoint, goal::Weights, kind::MoveMode, step::Step};
use crate::{ComponentId, Epoch, PersonId, SiteId, Span, Timestamp};

/// The version of the runbook's stored form.
pub const RUNBOOK_VERSION: u32 = 1;

/// SHA-256 over a runbook's stored form, in hex (I19).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunbookHash(pub String);

impl RunbookHash {
    /// The hash of a stored form.
    #[must_use]
    pub fn of(stored: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(stored)))
    }
}

impl fmt::Display for RunbookHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.get(..12).unwrap_or(&self.0))
    }
}

/// The epochs one store goes through in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EpochPlan {
    /// The epoch before the run.
    pub from: Epoch,
    /// The epoch that the promote takes.
    pub to: Epoch,
    /// The epoch that a retreat takes: greater than `to`, so that a promote that arrives late is void.
    pub retreat: Epoch,
}

/// What would be lost of one store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StoreBound {
    /// The recovery point it was computed from; none makes the bound infinite.
    pub recovery: Option<RecoveryPoint>,
    /// Source time that would be lost; [`Span::MAX`] is unknown.
    pub time: Span,
    /// Bytes known to be missing.
    pub bytes: Option<u64>,
}

/// What a failover would lose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LossBound {
    /// When it was computed: fence time, else now.
    pub at: Timestamp,
    /// Per store.
    pub stores: BTreeMap<ComponentId, StoreBound>,
    /// The greatest of them.
    pub worst: Span,
    /// Greatest difference between recovery points within one group.
    pub skew: Span,
}

/// Somebody accepted to lose data, up to a bound (I9).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Acceptance {
    /// At most so much source time.
    pub limit: Span,
    /// Who accepted.
    pub by: PersonId,
    /// When.
    pub at: Timestamp,
    /// Until when it is good.
    pub until: Timestamp,
    /// The recovery points that were shown; a worse one voids the acceptance.
    pub points: BTreeMap<ComponentId, Option<RecoveryPoint>>,
}

/// What happens when a required step fails before commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Undo everything: the primary is intact.
    Retreat,
    /// Stop and ask a person: there is nothing to go back to.
    Hold,
}

/// A computed, proven graph of steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runbook {
    /// [`RUNBOOK_VERSION`] when it was written.
    pub version: u32,
    /// The declared system's name.
    pub system: String,
    /// Hash of the plan file it was computed from.
    pub plan_hash: String,
    /// Planned move, forced move or reprotect.
    pub mode: MoveMode,
    /// Where things were active.
    pub before: BTreeMap<ComponentId, Weights>,
    /// Where things are active once it is done; only components that this runbook changes.
    pub target: BTreeMap<ComponentId, Weights>,
    /// The sites that are left (fenced or quarantined afterwards).
    pub leaves: Vec<SiteId>,
    /// Epochs of each store that moves.
    pub epochs: BTreeMap<ComponentId, EpochPlan>,
    /// For a failover: what it may lose.
    pub loss: Option<LossBound>,
    /// For a failover: who accepted that.
    pub acceptance: Option<Acceptance>,
    /// For a reprotect that gives up what only that site has: the hash of what was shown. Runbooks of before this
    /// field do not have it, and keep their hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discards: Option<String>,
    /// What happens when a required step fails before commit.
    pub on_failure: OnFailure,
    /// The longest chain of expected step times.
    pub estimate: Span,
    /// The steps; a step's `after` names only earlier ones.
    pub steps: Vec<Step>,
}

impl Runbook {
    /// The hash of the form in which it would be stored now. One that was stored is pinned by [`Pinned::read`].
    pub fn hash(&self) -> Result<RunbookHash, serde_json::Error> {
        Ok(RunbookHash::of(&serde_json::to_vec(self)?))
    }
}

/// A runbook with the hash of the very bytes that are stored of it (I19): a later version, which would write it with
/// more fields, still knows it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// The runbook.
    pub runbook: Arc<Runbook>,
    /// What pins it.
    pub hash: RunbookHash,
}

impl Pinned {
    /// A runbook as it was stored.
    pub fn read(stored: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(Self {
            runbook: Arc::new(serde_json::from_slice(stored)?),
            hash: RunbookHash::of(stored),
        })
    }
}

/// One that was not stored yet. What cannot be stored has an empty hash, which pins nothing.
impl From<Arc<Runbook>> for Pinned {
    fn from(runbook: Arc<Runbook>) -> Self {
        let hash = runbook.hash().unwrap_or(RunbookHash(String::new()));
        Self { runbook, hash }
    }
}

impl From<Runbook> for Pinned {
    fn from(runbook: Runbook) -> Self {
        Arc::new(runbook).into()
    }
}
