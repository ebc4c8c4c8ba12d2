//! What the detector says, and on what evidence.
//! Must not know what is done about it.

use std::collections::BTreeSet;

use mainstay_model::{ComponentId, Scenario, SiteId, Timestamp};
use serde::{Deserialize, Serialize};

/// Where one observer stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stand {
    /// It has seen the failure without a break, long enough.
    For {
        /// The end of its first failing probe: the failure began before.
        since: Timestamp,
        /// The start of its last failing probe: the failure still lasted then.
        until: Timestamp,
    },
    /// It sees the failure, not yet for long enough.
    Unsure {
        /// The end of its first failing probe.
        since: Timestamp,
    },
    /// It sees no such failure.
    Against,
    /// Its control probes fail: it may be the one that is cut off.
    Abstains,
    /// Its last probe is too old, or there was none.
    Stale,
}

/// One observer's vote, for the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The observer.
    pub observer: SiteId,
    /// Where it stands.
    pub stand: Stand,
    /// What it saw, in words.
    pub saw: String,
}

/// Whether Mainstay may act on a verdict by itself, as far as the detector is concerned. The fence class and the
/// accepted loss have their own say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Automatic {
    /// The plan file lets Mainstay act in this scenario, and no cool-down runs; one begins with this verdict (I8).
    Allowed,
    /// The plan file has no standing act for this scenario: it is proposed to people.
    NotDeclared,
    /// Only a person may act until then.
    CoolingDown {
        /// The end of the cool-down.
        until: Timestamp,
    },
}

/// Something is down: a quorum of observers saw it without a break for the confirmation time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What it looks like.
    pub scenario: Scenario,
    /// Where.
    pub site: SiteId,
    /// The components that are down; everything watched there if the site is lost.
    pub components: BTreeSet<ComponentId>,
    /// Since when a quorum has seen it.
    pub since: Timestamp,
    /// When this was said.
    pub at: Timestamp,
    /// The votes of all configured observers.
    pub votes: Vec<Vote>,
    /// Whether Mainstay may act by itself.
    pub automatic: Automatic,
}
