//! Saves a tree of files, brings it back, checks it.
//! Must not know repositories' format.

use std::{path::Path, sync::Arc};

use mainstay_backup::{Files, Finished, Holds, Label, Progress, Repository, Selected, backup};
use mainstay_driver::{ActError, Cause};
use mainstay_model::{Epoch, Output, RecoveryTarget, Timestamp};

use super::{
    driver::FilesDriver,
    observe::{Memory, local, unreadable},
    options::FilesOptions,
    own::Ours,
    restore::put,
    validate::validate,
};
use crate::shared::{
    About, Brought, Saves, Validated, Workshop, bring, failed, lasting, now, refused,
};

/// The half of `files` that saves.
#[derive(Debug, Clone)]
pub(crate) struct FilesSaves(pub(super) Arc<Memory>);

impl Saves for FilesSaves {
    fn save(
        &self,
        about: &About<'_>,
        into: &Repository,
        progress: &dyn Progress,
    ) -> Result<(Label, Finished), Cause> {
        let root = FilesDriver::root(about.home, about.declared, about.site)?;
        // Before the first folder is read: every write that was acknowledged until now is in what is read.
        let taken = now();
        let (marked, _) = local(&root).map_err(|error| unreadable(&root, &error))?;
        if marked.is_none() && !root.is_dir() {
            let what = format!("there is no folder {}", root.display());
            return Err(lasting("store-empty", what));
        }
        let epoch = marked.map_or(Epoch(0), |marked| marked.mark.epoch);
        let label = about.label(epoch, taken, None, Holds::Store);
        let options = FilesOptions::of(about.declared);
        let options = options.map_err(|error| lasting("options-invalid", error.to_string()))?;
        let patterns = options.patterns().map_err(|error| failed(&error))?;
        let files = Files::new(&root).map_err(|error| unreadable(&root, &error))?;
        let files = Selected::new(files, patterns);
        let finished = backup(into, &files, &about.options(&label), progress);
        Ok((label, finished.map_err(|error| failed(&error))?))
    }

    fn extract(
        &self,
        about: &About<'_>,
        from: &Repository,
        target: &RecoveryTarget,
        path: Option<&Path>,
        into: &Path,
        progress: &dyn Progress,
    ) -> Result<Brought, Cause> {
        bring(about, from, target, path, into, progress)
    }

    fn check(&self, _: &About<'_>, _: &Path, _: &dyn Progress) -> Result<Vec<String>, Cause> {
        Ok(Vec::new())
    }

    fn validate(
        &self,
        about: &About<'_>,
        from: &Repository,
        since: Option<Timestamp>,
        progress: &dyn Progress,
    ) -> Result<Validated, Cause> {
        let root = FilesDriver::root(about.home, about.declared, about.site)?;
        let options = FilesOptions::of(about.declared);
        let options = options.map_err(|error| lasting("options-invalid", error.to_string()))?;
        let patterns = options.patterns().map_err(|error| failed(&error))?;
        validate(about, &root, &patterns, from, since, progress)
    }

    fn restore(
        &self,
        about: &About<'_>,
        from: &Repository,
        target: &RecoveryTarget,
        progress: &dyn Progress,
    ) -> Result<Output, ActError> {
        let root = FilesDriver::root(about.home, about.declared, about.site);
        let root = root.map_err(ActError::NotDone)?;
        if FilesOptions::of(about.declared).is_ok_and(|options| options.is_partial()) {
            let what = "only a part of it is saved (`include`, `exclude`): restore into a folder";
            return Err(refused("restore-partial", what));
        }
        let workshop = Workshop::of(about);
        let brought = workshop.bring(about, from, target, progress);
        let brought = brought.map_err(ActError::NotDone)?;
        let ours = Ours {
            root: &root,
            asker: about.asker(),
            memory: &self.0,
        };
        let output = put(&ours, &workshop.restored(), &brought)?;
        workshop.clear();
        Ok(output)
    }
}
