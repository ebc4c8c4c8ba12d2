//! What was seen, by whom, when. Every fact is optional: a driver states what it saw and nothing else.
//! Must not know goals, steps or how a fact was obtained.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::kind::FenceClass;
use crate::{AgentId, Epoch, RunId, SiteId, Timestamp};

/// The answer to a question about the world. Guessing is not an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tri {
    /// Seen to be so.
    Holds,
    /// Seen not to be so.
    DoesNot,
    /// Not seen, or seen too little.
    CannotTell,
}

impl Tri {
    /// All of the given answers: one "does not" decides, else one "cannot tell" does.
    #[must_use]
    pub fn all(answers: impl IntoIterator<Item = Self>) -> Self {
        answers
            .into_iter()
            .fold(Self::Holds, |sum, next| match (sum, next) {
                (Self::DoesNot, _) | (_, Self::DoesNot) => Self::DoesNot,
                (Self::CannotTell, _) | (_, Self::CannotTell) => Self::CannotTell,
                (Self::Holds, Self::Holds) => Self::Holds,
            })
    }
}

impl From<bool> for Tri {
    fn from(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::DoesNot }
    }
}

/// How far a store's content goes. Only positions of the same sort can be compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// A byte position in a write-ahead log (`PostgreSQL`'s LSN).
    Lsn(u64),
    /// A counter that grows with every commit.
    Counter(u64),
    /// A digest of the whole content, in hex: equal or not, no order.
    Digest(String),
}

impl Position {
    /// Whether content at `self` includes everything that content at `other` has; `None` when
    /// the two cannot be compared. Unequal digests do not cover each other.
    #[must_use]
    pub fn covers(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Lsn(a), Self::Lsn(b)) | (Self::Counter(a), Self::Counter(b)) => Some(a >= b),
            (Self::Digest(a), Self::Digest(b)) => Some(a == b),
            _ => None,
        }
    }
}

/// The ownership mark kept at the store itself, by conditional write where the store can.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// The epoch of the last enabling of writes.
    pub epoch: Epoch,
    /// The site that owns the store.
    pub owner: SiteId,
    /// The run that wrote the mark; none for an initialisation or adoption.
    pub run: Option<RunId>,
}

/// What a store lets its users do at one site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Takes application writes.
    Open,
    /// Holds the data and refuses application writes.
    Sealed,
    /// A copy that follows another site.
    Replica,
    /// Not running.
    Stopped,
    /// There is nothing here.
    Empty,
}

/// The newest position of a store that is proven at the destination.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecoveryPoint {
    /// The site the data came from.
    pub source: SiteId,
    /// Source time: every write acknowledged before it is included. Taken before the copy read its first byte.
    pub taken_at: Timestamp,
    /// The position that was reached and verified.
    pub position: Position,
}

/// A store at one site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StoreFacts {
    /// What it lets its users do.
    pub access: Access,
    /// Its ownership mark, if it has one.
    pub mark: Option<Mark>,
    /// How far its content goes.
    pub position: Option<Position>,
    /// For a copy: what it has proven.
    pub recovery: Option<RecoveryPoint>,
    /// For a copy: bytes known to be missing.
    pub behind_bytes: Option<u64>,
    /// Whether an application wrote under the mark's epoch at this site.
    pub written: Option<bool>,
}

/// A workload at one site.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkloadFacts {
    /// Instances that exist as processes, pods, ...; zero is proven to be stopped.
    pub running: Option<u32>,
    /// Instances that pass their readiness probe.
    pub ready: Option<u32>,
    /// For a scheduler: whether it starts no new work.
    pub held: Option<bool>,
    /// The deployed version.
    pub version: Option<String>,
}

/// A route, as an outsider sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RouteFacts {
    /// Traffic weight for each site; a site without traffic is absent.
    pub weights: BTreeMap<SiteId, u32>,
    /// The epoch record beside it: the last plan that changed the route.
    pub epoch: Epoch,
}

/// Proof that nobody below an epoch can write any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FenceFacts {
    /// Writers with an epoch below this one are shut out, surely.
    pub below: Epoch,
    /// By which class of fence.
    pub class: FenceClass,
    /// What was seen, in words, for the record.
    pub evidence: String,
}

/// The answer of a health or verification check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// The check passed.
    Passed,
    /// The check ran and failed, with its words.
    Failed(String),
}

/// Everything that one observation saw of one subject at one site.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Whether the thing exists at all (cold standby: not until provisioned).
    pub exists: Option<bool>,
    /// A workload's facts.
    pub workload: Option<WorkloadFacts>,
    /// A store's facts.
    pub store: Option<StoreFacts>,
    /// A route's facts.
    pub route: Option<RouteFacts>,
    /// A fence's facts.
    pub fence: Option<FenceFacts>,
    /// A check's answer.
    pub health: Option<Health>,
    /// The epoch of the last promote after which a group's stores were compared here, and what was found was settled.
    pub reconciled: Option<Epoch>,
    /// The kind's own facts, for its own goals and for reports.
    pub extra: BTreeMap<String, String>,
}

/// What one look saw.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// It answered.
    Known(Box<Facts>),
    /// It did not answer. Says nothing about what it is doing.
    Unreachable {
        /// Since when, by the observer's clock.
        since: Timestamp,
        /// Why, in words.
        why: String,
    },
}

/// A reading, with who took it and when.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sample {
    /// What was seen.
    pub reading: Reading,
    /// The start of the observation, by one clock.
    pub at: Timestamp,
    /// Who looked.
    pub by: AgentId,
}

impl Sample {
    /// The facts, if it answered.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        match &self.reading {
            Reading::Known(facts) => Some(facts),
            Reading::Unreachable { .. } => None,
        }
    }
}
