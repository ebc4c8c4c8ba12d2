//! What comes before and after the files: folders, links, devices, further names; and the folders' own permissions
//! and times, which come last because filling a folder changes them.
//! Must not know blobs.

use std::{io, path::Path, sync::atomic::Ordering};

use super::{
    fetch::Fetcher,
    plan::{OtherJob, Plan},
};
use crate::Existing;

impl Fetcher<'_> {
    /// Makes every folder, outer ones first. One that is there is used.
    pub(super) fn make_folders(&self, plan: &Plan) {
        for (path, _) in &plan.folders {
            if path.as_os_str().is_empty() {
                continue;
            }
            match self.target.make_folder(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let seen = self.target.look(path).ok().flatten();
                    let sort = seen.map(|seen| rustix::fs::FileType::from_raw_mode(seen.st_mode));
                    if sort != Some(rustix::fs::FileType::Directory) {
                        self.problem(path, "something else is in the folder's place");
                    }
                }
                Err(error) => self.problem(path, &error.to_string()),
                Ok(()) => {}
            }
        }
    }

    /// Makes what is neither file nor folder.
    pub(super) fn make_others(&self, plan: &Plan) {
        for job in &plan.others {
            match self.make_other(job) {
                Ok(()) => self.done(),
                Err(error) => self.problem(&job.path, &error.to_string()),
            }
        }
    }

    fn make_other(&self, job: &OtherJob) -> io::Result<()> {
        self.make_room(&job.path)?;
        self.target
            .make_other(&job.path, job.kind, &job.target, job.device)?;
        self.target.settle_other(&job.path, job.kind, &job.facts)
    }

    /// Gives files their further names.
    pub(super) fn make_links(&self, plan: &Plan) {
        for (path, first) in &plan.links {
            let linked = self
                .make_room(path)
                .and_then(|()| self.target.link(first, path));
            match linked {
                Ok(()) => self.done(),
                Err(error) => {
                    let why = format!("it is another name of {}: {error}", first.display());
                    self.problem(path, &why);
                }
            }
        }
    }

    /// Removes what is in the way, where that was asked for.
    fn make_room(&self, path: &Path) -> io::Result<()> {
        if self.existing == Existing::Mend && self.target.look(path)?.is_some() {
            self.target.remove(path)?;
        }
        Ok(())
    }

    /// Gives folders their permissions and times, inner ones first.
    pub(super) fn settle_folders(&self, plan: &Plan) {
        for (path, facts) in plan.folders.iter().rev() {
            match self.target.settle_folder(path, facts) {
                Ok(()) => self.done(),
                Err(error) => self.problem(path, &error.to_string()),
            }
        }
    }

    fn done(&self) {
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.progress.done(1, 0);
    }
}
