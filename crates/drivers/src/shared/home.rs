//! Where a driver works: the plan file, its own site, the folders it may use, whether the site is held back.
//! Must not know any kind.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use mainstay_driver::{ActError, Cause};
use mainstay_model::{
    AgentId, ComponentId, Declared, Facts, PlanFile, Reading, Sample, Scope, SiteId, Subject,
    TeamStep, Timestamp,
};
use serde::de::DeserializeOwned;

use super::cause::{lasting, passing, refused};
use crate::support::now;

/// Whether the site is quarantined: after it was fenced, nothing may be started until it was reprotected.
pub trait Quarantine: Send + Sync {
    /// Asked again before every start.
    fn active(&self) -> bool;
}

/// A site that is never held back, for tests and tools.
#[derive(Debug, Clone, Copy, Default)]
pub struct NeverQuarantined;

impl Quarantine for NeverQuarantined {
    fn active(&self) -> bool {
        false
    }
}

/// The folders that a site's drivers use, and its quarantine flag.
#[derive(Clone)]
pub struct Place {
    /// The drivers' own state at this site: records, logs, salvage. Created when needed.
    pub state: PathBuf,
    /// The plan file's folder. Relative paths in options start here.
    pub base: PathBuf,
    /// Whether anything may be started.
    pub quarantine: Arc<dyn Quarantine>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("state", &self.state)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// What every driver is built from.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    pub(crate) plan: Arc<PlanFile>,
    pub(crate) site: SiteId,
    pub(crate) place: Place,
}

impl Home {
    pub(crate) fn new(plan: Arc<PlanFile>, site: SiteId, place: Place) -> Self {
        Self { plan, site, place }
    }

    /// The declared component that a subject names.
    pub(crate) fn declared(&self, subject: &Subject) -> Result<&Declared, Cause> {
        subject
            .component()
            .and_then(|name| self.plan.declared(name))
            .ok_or_else(|| {
                lasting(
                    "unknown-component",
                    format!("{subject} is not a component of the plan file at this site"),
                )
            })
    }

    /// The team's own step that a subject names, if it is not a component.
    pub(crate) fn team_step(&self, subject: &Subject) -> Option<&TeamStep> {
        let name = subject.component()?;
        if self.plan.declared(name).is_some() {
            return None;
        }
        self.plan.steps.get(name.as_str())
    }

    /// The typed options of a component at a site.
    pub(crate) fn options<T: DeserializeOwned>(
        declared: &Declared,
        site: &SiteId,
    ) -> Result<T, Cause> {
        let invalid = |what: String| lasting("options-invalid", what);
        let value = declared
            .at
            .get(site)
            .ok_or_else(|| invalid(format!("{} is not declared at {site}", declared.name)))?;
        T::deserialize(value)
            .map_err(|error| invalid(format!("options of {} at {site}: {error}", declared.name)))
    }

    /// A path of the plan file.
    pub(crate) fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        self.place.base.join(path)
    }

    /// A folder of one component below the state folder.
    pub(crate) fn state_of(&self, what: &str, component: &ComponentId) -> PathBuf {
        self.place.state.join(what).join(component.as_str())
    }

    /// The part of it that the network drivers use.
    pub(crate) fn simple(&self) -> crate::support::Home {
        crate::support::Home {
            site: self.site.clone(),
            agent: self.by(),
            base: self.place.base.clone(),
            state: self.place.state.clone(),
        }
    }

    /// Who signs this site's samples: the site's agent has the site's name.
    pub(crate) fn agent(&self) -> Option<AgentId> {
        AgentId::new(self.site.as_str()).ok()
    }

    /// A sample of what was seen, dated when the observation began.
    pub(crate) fn sample(&self, at: Timestamp, seen: Result<Facts, Cause>) -> Sample {
        let reading = match seen {
            Ok(facts) => Reading::Known(Box::new(facts)),
            Err(cause) => Reading::Unreachable {
                since: at,
                why: cause.what,
            },
        };
        Sample {
            reading,
            at,
            by: self.by(),
        }
    }

    fn by(&self) -> AgentId {
        // A site's name follows the same rules as an agent's, so the first always succeeds.
        match self.agent() {
            Some(agent) => agent,
            None => unreachable!("a site's name is an agent's name"),
        }
    }

    /// Runs blocking work, such as SQLite's or the file system's, away from the async threads.
    pub(crate) async fn look<W>(&self, scope: &Scope, work: W) -> Sample
    where
        W: FnOnce(&Self, &Scope) -> Result<Facts, Cause> + Send + 'static,
    {
        let at = now();
        let (home, scope) = (self.clone(), scope.clone());
        let seen = tokio::task::spawn_blocking(move || work(&home, &scope))
            .await
            .unwrap_or_else(|error| Err(passing("driver-fault", error.to_string())));
        self.sample(at, seen)
    }

    /// An action is only ever carried out by the agent of the site it changes.
    pub(crate) fn own(&self, site: &SiteId) -> Result<(), ActError> {
        if *site == self.site {
            return Ok(());
        }
        Err(refused(
            "wrong-site",
            format!("this is {}, the action is for {site}", self.site),
        ))
    }
}
