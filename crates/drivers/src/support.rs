//! What several drivers need: a clock, samples, secrets, and the place an agent works from.
//! Must not know any kind.

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use mainstay_driver::Cause;
use mainstay_model::{AgentId, Facts, Reading, Sample, Secret, SiteId, Timestamp};

use crate::shared::lasting;

/// Where a driver works: whose agent it belongs to, and which folders it may use.
#[derive(Debug, Clone)]
pub struct Home {
    /// The site whose agent runs the driver.
    pub site: SiteId,
    /// Who signs the samples.
    pub agent: AgentId,
    /// Relative paths of the plan file start here: the folder the plan file is in.
    pub base: PathBuf,
    /// The agent's own folder: status of long operations, salvaged data, kept copies.
    pub state: PathBuf,
}

impl Home {
    /// A path as written in the plan file, made absolute.
    #[must_use]
    pub fn path(&self, written: &str) -> PathBuf {
        let path = self.base.join(written);
        // Without a current folder nothing relative can be found anyway.
        std::path::absolute(&path).unwrap_or(path)
    }
}

/// Now, by this machine's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// A sample of facts, or of silence with its reason.
pub(crate) fn sample(home: &Home, at: Timestamp, seen: Result<Facts, String>) -> Sample {
    let reading = match seen {
        Ok(facts) => Reading::Known(Box::new(facts)),
        Err(why) => Reading::Unreachable { since: at, why },
    };
    Sample {
        reading,
        at,
        by: home.agent.clone(),
    }
}

/// The value of a secret, without the line end of its file. The error names the reference only.
pub(crate) async fn secret(base: &Path, reference: &Secret) -> Result<String, Cause> {
    let missing = |why: String| {
        lasting(
            "secret-missing",
            format!("cannot read the secret {reference:?}: {why}"),
        )
    };
    match reference {
        Secret::Env(name) => std::env::var(name).map_err(|error| missing(error.to_string())),
        Secret::File(path) => tokio::fs::read_to_string(base.join(path))
            .await
            .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            .map_err(|error| missing(error.to_string())),
    }
}

/// The same for a thread that may block.
pub(crate) fn secret_now(base: &Path, reference: &Secret) -> Result<String, Cause> {
    let value = match reference {
        Secret::Env(name) => std::env::var(name).map_err(|error| error.to_string()),
        Secret::File(path) => {
            std::fs::read_to_string(base.join(path)).map_err(|error| error.to_string())
        }
    };
    match (value, reference) {
        (Ok(text), Secret::File(_)) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        (Ok(text), Secret::Env(_)) => Ok(text),
        (Err(why), _) => Err(lasting(
            "secret-missing",
            format!("cannot read the secret {reference:?}: {why}"),
        )),
    }
}
