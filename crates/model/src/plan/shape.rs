//! The plan file as people write it: what may be left out, what may be written short. The schema comes from here.
//! Must not know what is checked beyond a single value, nor the defaults that depend on other parts of the file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::file::{
    Backup, Copy, Isolation, OnLoss, OnSkew, Role, Scenario, Secret, Standby, WorkloadRole, Writers,
};
use crate::{
    ComponentId, ExternalId, GroupId, KindName, Phase, RepositoryId, SiteId, Span, moment::Moment,
};

/// A Mainstay plan file: what a team runs, where, and what it promises.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "Mainstay plan file")]
#[expect(dead_code, reason = "read part by part; the whole is for the schema")]
pub(super) struct Shape {
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    mainstay: u32,
    /// The system's name.
    system: SystemName,
    /// Regions, zones or clusters.
    #[schemars(extend("maxProperties" = MAX_SITES))]
    sites: BTreeMap<SiteId, SiteShape>,
    /// Where components are active before anything was ever moved: a site, or weights per site; `default` for all others.
    #[schemars(default)]
    placement: BTreeMap<ComponentId, PlacementShape>,
    /// What is promised, where a component does not say otherwise.
    #[schemars(default)]
    objectives: ObjectivesShape,
    /// Where Mainstay keeps its own state.
    #[schemars(default)]
    control: ControlShape,
    /// Places for backups, away from the sites.
    #[schemars(default)]
    repositories: BTreeMap<RepositoryId, RepositoryShape>,
    /// Data.
    #[schemars(default)]
    stores: BTreeMap<ComponentId, StoreShape>,
    /// Stores that must be consistent with each other.
    #[schemars(default)]
    groups: BTreeMap<GroupId, GroupShape>,
    /// Compute.
    #[schemars(default)]
    workloads: BTreeMap<ComponentId, WorkloadShape>,
    /// Traffic.
    #[schemars(default)]
    routes: BTreeMap<ComponentId, RouteShape>,
    /// What the system uses and does not own.
    #[schemars(default)]
    externals: BTreeMap<ExternalId, ExternalShape>,
    /// How tenants share the stores.
    #[schemars(default)]
    tenants: Option<TenantsShape>,
    /// Announced maintenance.
    #[schemars(default)]
    windows: Vec<WindowShape>,
    /// How a disaster is noticed.
    #[schemars(default)]
    detect: Option<DetectShape>,
    /// A team's own steps.
    #[schemars(default)]
    steps: BTreeMap<ExternalId, StepShape>,
    /// Who is told.
    #[schemars(default)]
    contacts: BTreeMap<ExternalId, ContactShape>,
    /// Rehearsals.
    #[schemars(default)]
    drills: BTreeMap<ExternalId, Map<String, Value>>,
}

/// The most sites of a file. Some checks compare every site with every other.
pub(super) const MAX_SITES: usize = 100;

/// The system's name: letters, digits, '-', '_' and '.'.
pub(super) type SystemName = ExternalId;

/// A region, zone or cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SiteShape {
    /// Failure domain: two sites in one fall together.
    #[schemars(length(min = 1, max = 253))]
    pub(super) domain: String,
    /// What it is for.
    #[serde(default = "data")]
    pub(super) role: Role,
    /// Where its agent listens, `unix:PATH`.
    #[schemars(regex(pattern = "^unix:.+$"))]
    pub(super) agent: Option<String>,
    /// An address that answers over the network while the site lives, for observers.
    #[schemars(regex(pattern = "^https?://.+$"))]
    pub(super) health: Option<String>,
    /// How it can be fenced, in order of preference.
    #[serde(default)]
    pub(super) fence: Vec<Map<String, Value>>,
}

fn data() -> Role {
    Role::Data
}

/// A site, or weights per site.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum PlacementShape {
    /// Active at one site.
    Site(SiteId),
    /// Active at several, in these shares.
    Weights(BTreeMap<SiteId, u32>),
}

