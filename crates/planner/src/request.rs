//! What somebody wants: the mode of the move and the target placement.
//! Must not know whether it is possible.

use std::collections::BTreeMap;

use mainstay_model::{Acceptance, ComponentId, MoveMode, RecoveryTarget, RepositoryId, SiteId};
use serde::{Deserialize, Serialize};

use crate::Placement;

/// Where things should be active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Everything at this site. In a reprotect: this site becomes a copy again.
    To(SiteId),
    /// One component at this site, the rest where it is.
    Only {
        /// The store or workload.
        component: ComponentId,
        /// The site.
        to: SiteId,
    },
    /// Where the plan file places things.
    Home,
    /// Exactly this, for the components that are named.
    Placement(Placement),
    /// In a restore: these stores as they were, where they are.
    Past(BTreeMap<ComponentId, Past>),
}

/// An earlier state of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The repository that has it.
    pub from: RepositoryId,
    /// Which state.
    pub target: RecoveryTarget,
}

/// What happens to what only the old site has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Divergence {
    /// It goes to a repository, with a receipt.
    #[default]
    Salvage,
    /// It is given up; the hash names what was shown.
    Discard {
        /// Hash of the divergence that was shown.
        hash: String,
    },
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Planned move, forced move or reprotect.
    pub mode: MoveMode,
    /// Where to.
    pub target: Target,
    /// For a failover: the accepted loss.
    pub acceptance: Option<Acceptance>,
    /// For a reprotect: what happens to what only that site has.
    pub divergence: Divergence,
}

impl Request {
    /// A request without an acceptance.
    #[must_use]
    pub fn new(mode: MoveMode, target: Target) -> Self {
        Self {
            mode,
            target,
            acceptance: None,
            divergence: Divergence::Salvage,
        }
    }

    /// A planned move of everything.
    #[must_use]
    pub fn switchover(to: SiteId) -> Self {
        Self::new(MoveMode::Switchover, Target::To(to))
    }

    /// A forced move of everything.
    #[must_use]
    pub fn failover(to: SiteId, acceptance: Option<Acceptance>) -> Self {
        Self {
            acceptance,
            ..Self::new(MoveMode::Failover, Target::To(to))
        }
    }

    /// Brings stores back to an earlier state, where they are.
    #[must_use]
    pub fn restore(stores: BTreeMap<ComponentId, Past>) -> Self {
        Self::new(MoveMode::Restore, Target::Past(stores))
    }

    /// Makes a site a proven copy again.
    #[must_use]
    pub fn reprotect(site: SiteId) -> Self {
        Self::new(MoveMode::Reprotect, Target::To(site))
    }
}
