//! A checked plan file as plain values. Every reference in it resolves and every unit is known.
//! Must not know YAML, positions or how it was checked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ComponentId, Declared, ExternalId, GroupId, KindName, RepositoryId, SiteId, Span, Timestamp,
    Weights,
};

/// The whole file. Field names are the file's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the design's normative shape and docs/plan-file.md say what each field means"
)]
pub struct PlanFile {
    pub system: String,
    /// SHA-256 of the file's bytes, in hex.
    pub hash: String,
    pub sites: BTreeMap<SiteId, Site>,
    /// Where each workload and store is active before anything was ever moved; every component has an entry.
    pub placement: BTreeMap<ComponentId, Weights>,
    pub objectives: Objectives,
    pub control: Control,
    pub repositories: BTreeMap<RepositoryId, Repository>,
    pub stores: BTreeMap<ComponentId, Store>,
    pub groups: BTreeMap<GroupId, Group>,
    pub workloads: BTreeMap<ComponentId, Workload>,
    pub routes: BTreeMap<ComponentId, Route>,
    pub externals: BTreeMap<ExternalId, External>,
    pub tenants: Option<Tenants>,
    pub windows: Vec<Window>,
    pub detect: Option<Detect>,
    pub steps: BTreeMap<String, TeamStep>,
    pub contacts: BTreeMap<String, Contact>,
    pub drills: BTreeMap<String, Value>,
}

/// What a site is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Holds data and serves.
    Data,
    /// Holds no data and only votes.
    Witness,
}

/// A region, zone or cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// Failure domain: two sites in one fall together.
    pub domain: String,
    /// What it is for.
    pub role: Role,
    /// Where its agent listens: `unix:PATH` (default `unix:<control.state>/agents/<site>.sock`).
    pub agent: String,
    /// An address that answers over the network while the site lives (`http://...`), for observers.
    pub health: Option<String>,
    /// How it can be fenced, in order of preference.
    pub fence: Vec<FencerSpec>,
}

/// A way to fence a site: the kind that does it, with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FencerSpec {
    /// `agent`, `exec`, ...
    pub kind: KindName,
    /// The kind's options: an object.
    pub options: Value,
}

/// What is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objectives {
    /// At most so much source time may be lost.
    pub rpo: Span,
    /// At most so long may a move take.
    pub rto: Span,
}

/// Where Mainstay keeps its own state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// `file:PATH`, relative to the plan file.
    pub state: String,
}

/// A reference to a secret, never its value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Secret {
    /// An environment variable of the process that needs it.
    Env(String),
    /// A file that only that process may read.
    File(String),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "{{ env: {name} }}"),
            Self::File(path) => write!(f, "{{ file: {path} }}"),
        }
    }
}

/// A place for backups, away from both sites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the field names are the file's")]
pub struct Repository {
    pub url: String,
    pub domain: Option<String>,
    pub password: Option<Secret>,
    pub scrub: Span,
    pub mirrors: Vec<RepositoryId>,
    pub options: Value,
}

/// How a store reaches the other site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// How often. Without it the store's kind decides; a replica that streams has no interval.
    #[serde(default)]
    pub every: Option<Span>,
    /// Who copies: the store's own replication (`streaming`) or Mainstay (`mirror`).
    #[serde(default)]
    pub by: Option<CopyBy>,
    /// What a delete at the source means for the copy.
    #[serde(default)]
    pub deletes: Option<CopyDeletes>,
    /// Which ends must be stopped while copying: such a store is copied during moves only.
    #[serde(default)]
    pub offline: Option<CopyOffline>,
}

/// Who copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CopyBy {
    /// The store's own replication.
    Streaming,
    /// Mainstay, byte for byte.
    Mirror,
}

/// What a delete at the source means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CopyDeletes {
    /// The copy keeps it.
    Keep,
    /// The copy deletes it too.
    Mirror,
}

/// Which ends must be stopped while copying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CopyOffline {
    /// Both.
    Both,
}

/// Scheduled restore points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// How often.
    pub every: Span,
    /// The repository.
    pub to: RepositoryId,
    /// Which restore points are kept. Without it, all.
    #[serde(default)]
    pub keep: Keep,
    /// For how long any point in time can be restored.
    #[serde(default)]
    pub pitr: Option<Span>,
    /// How often the newest restore point is restored into a scratch place and checked there. Default: 7d.
    #[serde(default = "weekly")]
    pub test: Span,
    /// How often it is compared with what the store has: everything that was created since the last good comparison must
    /// be in it. Default: never by itself; `mainstay backup validate` does it.
    #[serde(default)]
    pub validate: Option<Span>,
}

fn weekly() -> Span {
    Span::from_secs(7 * 24 * 3600)
}

/// Retention.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// All that are younger than this.
    pub within: Option<Span>,
    /// The last so many.
    pub last: Option<u32>,
    /// The last of each of so many hours.
    pub hourly: Option<u32>,
    /// The last of each of so many days.
    pub daily: Option<u32>,
    /// The last of each of so many weeks.
    pub weekly: Option<u32>,
    /// The last of each of so many months.
    pub monthly: Option<u32>,
    /// The last of each of so many years.
    pub yearly: Option<u32>,
}

/// Who may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Writers {
    /// One site at a time.
    One,
    /// The store elects its own primary.
    Elected,
    /// Several sites at once.
    Many,
}

