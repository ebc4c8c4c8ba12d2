//! Where a system's own files are: state, lock, agents' folders and sockets.
//! Must not know what is in them.

use std::path::{Path, PathBuf};

use mainstay_model::{PlanFile, RepositoryId, SiteId};

/// The folder that `control.state` names, and what lies in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    base: PathBuf,
    root: PathBuf,
}

/// The plan file names a place that this program cannot use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// `control.state` is not `file:PATH`.
    #[error("control.state is {0:?}: only file:PATH is supported")]
    State(String),
    /// A site's `agent` is not `unix:PATH`.
    #[error("the agent of {site} is at {address:?}: only unix:PATH is supported")]
    Agent {
        /// The site.
        site: SiteId,
        /// What the file says.
        address: String,
    },
    /// The plan file has no such site.
    #[error("there is no site {0} in the plan file")]
    Site(SiteId),
}

impl PlaceError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "place-unusable"
    }
}

impl Places {
    /// Resolves the places of a plan file that lies in `base`.
    pub fn of(plan: &PlanFile, base: &Path) -> Result<Self, PlaceError> {
        let path = plan
            .control
            .state
            .strip_prefix("file:")
            .filter(|path| !path.is_empty())
            .ok_or_else(|| PlaceError::State(plan.control.state.clone()))?;
        Ok(Self {
            base: base.to_path_buf(),
            root: clean(&base.join(path)),
        })
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The state's database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.root.join("state.db")
    }

    /// The file that the one mover holds.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join("mover.lock")
    }

    /// The folder of the system's receipts.
    #[must_use]
    pub fn receipts(&self) -> PathBuf {
        self.root.join("receipts")
    }

    /// What is remembered of a repository's packs: which of them were read back when.
    #[must_use]
    pub fn scrubbed(&self, repository: &RepositoryId) -> PathBuf {
        self.root
            .join("scrubbed")
            .join(format!("{repository}.json"))
    }

    /// The folder of a site's agent.
    #[must_use]
    pub fn agent_folder(&self, site: &SiteId) -> PathBuf {
        self.root.join("agents").join(site.as_str())
    }

    /// Where a site's agent listens.
    pub fn agent_socket(&self, plan: &PlanFile, site: &SiteId) -> Result<PathBuf, PlaceError> {
        let declared = plan
            .sites
            .get(site)
            .ok_or_else(|| PlaceError::Site(site.clone()))?;
        match declared.agent.as_str() {
            "" => Ok(self.root.join("agents").join(format!("{site}.sock"))),
            address => address
                .strip_prefix("unix:")
                .filter(|path| !path.is_empty())
                .map(|path| clean(&self.base.join(path)))
                .ok_or_else(|| PlaceError::Agent {
                    site: site.clone(),
                    address: address.to_owned(),
                }),
        }
    }
}

/// Leaves out `.` so that messages and socket names stay short.
fn clean(path: &Path) -> PathBuf {
    path.components().collect()
}
