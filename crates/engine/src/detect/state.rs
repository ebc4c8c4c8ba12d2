//! What the detector remembers: for each observer and each thing it watches, since when it has failed without a break.
//! Must not know what counts as enough; [`super::judge`] does.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_model::{ComponentId, Scenario, SiteId, Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    probe::{Probe, SiteProbe},
    verdict::Automatic,
};
use crate::bugs::{Bug, Bugs};

/// The version of [`DetectState`].
pub const DETECT_STATE_VERSION: u32 = 1;

/// What a watched component is, for the name of the scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// A workload.
    Application,
    /// A store that is a database.
    Database,
    /// Any other store.
    Storage,
}

/// A watched site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// The components that are active there.
    pub parts: BTreeMap<ComponentId, Part>,
}

/// What is watched, by whom, and how patiently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// All configured observers, whether they report or not: the quorum is a majority of these.
    pub observers: BTreeSet<SiteId>,
    /// How often each looks.
    pub every: Span,
    /// For so long a quorum must have seen a failure without a break.
    pub confirm: Span,
    /// At most one automatic failover in such a time.
    pub cooldown: Span,
    /// The scenarios in which Mainstay may act by itself (the plan file's `detect.act`).
    pub act: BTreeSet<Scenario>,
    /// The watched sites.
    pub sites: BTreeMap<SiteId, Watched>,
}

impl Settings {
    /// A probe is stale after this time, and a failure with a longer gap between two probes is not one without a break.
    #[must_use]
    pub fn stale(&self) -> Span {
        Span(self.every.0.saturating_mul(3))
    }

    /// How many observers must agree: a majority of those that are configured, and never one alone (I5, I6).
    #[must_use]
    pub fn quorum(&self) -> usize {
        (self.observers.len() / 2 + 1).max(2)
    }
}

/// A failure that one observer has seen without a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Streak {
    /// The end of its first failing probe.
    pub(crate) since: Timestamp,
    /// The start of its last one.
    pub(crate) until: Timestamp,
}

/// Something that can fail at a site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Item {
    /// Everything at once.
    Whole,
    /// One component, while something else at the site answers.
    Part(ComponentId),
}

/// What one observer has seen of one site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Failures that go on. A list, because a map with such keys has no JSON.
    pub(crate) streaks: Vec<(Item, Streak)>,
    /// The last report, in words.
    pub(crate) words: String,
}

impl Seen {
    pub(crate) fn streak(&self, item: &Item) -> Option<Streak> {
        let mut streaks = self.streaks.iter();
        streaks
            .find(|(known, _)| known == item)
            .map(|(_, streak)| *streak)
    }
}

/// What is known of one observer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Observer {
    /// The start of its last round.
    pub(crate) last: Option<Timestamp>,
    /// Whether its control probes failed then.
    pub(crate) abstains: bool,
    pub(crate) sites: BTreeMap<SiteId, Seen>,
}

/// A verdict that was given and whose failure has not gone away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Incident {
    pub(crate) scenario: Scenario,
    pub(crate) automatic: Automatic,
}

/// Everything the detector knows. Serialisable, so that the cool-down survives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectState {
    version: u32,
    pub(crate) settings: Settings,
    pub(crate) observers: BTreeMap<SiteId, Observer>,
    pub(crate) incidents: BTreeMap<SiteId, Incident>,
    /// When the last verdict was given on which Mainstay might have acted, and where.
    pub(crate) acted: Option<(Timestamp, SiteId)>,
    #[serde(skip)]
    pub(crate) bugs: Bugs,
}