/// What is promised.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ObjectivesShape {
    /// At most so much source time may be lost.
    pub(super) rpo: Option<Span>,
    /// At most so long may a move take.
    pub(super) rto: Option<Span>,
}

/// Where Mainstay keeps its own state.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ControlShape {
    /// `file:PATH`, relative to the plan file.
    #[schemars(regex(pattern = "^file:.+$"))]
    pub(super) state: Option<String>,
}

/// A place for backups, away from the sites.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RepositoryShape {
    /// Where it is: `file:PATH`, `s3://BUCKET/PATH`, `azblob://...`, `gcs://...`, `sftp://...`.
    #[schemars(regex(pattern = "^(file|s3|azblob|gcs|sftp):.+$"))]
    pub(super) url: String,
    /// Failure domain.
    pub(super) domain: Option<String>,
    /// What it is encrypted with.
    pub(super) password: Option<Secret>,
    /// In which time all of it is read again, to find what rots. Default: 30d.
    pub(super) scrub: Option<Span>,
    /// Other repositories of this file that are kept as copies of this one, with the same password. What is damaged here
    /// is mended from there.
    #[serde(default)]
    pub(super) mirrors: Vec<RepositoryId>,
    /// Options of the storage service.
    #[serde(default)]
    pub(super) options: Map<String, Value>,
}

/// A store need not be brought along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Disposable {
    /// It is rebuilt at the target.
    Rebuild,
}

/// Data.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct StoreShape {
    /// What operates it.
    pub(super) kind: KindName,
    /// Where it is, with the kind's options for each site.
    #[schemars(extend("minProperties" = 1))]
    pub(super) at: BTreeMap<SiteId, Value>,
    /// How it reaches the other site.
    pub(super) copy: Option<Copy>,
    /// Scheduled restore points.
    #[serde(default)]
    pub(super) backup: Vec<Backup>,
    /// It need not be brought along.
    pub(super) disposable: Option<Disposable>,
    /// Who may write.
    pub(super) writers: Option<Writers>,
    /// Sites behind one endpoint.
    #[serde(default)]
    pub(super) spans: Vec<SiteId>,
    /// What a forced move does when it cannot be brought along.
    pub(super) on_loss: Option<OnLoss>,
    /// The owner holds a lease of this length, granted by the witness.
    pub(super) lease: Option<Span>,
    /// What is promised for it.
    #[serde(default)]
    pub(super) objectives: ObjectivesShape,
    /// What waits at the other site.
    pub(super) standby: Option<Standby>,
    /// How long one step on it may take.
    pub(super) timeout: Option<Span>,
}

/// Stores that must be consistent with each other.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupShape {
    /// The stores.
    #[schemars(length(min = 1))]
    pub(super) stores: Vec<ComponentId>,
    /// What happens when their recovery points differ.
    #[serde(default = "report")]
    pub(super) on_skew: OnSkew,
    /// Who checks it after a promote: a workload or a store.
    pub(super) check: Option<ComponentId>,
}

fn report() -> OnSkew {
    OnSkew::Report
}

/// A store that a workload uses, and the route it goes through, if any.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum UseShape {
    /// Directly.
    Store(ComponentId),
    /// Through a route.
    Via(ViaShape),
}

/// A store that a workload uses through a route.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ViaShape {
    /// The store.
    pub(super) store: ComponentId,
    /// The route.
    #[serde(default)]
    pub(super) via: Option<ComponentId>,
}

/// Compute.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct WorkloadShape {
    /// What operates it.
    pub(super) kind: KindName,
    /// Where it is, with the kind's options for each site.
    #[schemars(extend("minProperties" = 1))]
    pub(super) at: BTreeMap<SiteId, Value>,
    /// A special part that it plays.
    #[serde(default = "service")]
    pub(super) role: WorkloadRole,
    /// Stores that it uses.
    #[serde(default)]
    pub(super) uses: Vec<UseShape>,
    /// Workloads that start before it. Stop order is the reverse.
    #[serde(default)]
    pub(super) after: Vec<ComponentId>,
    /// What waits at the other site.
    pub(super) standby: Option<Standby>,
    /// Whether a move fails when it does.
    #[serde(default = "yes")]
    pub(super) required: bool,
    /// How long it may take to finish what it is doing when it is stopped.
    pub(super) grace: Option<Span>,
    /// What is promised for it.
    #[serde(default)]
    pub(super) objectives: ObjectivesShape,
    /// How long one step on it may take.
    pub(super) timeout: Option<Span>,
}

