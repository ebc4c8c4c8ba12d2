//! What one observer reports: whether it sees the world at all, and what it saw of each watched site.
//! Must not know what follows from it.

use std::collections::BTreeMap;

use mainstay_model::{ComponentId, SiteId, Span, Timestamp};
use serde::{Deserialize, Serialize};

/// The answer to one probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It answered and is well, however long it took: load is not death.
    Well {
        /// How long it took.
        took: Span,
    },
    /// It answered, and said that it is not well.
    Failing(String),
    /// It did not answer: refused, timed out, no route.
    Silent(String),
}

impl Answer {
    /// Whether there was an answer at all.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        !matches!(self, Self::Silent(_))
    }

    /// Whether it answered and is well.
    #[must_use]
    pub fn is_well(&self) -> bool {
        matches!(self, Self::Well { .. })
    }
}

/// What one observer saw of one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteProbe {
    /// The site's agent.
    pub agent: Answer,
    /// The site's own health address, if one is declared.
    pub health: Option<Answer>,
    /// Each component that is watched there.
    pub parts: BTreeMap<ComponentId, Answer>,
}

impl SiteProbe {
    /// Whether nothing at the site answered. The agent alone is not the site: it needs at least one other silence.
    #[must_use]
    pub fn is_all_silent(&self) -> bool {
        let others = || self.health.iter().chain(self.parts.values());
        !self.agent.is_answer()
            && others().next().is_some()
            && others().all(|answer| !answer.is_answer())
    }
}

/// One round of an observer. The times are by the clock of whoever runs the detector, not the observer's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Who looked: the site of the observer.
    pub observer: SiteId,
    /// When the round began.
    pub at: Timestamp,
    /// When the last answer of the round was there, or was given up.
    pub ended: Timestamp,
    /// The observer's control probes: things that surely answer if it sees anything. Without a majority of them, and
    /// without any, it abstains.
    pub controls: Vec<Answer>,
    /// What it saw.
    pub sites: BTreeMap<SiteId, SiteProbe>,
}
