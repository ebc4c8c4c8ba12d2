//! Everything the planner is told about the world and the past. All of it is input, the time included.
//! Must not know how it was observed or where it is kept.

use std::collections::BTreeMap;

use mainstay_model::{
    ComponentId, Epoch, FenceClass, Phase, RouteFacts, Sample, SiteId, Span, Timestamp, Weights,
    WorkloadFacts,
};
use serde::{Deserialize, Serialize};

use crate::Bugs;

/// For each component, the site or sites where it is active.
pub type Placement = BTreeMap<ComponentId, Weights>;

/// Whether a site's agent answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SiteAgent {
    /// It answers.
    Answers,
    /// It does not, or was not asked.
    #[default]
    Silent,
}

/// How a site stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SiteStanding {
    /// It may be active.
    #[default]
    InService,
    /// It was fenced and is held until it is reprotected.
    Quarantined,
}

/// What is known of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SiteNow {
    /// Whether its agent answers.
    pub agent: SiteAgent,
    /// Whether it may be active.
    pub standing: SiteStanding,
}

/// A fence that was proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fenced {
    /// Writers below this epoch are shut out.
    pub below: Epoch,
    /// By which class.
    pub class: FenceClass,
    /// Since when: nothing was written there later. A loss bound ends here.
    pub at: Timestamp,
}

/// Whether a store has a proven copy at another site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// The reverse copy was verified.
    Protected,
    /// Not verified yet, or not known.
    #[default]
    NotProtected,
}

/// What is known of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreNow {
    /// The epoch at which it takes writes; zero when nobody ever owned it.
    pub epoch: Epoch,
    /// The greatest epoch that any run was ever given for it, used or not; at least `epoch`.
    pub granted: Epoch,
    /// The newest sample for each site, with mark, access and recovery point.
    pub at: BTreeMap<SiteId, Sample>,
    /// The sites at which it is fenced.
    pub fenced: BTreeMap<SiteId, Fenced>,
    /// Whether it has a proven copy.
    pub protection: Protection,
}

/// How long a step took in earlier runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// The step's phase.
    pub phase: Phase,
    /// The component it was about.
    pub component: ComponentId,
    /// The site whose instance it was about.
    pub site: SiteId,
    /// The median of the measured durations.
    pub median: Span,
    /// How many there were.
    pub samples: u32,
}

/// How far the sites' clocks may be from the caller's. Recovery points are dated by the clocks of the sites that hold
/// them, and everything that may be wrong with those counts as loss (I13). By default they are exact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clocks {
    /// How far a site's clock may be ahead: its sample is dated so much later than it was asked for.
    pub ahead: BTreeMap<SiteId, Span>,
    /// By how much a clock may be too slow, in thousandths of the time that it measured.
    pub per_mille: u32,
    /// Never doubted by less than this.
    pub least: Span,
}

impl Clocks {
    /// The time that may have passed where the clocks of a site and of the caller say `age`.
    #[must_use]
    pub fn at_most(&self, site: &SiteId, age: Span) -> Span {
        if age.is_unbounded() {
            return age;
        }
        let rate = u128::from(age.0) * u128::from(self.per_mille) / 1_000;
        let slow = Span(u64::try_from(rate).unwrap_or(u64::MAX));
        let ahead = self.ahead.get(site).copied().unwrap_or(Span::ZERO);
        [slow, ahead, self.least]
            .into_iter()
            .fold(age, Span::saturating_add)
    }
}

/// What the planner is given beside the plan file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Now, by the caller's clock.
    pub now: Timestamp,
    /// How far the other clocks may be from it.
    pub clocks: Clocks,
    /// Where stores and workloads are active; what is not named is where the plan file says.
    pub placement: Placement,
    /// The sites; one that is not named counts as silent.
    pub sites: BTreeMap<SiteId, SiteNow>,
    /// The stores; one that is not named was never owned.
    pub stores: BTreeMap<ComponentId, StoreNow>,
    /// The workloads at each site, as far as they were seen.
    pub workloads: BTreeMap<ComponentId, BTreeMap<SiteId, WorkloadFacts>>,
    /// The routes; one that was not seen has the weights of what it serves, and epoch zero.
    pub routes: BTreeMap<ComponentId, RouteFacts>,
    /// Measured durations.
    pub measured: Vec<Measured>,
    /// Planted bugs; always empty in a normal build.
    pub bugs: Bugs,
}

impl Observed {
    /// Nothing but the time.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self {
            now,
            ..Self::default()
        }
    }

    /// Whether that site's agent answers.
    #[must_use]
    pub fn answers(&self, site: &SiteId) -> bool {
        self.sites
            .get(site)
            .is_some_and(|now| now.agent == SiteAgent::Answers)
    }

    /// Whether that site is held until it is reprotected.
    #[must_use]
    pub fn quarantined(&self, site: &SiteId) -> bool {
        self.sites
            .get(site)
            .is_some_and(|now| now.standing == SiteStanding::Quarantined)
    }
}
