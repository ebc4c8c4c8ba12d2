//! A driver whose stores can be saved: carries out backups, proofs and restores with what the kind plugs in, and hands
//! everything else to the kind's own driver.
//! Must not know any kind.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use mainstay_backup::{Finished, IfMissing, Label, Problem, Repository, open_declared};
use mainstay_driver::{ActError, Cause, Driver, Handle, Order, Progress};
use mainstay_model::{Op, Output, Position, RecoveryTarget, RepositoryId, Sample, Saved, Scope};

use super::{
    super::{Home, hindered, lasting, passing, refused, write_durably},
    extract::Brought,
    jobs::{Jobs, Tracker},
    saves::{About, Saves, Validated, failed},
};

/// A kind's driver and the half of it that saves.
pub(crate) struct Saving {
    inner: Arc<dyn Driver>,
    work: Arc<Work>,
    jobs: Jobs,
}

struct Work {
    home: Home,
    saves: Arc<dyn Saves>,
    /// Opened ones: what a password gives takes long to compute, on purpose.
    opened: Mutex<BTreeMap<RepositoryId, Repository>>,
}

impl Saving {
    pub(crate) fn new(home: &Home, inner: Arc<dyn Driver>, saves: Arc<dyn Saves>) -> Self {
        let work = Work {
            home: home.clone(),
            saves,
            opened: Mutex::default(),
        };
        Self {
            inner,
            work: Arc::new(work),
            jobs: Jobs::default(),
        }
    }
}

#[async_trait]
impl Driver for Saving {
    async fn observe(&self, scope: &Scope) -> Sample {
        self.inner.observe(scope).await
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        if !is_ours(&order.action.op) {
            return self.inner.act(order).await;
        }
        self.work.home.own(&order.action.site)?;
        let (work, own) = (Arc::clone(&self.work), order.clone());
        Ok(self
            .jobs
            .start(order, move |tracker| work.carry_out(&own, tracker)))
    }

    async fn poll(&self, order: &Order, handle: &Handle) -> Result<Progress, ActError> {
        if is_ours(&order.action.op) {
            return self.jobs.poll(handle);
        }
        self.inner.poll(order, handle).await
    }

    async fn recall(&self, order: &Order) -> Result<Progress, ActError> {
        match order.action.op {
            // It changed nothing but a repository or a folder of its own, where no half of it counts.
            Op::Backup { .. } | Op::Prove { .. } | Op::Validate { .. } | Op::Extract { .. } => {
                let what = "nobody lived to see its end; no half of it counts";
                Err(ActError::NotDone(passing("job-gone", what)))
            }
            Op::Restore { .. } => self.work.restored(order).map(Progress::Done),
            _ => self.inner.recall(order).await,
        }
    }
}

fn is_ours(op: &Op) -> bool {
    matches!(
        op,
        Op::Backup { .. }
            | Op::Prove { .. }
            | Op::Validate { .. }
            | Op::Extract { .. }
            | Op::Restore { .. }
    )
}

impl Work {
    fn carry_out(&self, order: &Order, tracker: &Tracker) -> Result<Output, ActError> {
        let declared = self
            .home
            .declared(&order.action.subject)
            .map_err(ActError::NotDone)?;
        let about = About {
            home: &self.home,
            declared,
            site: &order.action.site,
            order,
        };
        let done = match &order.action.op {
            Op::Backup { to } => self.back_up(&about, to, tracker),
            Op::Prove { from, target } => self.prove(&about, from, target, tracker),
            Op::Validate { from, since } => {
                tracker.phase("comparing");
                self.open(from, IfMissing::Refuse).and_then(|repository| {
                    let done = self.saves.validate(&about, &repository, *since, tracker)?;
                    Ok(validated(done))
                })
            }
            Op::Extract {
                from,
                target,
                path,
                into,
            } => {
                tracker.phase("restoring");
                self.open(from, IfMissing::Refuse).and_then(|repository| {
                    let (path, into) = (path.as_deref().map(PathBuf::from), PathBuf::from(into));
                    let brought = self.saves.extract(
                        &about,
                        &repository,
                        target,
                        path.as_deref(),
                        &into,
                        tracker,
                    )?;
                    Ok(restored(brought))
                })
            }
            Op::Restore { from, target } => {
                tracker.phase("restoring");
                let repository = self.open(from, IfMissing::Refuse);
                let repository = repository.map_err(ActError::NotDone)?;
                let output = self.saves.restore(&about, &repository, target, tracker)?;
                self.remember(order, &output)?;
                return Ok(output);
            }
            other => {
                return Err(refused(
                    "unsupported",
                    format!("{} stores cannot carry out {other:?}", declared.kind),
                ));
            }
        };
        done.map(Output::from).map_err(ActError::NotDone)
    }

    /// Where the last restore in place of a store is remembered.
    fn memory(&self, order: &Order) -> Option<PathBuf> {
        let store = order.action.subject.component()?;
        Some(self.home.state_of("restored", store).join("last.json"))
    }

