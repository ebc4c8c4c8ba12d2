//! What a kind plugs in so that its stores are saved, brought back and checked.
//! Must not know how long any of it takes, or who asked.

use std::path::{Path, PathBuf};

use mainstay_backup::{
    BackupError, BackupOptions, Finished, Holds, Label, Parent, Problem, Progress, Repository,
    RestorePoint,
};
use mainstay_driver::{ActError, Cause, Order, Retry};
use mainstay_model::{Declared, Epoch, Output, Position, RecoveryTarget, SiteId, Timestamp};

use super::{
    super::{Asker, Home, lasting, refused},
    extract::Brought,
};

/// The half of a kind that saves its stores. All calls block, and are made on a thread of their own. Whether to go on
/// is asked of `progress`; whoever does not ask cannot be stopped.
pub(crate) trait Saves: Send + Sync + 'static {
    /// Saves the store at the agent's own site as it is now: one snapshot, labelled by [`About::label`]. A store that
    /// could not be read whole gives an incomplete snapshot with its list of problems; one that could not be read at
    /// all, or a program that did not end well, gives none.
    fn save(
        &self,
        about: &About<'_>,
        into: &Repository,
        progress: &dyn Progress,
    ) -> Result<(Label, Finished), Cause>;

    /// Brings the state that `target` names, or a part of it, into a folder that holds nothing else. Verifies every
    /// byte that it writes. Called again with the same target it carries on where it was.
    fn extract(
        &self,
        about: &About<'_>,
        from: &Repository,
        target: &RecoveryTarget,
        path: Option<&Path>,
        into: &Path,
        progress: &dyn Progress,
    ) -> Result<Brought, Cause>;

    /// Lets what [`Self::extract`] brought into a folder pass its own checks there, and answers the names of those
    /// that passed: the database boots, its declared questions are answered. None where the kind has no checks. An
    /// error names the check that failed. Leaves nothing running.
    fn check(
        &self,
        about: &About<'_>,
        folder: &Path,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, Cause>;

    /// The folder in which a proof may work: nothing else is in it, and it is removed before and afterwards. It has to
    /// be one that whoever runs the store's programs can enter.
    fn scratch(&self, about: &About<'_>) -> Result<PathBuf, Cause> {
        Ok(about.home.state_of("scratch", &about.declared.name))
    }

    /// Looks whether everything that was created or changed from `since` until the newest complete restore point was
    /// taken is in it, with its content. Nothing that came later is looked at.
    fn validate(
        &self,
        about: &About<'_>,
        from: &Repository,
        since: Option<Timestamp>,
        progress: &dyn Progress,
    ) -> Result<Validated, Cause> {
        let _ = (from, since, progress);
        let what = format!(
            "{} stores are not compared file by file: a restore is what proves them",
            about.declared.kind
        );
        Err(lasting("not-validated", what))
    }

    /// Brings the state that `target` names in the place of what the store has here. The store takes no application
    /// writes before, meanwhile, or after; what was there is not destroyed before the new is whole.
    fn restore(
        &self,
        about: &About<'_>,
        from: &Repository,
        target: &RecoveryTarget,
        progress: &dyn Progress,
    ) -> Result<Output, ActError> {
        let _ = (from, target, progress);
        Err(refused(
            "unsupported",
            format!("{} stores cannot be restored in place", about.declared.kind),
        ))
    }
}

/// What a comparison of a store with its newest restore point found.
#[derive(Debug, Clone)]
pub(crate) struct Validated {
    /// The restore point.
    pub(crate) point: RestorePoint,
    /// Entries that were compared.
    pub(crate) entries: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// A digest over what the store has of them.
    pub(crate) here: String,
    /// The same over what the restore point has.
    pub(crate) there: String,
    /// What is not in the restore point as it is in the store.
    pub(crate) missing: Vec<Problem>,
}

/// Which store, where, for which order.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) home: &'a Home,
    pub(crate) declared: &'a Declared,
    /// The site whose instance is meant: the agent's own.
    pub(crate) site: &'a SiteId,
    /// The order, for names of scratch places and for marks.
    pub(crate) order: &'a Order,
}

impl About<'_> {
    /// In whose name a mark is changed.
    pub(crate) fn asker(&self) -> Asker<'_> {
        Asker {
            site: self.site,
            run: &self.order.id.run,
            fence: self.order.fence.as_ref().map(|fence| fence.epoch),
        }
    }

    /// The label of what is saved. `taken` is read before the first byte is.
    pub(crate) fn label(
        &self,
        epoch: Epoch,
        taken: Timestamp,
        position: Option<Position>,
        holds: Holds,
    ) -> Label {
        Label {
            taken,
            system: self.home.plan.system.clone(),
            store: self.declared.name.clone(),
            kind: self.declared.kind.clone(),
            site: self.site.clone(),
            epoch,
            position,
            holds,
        }
    }

    /// The options with which a snapshot of that label is made.
    pub(crate) fn options(&self, label: &Label) -> BackupOptions {
        BackupOptions {
            tags: label.tags(),
            hostname: Some(format!("{}.{}", self.site, self.home.plan.system)),
            parent: Parent::Newest,
            threads: None,
        }
    }
}

/// What a repository's failure means to whoever gave the order.
pub(crate) fn failed(error: &BackupError) -> Cause {
    let retry = match error {
        BackupError::Locked { .. }
        | BackupError::LockLost { .. }
        | BackupError::Cancelled
        | BackupError::Storage(_)
        | BackupError::Source { .. }
        | BackupError::NotWhole { .. } => Retry::MayHelp,
        _ => Retry::Useless,
    };
    Cause {
        code: error.code().to_owned(),
        what: error.to_string(),
        retry,
    }
}
