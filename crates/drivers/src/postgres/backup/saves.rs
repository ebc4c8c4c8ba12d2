//! `postgres` as a kind that can be saved: orders become base backups, recoveries, proofs, and a restore in place.
//! Must not know repositories' format.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use mainstay_backup::{Finished, Label, Progress, Repository};
use mainstay_driver::{ActError, Cause};
use mainstay_model::{Output, Position, RecoveryTarget};

use super::{
    super::{
        instance::Instance,
        job::{Jobs, state_failed},
        moves::{at_position, lsn_text},
        options::{PostgresOptions, sites},
        rebuild::{STATUS, gone},
        server::{Server, StopMode, file_failed},
    },
    base,
    bring::{DONE, bring},
    keeping::{Hurry, Keeping},
    proof::prove,
    recover::beside,
    store::Store,
    wait::wait,
};
use crate::shared::{About, Brought, Saves, lasting, passing};

/// The half of `postgres` that saves.
#[derive(Debug, Clone)]
pub(crate) struct PostgresSaves {
    jobs: Jobs,
    hurry: Hurry,
}

impl PostgresSaves {
    pub(in super::super) fn new(jobs: &Jobs, keeping: &Keeping) -> Self {
        Self {
            jobs: jobs.clone(),
            hurry: keeping.hurry(),
        }
    }
}

impl Store {
    fn of(about: &About<'_>) -> Self {
        let declared = about.declared;
        Self {
            instance: Instance {
                name: declared.name.clone(),
                home: about.home.simple(),
                sites: sites(declared),
                options: PostgresOptions::of(declared).unwrap_or_default(),
            },
            system: about.home.plan.system.clone(),
        }
    }
}

impl Saves for PostgresSaves {
    fn save(
        &self,
        about: &About<'_>,
        into: &Repository,
        progress: &dyn Progress,
    ) -> Result<(Label, Finished), Cause> {
        base::save(&Store::of(about), into, progress)
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
        if path.is_some() {
            let what = "a cluster is brought back whole: leave the path out";
            return Err(lasting("no-such-path", what));
        }
        let store = Store::of(about);
        self.hurry.now(&store);
        bring(&store, from, target, into, progress)
    }

    fn check(
        &self,
        about: &About<'_>,
        folder: &Path,
        _: &dyn Progress,
    ) -> Result<Vec<String>, Cause> {
        prove(&Store::of(about), folder)
    }

    /// The agent's own folders are closed to the user that runs PostgreSQL when the agent is root.
    fn scratch(&self, about: &About<'_>) -> Result<PathBuf, Cause> {
        let store = Store::of(about);
        let instance = &store.instance;
        let at = instance.at(about.site)?;
        let name = format!("mainstay-scratch-{}", instance.name);
        Ok(match (&at.scratch, instance.folder()) {
            (Some(written), _) => instance.home.path(written).join(name),
            (None, Some(data)) => beside(&data, &format!(".{name}")),
            (None, None) => std::env::temp_dir().join(name),
        })
    }

    fn restore(
        &self,
        about: &About<'_>,
        from: &Repository,
        target: &RecoveryTarget,
        progress: &dyn Progress,
    ) -> Result<Output, ActError> {
        let store = Store::of(about);
        self.hurry.now(&store);
        let turn = self.jobs.turn(store.instance.state(STATUS));
        let Some(_turn) = turn else {
            let what = "the cluster is being rebuilt";
            return Err(ActError::NotDone(passing("postgres-busy", what)));
        };
        in_place(&store, from, target, progress)
    }
}

/// Puts what a target names in the place of the data folder. The server boots sealed; what was there stays beside it.
pub(super) fn in_place(
    store: &Store,
    from: &Repository,
    target: &RecoveryTarget,
    progress: &dyn Progress,
) -> Result<Output, ActError> {
    let server = wait(store.instance.server()).map_err(ActError::NotDone)?;
    let data = &server.folder.path;
    let swap = Swap {
        new: beside(data, ".mainstay-restoring"),
        old: beside(data, ".mainstay-before-restore"),
        own: store.instance.state("own-files"),
    };
    let brought = swap.bring(store, &server, from, target, progress);
    let brought = brought.map_err(ActError::NotDone)?;
    swap.make(store, &server).map_err(ActError::Unknown)?;
    let lsn = match brought.position {
        Some(Position::Lsn(lsn)) => lsn,
        _ => 0,
    };
    let values = [
        ("lsn", lsn_text(lsn)),
        ("reached", brought.reached.to_string()),
        ("point", brought.point.to_string()),
        ("replaced", swap.old.display().to_string()),
    ];
    Ok(at_position(lsn, &values))
}

/// The folders of a restore in place.
struct Swap {
    new: PathBuf,
    old: PathBuf,
    /// The site's own files, for as long as the swap is not over.
    own: PathBuf,
}

impl Swap {
    /// Restores beside the data folder, whose cluster must not be open.
    fn bring(
        &self,
        store: &Store,
        server: &Server,
        from: &Repository,
        target: &RecoveryTarget,
        progress: &dyn Progress,
    ) -> Result<Brought, Cause> {
        if server.folder.postmaster().is_some() {
            let (_, seen) = wait(store.instance.look_here())?;
            if !seen.recovery && !seen.sealed() {
                let name = &store.instance.name;
                let what = format!("{name} is open for writes here: seal it first");
                return Err(lasting("store-open", what));
            }
        }
        let made = fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&self.new);
        made.map_err(|e| file_failed(&e))?;
        let brought = bring(store, from, target, &self.new, progress)?;
        if let Some(first) = brought.missing.first() {
            let (count, path) = (brought.missing.len(), first.path.display());
            let what = format!("{count} entries did not come back; the first is {path}");
            return Err(lasting("restore-incomplete", what));
        }
        Ok(brought)
    }

    /// Stops what is there, puts the new folder in its place with the site's own settings, and starts it sealed.
    fn make(&self, store: &Store, server: &Server) -> Result<(), Cause> {
        let folder = &server.folder;
        // An earlier swap did not come to its end: what it moved aside is what is worth keeping.
        let again = self.own.exists() && self.old.exists();
        if folder.is_cluster() {
            folder.keep_own(&self.own).map_err(|e| state_failed(&e))?;
            wait(server.stop(StopMode::Fast))?;
        }
        let moved = || -> std::io::Result<()> {
            if folder.path.exists() && again {
                fs::remove_dir_all(&folder.path)?;
            } else if folder.path.exists() {
                fs::remove_dir_all(&self.old).or_else(gone)?;
                fs::rename(&folder.path, &self.old)?;
            }
            fs::rename(&self.new, &folder.path)?;
            fs::remove_file(folder.path.join(DONE)).or_else(gone)?;
            folder.restore_own(&self.own)?;
            store.instance.settings_of_its_own(server)
        };
        moved().map_err(|e| file_failed(&e))?;
        wait(async {
            folder.sync().await.map_err(|e| file_failed(&e))?;
            server.start().await
        })?;
        let removed = fs::remove_dir_all(&self.own).or_else(gone);
        removed.map_err(|e| state_failed(&e))
    }
}
