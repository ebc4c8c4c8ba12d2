//! Saves a container's objects, brings them back into a folder, counts them there.
//! Must not know repositories' format, nor services.

use std::{fs, io, path::Path, sync::Arc};

use mainstay_backup::{
    BackupOptions, Finished, Holds, Label, Objects, Progress, Repository, Selected, backup,
    declared_options,
};
use mainstay_driver::Cause;
use mainstay_model::RecoveryTarget;
use mainstay_storage::{Contents, Options, open_contents};
use serde_json::Value;

use super::{
    driver::kept,
    options::{ObjectsAt, ObjectsOptions},
};
use crate::shared::{About, Brought, Home, Saves, bring, failed, lasting, now, passing};

/// Objects that are read at once: most of the time of a small one is waiting for the service.
const AT_ONCE: usize = 8;

/// The half of `objects` that saves.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ObjectsSaves;

fn container(about: &About<'_>) -> Result<Arc<dyn Contents>, Cause> {
    let at: ObjectsAt = Home::options(about.declared, about.site)?;
    let options = Options::default().relative_to(&about.home.place.base);
    let options = declared_options(&Value::Object(at.options), options)
        .map_err(|why| lasting("options-invalid", why))?;
    open_contents(&at.url, &options).map_err(|error| passing(error.code(), error.to_string()))
}

impl Saves for ObjectsSaves {
    fn save(
        &self,
        about: &About<'_>,
        into: &Repository,
        progress: &dyn Progress,
    ) -> Result<(Label, Finished), Cause> {
        let epoch = kept(about.home, about.declared, about.site).epoch()?;
        // Before the first object is listed: every write that was acknowledged until now is in what is read.
        let taken = now();
        let label = about.label(epoch, taken, None, Holds::Store);
        let options = ObjectsOptions::of(about.declared);
        let options = options.map_err(|error| lasting("options-invalid", error.to_string()))?;
        let patterns = options.patterns().map_err(|error| failed(&error))?;
        let objects = Objects::new(container(about)?, about.declared.name.as_str());
        let objects = Selected::new(objects, patterns);
        let options = BackupOptions {
            threads: Some(AT_ONCE),
            ..about.options(&label)
        };
        let finished = backup(into, &objects, &options, progress);
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
        let brought = bring(about, from, target, path, into, progress)?;
        if path.is_none() && brought.missing.is_empty() {
            let (_, bytes) = counted(into)?;
            if bytes != brought.bytes {
                let wanted = brought.bytes;
                let what = format!("{bytes} bytes came back, {wanted} were saved");
                return Err(lasting("restore-incomplete", what));
            }
        }
        Ok(brought)
    }

    fn check(&self, _: &About<'_>, folder: &Path, _: &dyn Progress) -> Result<Vec<String>, Cause> {
        let (objects, bytes) = counted(folder)?;
        Ok(vec![format!("{objects} objects of {bytes} bytes in all")])
    }
}

/// How many files a folder holds, and their lengths together.
fn counted(folder: &Path) -> Result<(u64, u64), Cause> {
    let counted = count(folder);
    counted.map_err(|error| passing("scratch", format!("count {}: {error}", folder.display())))
}

fn count(folder: &Path) -> io::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = fs::symlink_metadata(entry.path())?;
        if found.is_dir() {
            let (more, longer) = count(&entry.path())?;
            files += more;
            bytes += longer;
        } else {
            files += 1;
            bytes += found.len();
        }
    }
    Ok((files, bytes))
}
