//! The pure half of a driver: its options, what it promises, which steps it contributes, when a goal holds.
//! Must not know the world; the other half (`mainstay-driver`) does.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    declared::{Class, Declared},
    facts::{Sample, Tri},
    goal::{Goal, Weights},
    runbook::EpochPlan,
    standard,
    step::{Draft, OutputRef, Phase},
};
use crate::{Epoch, KindName, SiteId, Timestamp};

/// How surely writers below an epoch can be shut out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FenceClass {
    /// None: a person is asked.
    F0,
    /// The writer stops by itself when its lease ends.
    F1,
    /// Confirmed power-off, credential or network cut.
    F2,
    /// The store itself rejects old epochs.
    F3,
}

/// What a forced move may lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossMode {
    /// Nothing: a write counts once the copy has it.
    None,
    /// What the copy has not yet: bounded by the recovery point.
    Lag,
    /// There is nothing to lose: no data, or rebuilt from elsewhere.
    Disposable,
    /// It cannot say.
    Unknown,
}

/// How much a seal is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SealStrength {
    /// Only said: its users were stopped.
    Asserted,
    /// No write was seen after the seal.
    Observed,
    /// The store refuses writes.
    Enforced,
}

/// What happens when an action is carried out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Idempotence {
    /// The second time changes nothing.
    Idempotent,
    /// The effect id or a condition in the store makes the second time harmless.
    Conditional,
    /// It must not happen; an unknown outcome is observed, then a person decides.
    Once,
}

/// What a kind promises for one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traits {
    /// The strongest fence of its own, without the site's.
    pub fence: FenceClass,
    /// What a forced move may lose.
    pub loss: LossMode,
    /// How much its seal is worth.
    pub seal: SealStrength,
    /// What happens when an action is carried out twice.
    pub idempotence: Idempotence,
}

/// Planned, forced, or making protection anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MoveMode {
    /// Planned: nothing lost, or aborted with the primary intact.
    Switchover,
    /// Forced: may lose up to an accepted bound.
    Failover,
    /// Make the site that was left a proven copy again.
    Reprotect,
    /// Stores go back to an earlier state, where they are.
    Restore,
}

/// What a kind is told when it contributes steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// Planned, forced or reprotect.
    pub mode: MoveMode,
    /// The site that the step acts on.
    pub site: SiteId,
    /// Where the component was active, if it moves. In a reprotect: where it is active now.
    pub from: Option<SiteId>,
    /// Where it becomes active. In a reprotect: the site that becomes a copy.
    pub to: SiteId,
    /// The site whose agent does what belongs to no side: routes, leases, questions.
    pub control: SiteId,
    /// The store's epochs, if it is a store; for the check of a group, those of the first of its stores that moves.
    pub epochs: Option<EpochPlan>,
    /// The step that sealed the store at `from`; its output has the position that a copy must reach.
    pub sealed_by: Option<OutputRef>,
    /// For a route: the epoch record and the weights that this phase gives it.
    pub route: Option<(Epoch, Weights)>,
    /// For a route: its weights before the run, for the way back.
    pub route_before: Option<Weights>,
    /// For a fence: the driver that fences (`agent`, `lease`, ...), chosen by the planner.
    pub fencer: Option<KindName>,
}

/// JSON schemas of a kind's options.
#[derive(Debug, Clone, PartialEq)]
pub struct KindSchema {
    /// Of each site's options (`at:`, a route's `to:`).
    pub at: Value,
    /// Of the component's own options, beside the common fields.
    pub options: Value,
}

/// Something a kind dislikes about a component's options, with the place as a path below the component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Keys from the component downwards, such as `["at", "prod", "url"]`.
    pub path: Vec<String>,
    /// What is wrong, a lower-case fragment.
    pub what: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// The pure half of a driver.
pub trait Kind: Send + Sync {
    /// The name used in plan files.
    fn name(&self) -> &'static str;

    /// The classes of components it can be used for; empty for fences, which operate sites.
    fn classes(&self) -> &'static [Class];

    /// The schemas of its options. Unknown fields, wrong types and missing fields are found by them.
    fn schema(&self, class: Class) -> KindSchema;

    /// The schema of its options as a way of fencing a site (`sites.NAME.fence`); none if it cannot fence one.
    fn fence_schema(&self) -> Option<Value> {
        self.classes()
            .is_empty()
            .then(|| self.schema(Class::Workload).options)
    }

    /// What the schema cannot say.
    fn check(&self, declared: &Declared) -> Vec<Complaint> {
        let _ = declared;
        Vec::new()
    }

    /// What it promises for this component.
    fn traits(&self, declared: &Declared) -> Traits;

    /// The steps it contributes to a phase, in order. None means that the phase has nothing to do.
    fn lower(&self, declared: &Declared, phase: Phase, mv: &Move) -> Vec<Draft> {
        standard::lower(declared, phase, mv)
    }

    /// Whether a goal holds, judged by one sample. Never guesses.
    fn holds(&self, goal: &Goal, sample: &Sample, now: Timestamp) -> Tri {
        standard::holds(goal, sample, now)
    }
}

/// Every kind that a binary knows, by name.
#[derive(Clone, Default)]
pub struct Kinds(BTreeMap<&'static str, Arc<dyn Kind>>);

impl Kinds {
    /// No kinds yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind; a later one of the same name replaces the earlier.
    #[must_use]
    pub fn with(mut self, kind: impl Kind + 'static) -> Self {
        self.0.insert(kind.name(), Arc::new(kind));
        self
    }

    /// The kind of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&dyn Kind> {
        self.0.get(name).map(AsRef::as_ref)
    }

    /// All kinds, by name.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Kind> {
        self.0.values().map(AsRef::as_ref)
    }

    /// Whether a goal holds, decided by the kind of its scope, or by the standard rules if that is unknown.
    #[must_use]
    pub fn holds(&self, goal: &Goal, sample: &Sample, now: Timestamp) -> Tri {
        match self.get(goal.scope.driver.as_str()) {
            Some(kind) => kind.holds(goal, sample, now),
            None => standard::holds(goal, sample, now),
        }
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
