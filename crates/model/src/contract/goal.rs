//! What should be true, as a predicate over observed facts.
//! Must not know how it is made true.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{facts::Position, step::OutputRef};
use crate::{ComponentId, Epoch, GroupId, KindName, SiteId, Span};

/// Traffic weight for each site.
pub type Weights = BTreeMap<SiteId, u32>;

/// What is observed or acted on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A component.
    Component(ComponentId),
    /// A group of stores.
    Group(GroupId),
    /// A whole site.
    Site(SiteId),
    /// The declared system.
    System,
}

impl Subject {
    /// The component, if it is one.
    #[must_use]
    pub fn component(&self) -> Option<&ComponentId> {
        match self {
            Self::Component(name) => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(name) => f.pad(name.as_str()),
            Self::Group(name) => f.pad(name.as_str()),
            Self::Site(name) => f.pad(name.as_str()),
            Self::System => f.pad("system"),
        }
    }
}

/// Which instance of a subject is looked at, by which driver, from where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The driver that looks.
    pub driver: KindName,
    /// What is looked at.
    pub subject: Subject,
    /// The site whose instance is meant.
    pub site: SiteId,
    /// The site whose agent looks. A fence of a dead site is observed from elsewhere.
    pub from: SiteId,
}

/// A statement about one scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Goal {
    /// What it is about.
    pub scope: Scope,
    /// What should be true of it.
    pub is: Predicate,
}

/// A position that is known now, or that an earlier step will have found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// Known.
    Position(Position),
    /// The position in that step's output; the engine puts it in before it asks.
    Output(OutputRef),
}

/// What may be said of a scope. [`crate::standard_holds`] decides each of them over [`crate::Facts`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Predicate {
    /// It exists.
    Exists,
    /// It does not exist.
    Absent,
    /// A scheduler starts no work.
    Held,
    /// A scheduler works.
    Released,
    /// At least so many instances run and pass their readiness probe.
    Ready(u32),
    /// No instance runs.
    Stopped,
    /// The store takes writes at exactly this epoch, owned by the scope's site.
    Open(Epoch),
    /// The store refuses application writes at this site, and its mark is at least at this epoch.
    Sealed(Epoch),
    /// Nobody at the scope's site with an epoch below this one can write.
    FencedBelow(Epoch),
    /// The store's content includes that position.
    CaughtUp(Wanted),
    /// The store is a verified copy of that site's, with a recovery point not older than this before now.
    Copies {
        /// The source.
        of: SiteId,
        /// How old the newest recovery point may be; [`Span::MAX`] asks only that there is one.
        within: Span,
    },
    /// No application wrote to the store at this site under this epoch.
    Untouched(Epoch),
    /// The route has exactly these weights, seen from outside, at exactly this epoch.
    Routed {
        /// Weight for each site.
        weights: Weights,
        /// The epoch record.
        epoch: Epoch,
    },
    /// The kind's own check passes.
    Healthy,
    /// The stores of the group that this workload checks were compared after they were promoted at this epoch.
    Reconciled(Epoch),
    /// The agent of the site answers.
    Reachable,
    /// A statement only the kind understands; [`crate::Kind::holds`] decides it.
    Custom {
        /// Its name.
        name: String,
        /// Its arguments.
        args: BTreeMap<String, String>,
    },
}