impl DetectState {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            version: DETECT_STATE_VERSION,
            settings,
            observers: BTreeMap::new(),
            incidents: BTreeMap::new(),
            acted: None,
            bugs: Bugs::NONE,
        }
    }

    /// The same, with planted bugs.
    #[must_use]
    pub fn with_bugs(self, bugs: Bugs) -> Self {
        Self { bugs, ..self }
    }

    /// Other settings, after a move or a restart: the cool-down stays, everything that was seen is forgotten.
    #[must_use]
    pub fn watch(self, settings: Settings) -> Self {
        Self {
            acted: self.acted,
            bugs: self.bugs,
            ..Self::new(settings)
        }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Mainstay moved something by itself: the cool-down begins now, whatever was said before.
    pub fn acted(&mut self, site: SiteId, now: Timestamp) {
        self.acted = Some((now, site));
    }

    /// The end of the cool-down, if one runs.
    #[must_use]
    pub fn cools_until(&self, site: &SiteId, now: Timestamp) -> Option<Timestamp> {
        let (at, moved) = self.acted.as_ref()?;
        if self.bugs.has(Bug::NoCooldown) || self.bugs.has(Bug::CooldownPerSite) && moved != site {
            return None;
        }
        let until = *at + self.settings.cooldown;
        (now < until).then_some(until)
    }

    /// Takes in one round of an observer. False if it is not one of ours, or older than what is known of it.
    pub(crate) fn take_in(&mut self, probe: &Probe) -> bool {
        let stale = self.settings.stale();
        if !self.settings.observers.contains(&probe.observer) {
            return false;
        }
        let observer = self.observers.entry(probe.observer.clone()).or_default();
        if observer.last.is_some_and(|last| probe.at <= last) {
            return false;
        }
        let well = probe
            .controls
            .iter()
            .filter(|answer| answer.is_well())
            .count();
        observer.abstains =
            well * 2 <= probe.controls.len() && !self.bugs.has(Bug::IgnoresControls);
        observer.last = Some(probe.at);
        if observer.abstains {
            observer.sites.clear();
            return true;
        }
        for site in self.settings.sites.keys() {
            let seen = observer.sites.entry(site.clone()).or_default();
            let failing = probe.sites.get(site).map(failing).unwrap_or_default();
            let old = std::mem::take(&mut seen.streaks);
            for item in failing {
                let known = old.iter().find(|(known, _)| *known == item);
                let goes_on = known.filter(|(_, streak)| probe.at.since(streak.until) <= stale);
                let since = goes_on.map_or(probe.ended, |(_, streak)| streak.since);
                let until = probe.at;
                seen.streaks.push((item, Streak { since, until }));
            }
            if self.bugs.has(Bug::ForgetsRecovery) {
                let gone = old
                    .into_iter()
                    .filter(|(item, _)| !seen.streaks.iter().any(|(known, _)| known == item));
                let gone: Vec<_> = gone
                    .map(|(item, streak)| {
                        (
                            item,
                            Streak {
                                until: probe.at,
                                ..streak
                            },
                        )
                    })
                    .collect();
                seen.streaks.extend(gone);
            }
            seen.words = probe.sites.get(site).map(words).unwrap_or_default();
        }
        true
    }
}

/// What fails at a site, by one look.
fn failing(site: &SiteProbe) -> Vec<Item> {
    if site.is_all_silent() {
        return vec![Item::Whole];
    }
    let others = site.health.iter().chain([&site.agent]);
    let answers = others
        .chain(site.parts.values())
        .any(super::probe::Answer::is_answer);
    // Nothing at all answered, but that is not enough to call the site lost: then nothing is said about its parts either.
    if !answers {
        return Vec::new();
    }
    let parts = site.parts.iter().filter(|(_, answer)| !answer.is_well());
    parts.map(|(name, _)| Item::Part(name.clone())).collect()
}

fn words(site: &SiteProbe) -> String {
    use super::probe::Answer;
    let say = |name: &str, answer: &Answer| match answer {
        Answer::Well { .. } => None,
        Answer::Failing(why) => Some(format!("{name} says {why}")),
        Answer::Silent(why) => Some(format!("{name} is silent ({why})")),
    };
    let agent = say("the agent", &site.agent);
    let health = site
        .health
        .as_ref()
        .and_then(|answer| say("the site's health address", answer));
    let parts = site
        .parts
        .iter()
        .map(|(name, answer)| say(name.as_str(), answer));
    let all: Vec<String> = [agent, health].into_iter().chain(parts).flatten().collect();
    if all.is_empty() {
        "everything answers".to_owned()
    } else {
        all.join(", ")
    }
}