/// What a forced move does about a store that cannot be brought along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnLoss {
    /// Refuse the move.
    Refuse,
    /// Use the last verified copy.
    LastCopy,
    /// Start empty.
    StartEmpty,
}

/// Data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the field names are the file's")]
pub struct Store {
    pub declared: Declared,
    pub copy: Option<Copy>,
    pub backup: Vec<Backup>,
    /// The store need not be brought along: it is rebuilt at the target (`disposable: rebuild`).
    pub disposable: bool,
    pub writers: Writers,
    pub spans: Vec<SiteId>,
    pub on_loss: OnLoss,
    /// The owner holds a lease of this length, granted by the witness (fence class F1).
    pub lease: Option<Span>,
    pub objectives: Objectives,
    pub standby: Standby,
}

/// What waits at the other site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standby {
    /// Serving.
    Hot,
    /// Deployed, not serving.
    Warm,
    /// Does not exist until provisioned.
    Cold,
}

/// What happens when the recovery points of a group differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnSkew {
    /// Say so.
    Report,
    /// Take all back to the oldest.
    Rollback,
    /// Ask a person.
    Ask,
}

/// Stores that must be consistent with each other. Stores that one workload uses together and
/// that no declared group names form one by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the field names are the file's")]
pub struct Group {
    pub stores: Vec<ComponentId>,
    pub on_skew: OnSkew,
    /// Who compares its stores after a promote: a workload with a `reconcile` of its own, else its `verify`; without it
    /// the skew is only reported.
    pub check: Option<ComponentId>,
}

/// A special part that a workload plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WorkloadRole {
    /// Serves.
    Service,
    /// Starts background work: held on both sides first, released last.
    Scheduler,
}

/// A store that a workload uses, and the route it goes through, if any.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the field names are the file's")]
pub struct Use {
    pub store: ComponentId,
    pub via: Option<ComponentId>,
}

/// Compute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the field names are the file's")]
pub struct Workload {
    pub declared: Declared,
    pub role: WorkloadRole,
    pub uses: Vec<Use>,
    pub after: Vec<ComponentId>,
    pub standby: Standby,
    pub required: bool,
    pub grace: Option<Span>,
    pub objectives: Objectives,
}

/// Traffic. Its targets at each site are `declared.at`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the field names are the file's")]
pub struct Route {
    pub declared: Declared,
    /// Workloads or stores it is in front of.
    pub serves: Vec<ComponentId>,
    pub ttl: Option<Span>,
    pub required: bool,
}

/// Something the system uses and does not own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the field names are the file's")]
pub struct External {
    pub check: Option<Value>,
    pub drill: Option<String>,
}

/// How tenants are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Isolation {
    Row,
    Schema,
    Database,
    Instance,
}

/// Many tenants share the stores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the field names are the file's")]
pub struct Tenants {
    pub isolation: Isolation,
    pub key: String,
    /// Tiers with objectives of their own.
    pub tiers: BTreeMap<String, Objectives>,
}

/// Announced maintenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the field names are the file's")]
pub struct Window {
    pub from: Timestamp,
    pub until: Timestamp,
    pub note: Option<String>,
}

/// What the failure detector can name.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Scenario {
    SiteLost,
    ApplicationDown,
    DatabaseDown,
    StorageDown,
}

/// A standing acceptance: Mainstay may move by itself. Bound to this file's hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the field names are the file's")]
pub struct StandingAct {
    pub scenario: Scenario,
    pub accept_loss: Span,
    pub until: Timestamp,
}

/// The failure detector's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the field names are the file's")]
pub struct Detect {
    pub observers: Vec<SiteId>,
    pub every: Span,
    pub confirm: Span,
    pub cooldown: Span,
    pub act: Vec<StandingAct>,
}

/// A team's own step, anchored before or after a phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the field names are the file's")]
pub struct TeamStep {
    pub kind: KindName,
    pub before: Option<crate::Phase>,
    pub after: Option<crate::Phase>,
    pub at: Option<SiteId>,
    pub options: Value,
    pub required: bool,
    pub timeout: Option<Span>,
}

/// A person or a list to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the field names are the file's")]
pub struct Contact {
    pub notify: String,
    pub acknowledge: bool,
}

impl PlanFile {
    /// The declared part of a component of any class.
    #[must_use]
    pub fn declared(&self, name: &ComponentId) -> Option<&Declared> {
        (self.stores.get(name).map(|store| &store.declared))
            .or_else(|| self.workloads.get(name).map(|workload| &workload.declared))
            .or_else(|| self.routes.get(name).map(|route| &route.declared))
    }

    /// Every component as declared: stores, workloads, routes.
    pub fn all_declared(&self) -> impl Iterator<Item = &Declared> {
        let stores = self.stores.values().map(|store| &store.declared);
        let workloads = self.workloads.values().map(|workload| &workload.declared);
        let routes = self.routes.values().map(|route| &route.declared);
        stores.chain(workloads).chain(routes)
    }

    /// The witness, if there is one: the site that grants leases and changes routes.
    #[must_use]
    pub fn witness(&self) -> Option<&SiteId> {
        self.sites
            .iter()
            .find(|(_, site)| site.role == Role::Witness)
            .map(|(name, _)| name)
    }
}
