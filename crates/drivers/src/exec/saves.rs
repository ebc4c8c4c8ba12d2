//! Saves what a team's program prints, lets it check what was brought back, and gives it back to the store.
//! Must not know repositories' format.

use std::{fs::File, path::Path, process::Stdio};

use mainstay_backup::{Finished, Holds, Label, Progress, Repository, Stream, backup};
use mainstay_driver::{ActError, Cause};
use mainstay_model::{Output, RecoveryTarget};

use super::{
    options::ExecStoreAt,
    store::{kept_now, variables},
};
use crate::shared::{
    About, Brought, Home, RunError, Said, Saves, Workshop, bring, failed, lasting, now, passing,
    refused, run_here, start,
};

/// The half of `exec` that saves.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ExecSaves;

/// What a dump is called in a snapshot, and in the folder it is brought to.
fn file_name(about: &About<'_>) -> String {
    format!("{}.dump", about.declared.name)
}

fn options(about: &About<'_>) -> Result<ExecStoreAt, Cause> {
    Home::options(about.declared, about.site)
}

impl Saves for ExecSaves {
    fn save(
        &self,
        about: &About<'_>,
        into: &Repository,
        progress: &dyn Progress,
    ) -> Result<(Label, Finished), Cause> {
        let at = options(about)?;
        let kept = kept_now(about.home, about.declared, about.site, at.owns.as_ref())?;
        let epoch = kept.epoch()?;
        // Before the program starts: every write that was acknowledged until now is in what it prints.
        let taken = now();
        let label = about.label(epoch, taken, None, Holds::Store);
        let told = variables(about.declared, "dump", Some(about.order));
        let started = start(about.home, &at.dump, &told, Stdio::null());
        let (running, stdout) = started.map_err(RunError::cause)?;
        let stream = Stream::new(file_name(about), stdout, move || running.verdict());
        let finished = backup(into, &stream, &about.options(&label), progress);
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
        // The snapshot's only entry: whoever names it means all of it.
        let path = path.filter(|path| *path != Path::new(&file_name(about)));
        bring(about, from, target, path, into, progress)
    }

    fn check(
        &self,
        about: &About<'_>,
        folder: &Path,
        _: &dyn Progress,
    ) -> Result<Vec<String>, Cause> {
        let Some(check) = options(about)?.check else {
            return Ok(Vec::new());
        };
        let dump = folder.join(file_name(about));
        let name = check.command.first().cloned().unwrap_or_default();
        let mut told = variables(about.declared, "check", Some(about.order));
        told.push(("MAINSTAY_DUMP", dump.display().to_string()));
        match run_here(about.home, &check, &told, Stdio::null()).map_err(RunError::cause)? {
            Said::Yes(_) => Ok(vec![format!("check: {name}")]),
            Said::No(why) => Err(lasting("check-failed", format!("check: {name}: {why}"))),
        }
    }

    fn restore(
        &self,
        about: &About<'_>,
        from: &Repository,
        target: &RecoveryTarget,
        progress: &dyn Progress,
    ) -> Result<Output, ActError> {
        let at = options(about).map_err(ActError::NotDone)?;
        let Some(load) = &at.load else {
            let what = format!(
                "{} declares no `load` at {}: restore it into a folder instead",
                about.declared.name, about.site
            );
            return Err(refused("unsupported", what));
        };
        let kept = kept_now(about.home, about.declared, about.site, at.owns.as_ref());
        let kept = kept.map_err(ActError::NotDone)?;
        kept.may_restore(about.asker())?;
        let workshop = Workshop::of(about);
        let brought = workshop.bring(about, from, target, progress);
        let brought = brought.map_err(ActError::NotDone)?;
        let dump = File::open(workshop.restored().join(file_name(about)));
        let dump = dump.map_err(|error| {
            let what = format!("open the dump that was brought back: {error}");
            ActError::NotDone(passing("restore-failed", what))
        })?;
        let told = variables(about.declared, "load", Some(about.order));
        match run_here(about.home, load, &told, Stdio::from(dump))? {
            Said::Yes(_) => {}
            Said::No(why) => return Err(refused("program-refused", format!("load: {why}"))),
        }
        let output = kept.restored(about.asker(), &brought)?;
        workshop.clear();
        Ok(output)
    }
}