fn service() -> WorkloadRole {
    WorkloadRole::Service
}

fn yes() -> bool {
    true
}

/// Traffic.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct RouteShape {
    /// What operates it.
    pub(super) kind: KindName,
    /// Where it can lead, with the kind's options for each site.
    #[schemars(extend("minProperties" = 1))]
    pub(super) to: BTreeMap<SiteId, Value>,
    /// Workloads or stores it is in front of.
    #[serde(default)]
    pub(super) serves: Vec<ComponentId>,
    /// How long clients may keep the old answer.
    pub(super) ttl: Option<Span>,
    /// Whether a move fails when it does.
    #[serde(default = "yes")]
    pub(super) required: bool,
    /// How long one step on it may take.
    pub(super) timeout: Option<Span>,
}

/// What the system uses and does not own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExternalShape {
    /// How to see that it answers.
    pub(super) check: Option<Map<String, Value>>,
    /// What a drill uses in its place, such as `stub`.
    pub(super) drill: Option<String>,
}

/// How tenants share the stores.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantsShape {
    /// How they are kept apart.
    pub(super) isolation: Isolation,
    /// The column, label or path part that names the tenant.
    pub(super) key: String,
    /// Tiers with objectives of their own.
    #[serde(default)]
    pub(super) tiers: BTreeMap<ExternalId, ObjectivesShape>,
}

/// Announced maintenance.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WindowShape {
    /// Its start.
    pub(super) from: Moment,
    /// Its end.
    pub(super) until: Moment,
    /// What was announced.
    pub(super) note: Option<String>,
}

/// A standing acceptance: Mainstay may move by itself. Bound to the hash of this file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ActShape {
    /// What must have happened.
    pub(super) scenario: Scenario,
    /// The most source time that may be lost.
    pub(super) accept_loss: Span,
    /// When the acceptance ends.
    pub(super) until: Moment,
}

/// How a disaster is noticed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DetectShape {
    /// Sites whose agents watch.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(super) observers: Vec<SiteId>,
    /// How often they look.
    #[serde(default = "every")]
    pub(super) every: Span,
    /// How long something must be down before it counts.
    #[serde(default = "confirm")]
    pub(super) confirm: Span,
    /// The least time between two automatic failovers.
    #[serde(default = "cooldown")]
    pub(super) cooldown: Span,
    /// Where Mainstay may act without being asked.
    #[serde(default)]
    pub(super) act: Vec<ActShape>,
}

fn every() -> Span {
    Span::from_secs(1)
}

fn confirm() -> Span {
    Span::from_secs(3)
}

fn cooldown() -> Span {
    Span::from_secs(600)
}

/// A team's own step, anchored before or after a phase.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct StepShape {
    /// What carries it out.
    pub(super) kind: KindName,
    /// The phase that it comes before.
    pub(super) before: Option<Phase>,
    /// The phase that it comes after.
    pub(super) after: Option<Phase>,
    /// The site whose agent carries it out.
    pub(super) at: Option<SiteId>,
    /// Whether a move fails when it does.
    #[serde(default = "yes")]
    pub(super) required: bool,
    /// How long it may take.
    pub(super) timeout: Option<Span>,
}

/// A person or a list to tell.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContactShape {
    /// Where to: `mailto:...`, `https://...`.
    pub(super) notify: String,
    /// Whether an answer is waited for.
    #[serde(default)]
    pub(super) acknowledge: bool,
}
