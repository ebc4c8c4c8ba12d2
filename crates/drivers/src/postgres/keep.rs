//! Keeps a standby that this agent owns running, so that a site that was away follows again by itself. A standby takes
//! no writes and boots sealed. A primary is never started here: only an order at an epoch makes a site serve.
//! Must not know orders.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use mainstay_driver::Cause;

use super::{
    files::Folder,
    instance::Instance,
    job::{Jobs, state_failed},
};
use crate::shared::Quarantine;

/// How often it is looked whether the standby runs.
const LOOK: Duration = Duration::from_secs(1);
/// The longest pause after a start that failed.
const LONGEST: Duration = Duration::from_secs(30);
/// Says that the cluster was stopped by an order.
const STOPPED: &str = "stopped-by-order";

/// What is watched, for as long as its owner lives.
pub(super) struct Kept {
    pub(super) instance: Instance,
    pub(super) jobs: Jobs,
    pub(super) quarantine: Arc<dyn Quarantine>,
}

impl Kept {
    /// Watches in the background.
    pub(super) fn watch(this: &Arc<Self>) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(watch(Arc::downgrade(this)));
        }
    }

    /// Starts the standby if it should run and does not.
    async fn mend(&self) -> Result<(), Cause> {
        if self.quarantine.active() || !self.rests() {
            return Ok(());
        }
        // A rebuild works on the same folder: never both.
        let Some(_turn) = self.jobs.turn(self.instance.state(super::rebuild::STATUS)) else {
            return Ok(());
        };
        if !self.rests() {
            return Ok(());
        }
        self.instance.server().await?.start().await?;
        tracing::info!(store = %self.instance.name, "the standby was started");
        Ok(())
    }

    /// Whether a whole standby is there and nothing of it runs.
    fn rests(&self) -> bool {
        let Some(path) = self.instance.folder() else {
            return false;
        };
        let folder = Folder { path, owner: None };
        let whole = folder.is_cluster()
            && folder.is_standby()
            && !self.instance.state(super::rebuild::TORN).exists();
        whole && folder.postmaster().is_none() && !self.instance.state(STOPPED).exists()
    }
}

impl Instance {
    /// Remembers that an order stopped the cluster, or started it again.
    pub(super) fn remember_stopped(&self, stopped: bool) -> Result<(), Cause> {
        let file = self.state(STOPPED);
        let change = || match (stopped, file.parent()) {
            (true, Some(folder)) => {
                std::fs::create_dir_all(folder)?;
                std::fs::write(&file, "")
            }
            (true, None) => std::fs::write(&file, ""),
            (false, _) => std::fs::remove_file(&file).or_else(super::rebuild::gone),
        };
        change().map_err(|error| state_failed(&error))
    }
}

async fn watch(kept: Weak<Kept>) {
    let mut pause = LOOK;
    while let Some(kept) = kept.upgrade() {
        pause = match kept.mend().await {
            Ok(()) => LOOK,
            Err(cause) => {
                tracing::warn!(store = %kept.instance.name, %cause, "the standby was not started");
                (pause * 2).min(LONGEST)
            }
        };
        drop(kept);
        tokio::time::sleep(pause).await;
    }
}
