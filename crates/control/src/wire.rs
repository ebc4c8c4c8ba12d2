//! What an agent and its callers say to each other: JSON over HTTP over a Unix socket.
//! Must not know who speaks or how an answer is found.

use std::collections::BTreeMap;

use mainstay_driver::{ActError, Cause, Handle, Order, Progress};
use mainstay_model::{
    Action, ComponentId, EffectId, Epoch, ExecutorEpoch, Output, RecoveryPoint, RepositoryId,
    Sample, Saved, Scope, SiteId, Timestamp,
};
use serde::{Deserialize, Serialize};

/// The version of this protocol; an agent answers only its own.
pub const PROTOCOL: u32 = 1;

/// Look at these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserveRequest {
    /// What to look at; answered in this order.
    pub scopes: Vec<Scope>,
    /// The executor that asks, if it is one: from here on the agent refuses older ones (I20).
    pub executor: Option<ExecutorEpoch>,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserveReply {
    /// One for each scope.
    pub samples: Vec<Sample>,
}

/// Do this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActRequest {
    /// The whole order.
    pub order: Order,
}

/// How far is it?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollRequest {
    /// The order that started it.
    pub order: Order,
    /// What to ask about.
    pub handle: Handle,
}

/// The answer to an act or a poll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It is over, or goes on.
    Progress(Progress),
    /// It did not end well.
    Error(ActError),
}

impl From<Result<Progress, ActError>> for Reply {
    fn from(result: Result<Progress, ActError>) -> Self {
        match result {
            Ok(progress) => Self::Progress(progress),
            Err(error) => Self::Error(error),
        }
    }
}

impl From<Reply> for Result<Progress, ActError> {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Progress(progress) => Ok(progress),
            Reply::Error(error) => Err(error),
        }
    }
}

/// Why something is held back at a site that returned or was fenced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Since when.
    pub since: Timestamp,
    /// What was seen, in words.
    pub why: String,
}

/// How the background copy of a store stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyReport {
    /// The site it copies from.
    pub source: Option<SiteId>,
    /// When the last good copy began.
    pub last_ok: Option<Timestamp>,
    /// Its recovery point.
    pub recovery: Option<RecoveryPoint>,
    /// Why the last attempt failed, if it did.
    pub last_error: Option<String>,
}

/// How the backups of a store to one repository stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// When the last good one began.
    pub last_ok: Option<Timestamp>,
    /// What it made.
    pub last: Option<Saved>,
    /// When the last attempt began.
    pub last_tried: Option<Timestamp>,
    /// Why it failed, if it did.
    pub last_error: Option<String>,
}

/// Do this beside any run: a backup, a proof of a restore point, a restore into a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkRequest {
    /// What to do.
    pub action: Action,
}

/// How such work stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkReport {
    /// Its name, to ask again.
    pub id: String,
    /// What is done.
    pub action: Action,
    /// When it began.
    pub started: Timestamp,
    /// When it was over.
    pub ended: Option<Timestamp>,
    /// How far it is.
    pub state: WorkState,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkState {
    /// It goes on.
    Running {
        /// What is known of it, for people.
        note: Option<String>,
    },
    /// It is over.
    Done(Output),
    /// It failed; what it left half done counts for nothing.
    Failed(Cause),
}

/// What an agent says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// Its site.
    pub site: SiteId,
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
    /// The hash of the plan file it works from.
    pub plan_hash: String,
    /// The newest executor it has heard of.
    pub executor: ExecutorEpoch,
    /// Per store, the epoch below which it refuses orders.
    pub floors: BTreeMap<ComponentId, Epoch>,
    /// Why the site is quarantined, if it is.
    pub quarantine: Option<Held>,
    /// Stores that are held back until they were rebuilt or promoted anew.
    pub held: BTreeMap<ComponentId, Held>,
    /// Background copies.
    pub copies: BTreeMap<ComponentId, CopyReport>,
    /// Backups made here, by store and repository.
    #[serde(default)]
    pub backups: BTreeMap<ComponentId, BTreeMap<RepositoryId, BackupReport>>,
}

/// One entry of an agent's own journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its number, from 1.
    pub seq: u64,
    /// The effect.
    pub id: EffectId,
    /// What was ordered.
    pub order: Order,
    /// When its intent was recorded.
    pub started: Timestamp,
    /// Its latest answer; none while nobody knows.
    pub reply: Option<Reply>,
    /// When that was recorded.
    pub ended: Option<Timestamp>,
}

/// Something to look at over the network, by address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeTarget {
    /// What the answer is filed under.
    pub name: String,
    /// `http://`, `https://`, `tcp://HOST:PORT` or `unix:PATH`.
    pub address: String,
    /// After so many milliseconds it did not answer.
    pub timeout_ms: u64,
}

/// Look at these addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRequest {
    /// The addresses.
    pub targets: Vec<ProbeTarget>,
}

/// What became of one probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeAnswer {
    /// It answered, and well (HTTP below 400; a TCP connection).
    Passed,
    /// It answered that it is not well (an HTTP status of 400 or more).
    Failed(String),
    /// It did not answer.
    Silent(String),
}

/// The answers, by the targets' names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReply {
    /// One for each target.
    pub answers: BTreeMap<String, ProbeAnswer>,
    /// When the look began.
    pub at: Timestamp,
}

/// A holder asks for a lease or renews it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// The holder's site.
    pub site: SiteId,
    /// The epoch under which it writes.
    pub epoch: Epoch,
    /// Which process holds it.
    pub holder: String,
}

/// The lease is granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseGranted {
    /// From the moment at which the holder sent its request, in milliseconds.
    pub granted_ms: u64,
    /// The holder stops so many milliseconds earlier, for clocks that run at different speeds.
    pub drift_ms: u64,
}

/// The lease is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRefused {
    /// Why.
    pub refused: String,
    /// The epoch below which nobody gets one.
    pub epoch: Epoch,
}