    fn remember(&self, order: &Order, output: &Output) -> Result<(), ActError> {
        let Some(path) = self.memory(order) else {
            return Ok(());
        };
        let written = serde_json::to_vec(&(order.id.to_string(), output))
            .map_err(std::io::Error::from)
            .and_then(|bytes| write_durably(&path, &bytes));
        written.map_err(|error| {
            let what = format!("remember the restore: {error}");
            ActError::Unknown(passing("restore-failed", what))
        })
    }

    /// What became of a restore whose agent died. One that was not remembered is made again: the store is still closed,
    /// and the same state comes out of it.
    fn restored(&self, order: &Order) -> Result<Output, ActError> {
        let read = self.memory(order).and_then(|path| fs::read(path).ok());
        let known = read.and_then(|bytes| serde_json::from_slice::<(String, Output)>(&bytes).ok());
        match known {
            Some((id, output)) if id == order.id.to_string() => Ok(output),
            _ => Err(hindered("restore-unfinished", "it was not finished")),
        }
    }

    fn open(&self, name: &RepositoryId, missing: IfMissing) -> Result<Repository, Cause> {
        let declared = self.home.plan.repositories.get(name).ok_or_else(|| {
            lasting(
                "no-repository",
                format!("the plan file declares no repository {name}"),
            )
        })?;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(repository) = opened.get(name) {
            // Another one may have come in its place since.
            if repository.is_there().unwrap_or(false) {
                return Ok(repository.clone());
            }
            opened.remove(name);
        }
        let repository = open_declared(declared, missing).map_err(|error| failed(&error))?;
        opened.insert(name.clone(), repository.clone());
        Ok(repository)
    }

    fn back_up(
        &self,
        about: &About<'_>,
        to: &RepositoryId,
        tracker: &Tracker,
    ) -> Result<Saved, Cause> {
        tracker.phase("saving");
        let repository = self.open(to, IfMissing::Create)?;
        let (label, finished) = self.saves.save(about, &repository, tracker)?;
        Ok(saved(label, &finished))
    }

    /// Into a folder that only this order has; what an earlier one left there is taken away first.
    fn prove(
        &self,
        about: &About<'_>,
        from: &RepositoryId,
        target: &RecoveryTarget,
        tracker: &Tracker,
    ) -> Result<Saved, Cause> {
        let repository = self.open(from, IfMissing::Refuse)?;
        let parent = self.saves.scratch(about)?;
        let _ = fs::remove_dir_all(&parent);
        fs::create_dir_all(&parent)
            .map_err(|error| passing("scratch", format!("create {}: {error}", parent.display())))?;
        let folder = parent.join("restored");
        let proven = (|| {
            tracker.phase("restoring");
            let saves = &self.saves;
            let brought = saves.extract(about, &repository, target, None, &folder, tracker)?;
            if let Some(first) = brought.missing.first() {
                let (path, why) = (first.path.display(), &first.why);
                let count = brought.missing.len();
                let what = format!("{count} entries did not come back; the first is {path}: {why}");
                return Err(lasting("restore-incomplete", what));
            }
            tracker.phase("checking");
            let checks = saves.check(about, &folder, tracker)?;
            let mut proven = restored(brought);
            proven.checks = checks;
            Ok(proven)
        })();
        let _ = fs::remove_dir_all(&parent);
        proven
    }
}

/// So many missing entries are named in an answer.
const NAMED: usize = 20;

fn named(missing: &[Problem]) -> Vec<String> {
    let named = missing.iter().take(NAMED);
    named
        .map(|problem| format!("{}: {}", problem.path.display(), problem.why))
        .collect()
}

fn saved(label: Label, finished: &Finished) -> Saved {
    Saved {
        point: finished.id.to_string(),
        tree: finished.snapshot.tree.to_string(),
        taken: label.taken,
        epoch: label.epoch,
        position: label.position,
        entries: finished.entries,
        bytes: finished.bytes,
        stored: finished.stored.bytes,
        missing: finished.problems.len() as u64,
        first_missing: named(&finished.problems),
        checks: Vec::new(),
    }
}

fn validated(done: Validated) -> Saved {
    let label = done.point.label;
    Saved {
        point: done.point.id.to_string(),
        tree: done.there,
        taken: label.taken,
        epoch: label.epoch,
        position: Some(Position::Digest(done.here)),
        entries: done.entries,
        bytes: done.bytes,
        stored: 0,
        missing: done.missing.len() as u64,
        first_missing: named(&done.missing),
        checks: Vec::new(),
    }
}

fn restored(brought: Brought) -> Saved {
    Saved {
        point: brought.point.to_string(),
        tree: brought.tree.to_string(),
        taken: brought.reached,
        epoch: brought.epoch,
        position: brought.position,
        entries: brought.entries,
        bytes: brought.bytes,
        stored: 0,
        missing: brought.missing.len() as u64,
        first_missing: named(&brought.missing),
        checks: Vec::new(),
    }
}
