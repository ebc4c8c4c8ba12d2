//! What goes on by itself while `mainstay serve` runs: restore points are proven soon after they appear, tried out now and
//! then, repositories are scrubbed at their pace, and what the plan file does not keep is taken away.
//! Must not know how any of it is done.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use mainstay_backup::{
    BackupError, FileKind, Id, Mirrored, Pace, Quiet, ScrubBudget, Scrubbed, retention::Whole,
};
use mainstay_model::{ComponentId, RepositoryId, Span};
use mainstay_proof::Level;
use tokio::sync::mpsc;

use super::{
    BackupsError,
    keep::{Forgotten, forget, retention},
    mirrors::{cure, heal, mirror_to, mirrors_of},
    prove::{Proof, prove_stored, prove_tested},
    validate::{Period, validate},
    vault::{Point, Vault, blocking},
};
use crate::{clock, desk::Desk};

/// How often it is looked whether there is something to do.
const LOOK: Duration = Duration::from_secs(2);
/// How often a scrub reads its share.
const SCRUB: Span = Span::from_secs(3600);
/// How often the newest pieces of logs are proven.
const LOGS: Span = Span::from_secs(60);
/// How often what is not kept is taken away.
const FORGET: Span = Span::from_secs(24 * 3600);
/// After something failed it is left alone for so long.
const PAUSE: Span = Span::from_secs(60);

/// What the keeper tells whoever listens.
#[derive(Debug)]
pub enum KeeperNotice {
    /// A restore point was proven.
    Proven(Box<Proof>),
    /// What a store has was compared with its newest restore point.
    Validated(Box<Period>),
    /// A copy of a repository was brought up to date.
    Mirrored {
        /// The repository.
        repository: RepositoryId,
        /// Its copy.
        to: RepositoryId,
        /// What was copied.
        mirrored: Box<Mirrored>,
    },
    /// What was damaged in a repository was mended.
    Mended {
        /// The repository.
        repository: RepositoryId,
        /// The copy that had it.
        from: RepositoryId,
    },
    /// A restore point or a repository is not as it should be.
    Damaged {
        /// The repository.
        repository: RepositoryId,
        /// What was found.
        faults: Vec<String>,
    },
    /// Packs were read again.
    Scrubbed {
        /// The repository.
        repository: RepositoryId,
        /// What was seen.
        scrubbed: Box<Scrubbed>,
    },
    /// Restore points were taken away.
    Forgotten {
        /// The repository.
        repository: RepositoryId,
        /// What.
        forgotten: Forgotten,
    },
    /// Something could not be done, and is tried again.
    Failed {
        /// The repository.
        repository: RepositoryId,
        /// What was tried.
        doing: &'static str,
        /// Why not.
        why: String,
    },
}

/// Keeps the repositories that some store is saved to. Returns at once if there are none; otherwise it goes on until it
/// is dropped.
pub async fn keep(desk: &Desk, tell: mpsc::UnboundedSender<KeeperNotice>) {
    let backups = desk.plan.stores.values().flat_map(|store| &store.backup);
    let used: BTreeSet<RepositoryId> = backups.map(|backup| backup.to.clone()).collect();
    if used.is_empty() {
        return;
    }
    let mut keeper = Keeper {
        desk,
        tell,
        vaults: BTreeMap::new(),
        seen: BTreeMap::new(),
        paused: BTreeMap::new(),
    };
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for repository in &used {
            keeper.tend(repository).await;
        }
    }
}

struct Keeper<'a> {
    desk: &'a Desk,
    tell: mpsc::UnboundedSender<KeeperNotice>,
    /// Opened ones: what a password gives takes long to compute, on purpose.
    vaults: BTreeMap<RepositoryId, Vault>,
    /// The snapshots that everything was done for.
    seen: BTreeMap<RepositoryId, Vec<(Id, u64)>>,
    /// Chores that failed, and when they may be tried again.
    paused: BTreeMap<(RepositoryId, String), mainstay_model::Timestamp>,
}

impl Keeper<'_> {
    fn say(&self, notice: KeeperNotice) {
        // Whoever listened may be gone.
        let _ = self.tell.send(notice);
    }

    fn failed(
        &mut self,
        repository: &RepositoryId,
        doing: &'static str,
        about: &str,
        error: &BackupsError,
    ) {
        let key = (repository.clone(), format!("{doing} {about}"));
        self.paused.insert(key, clock::now() + PAUSE);
        self.say(KeeperNotice::Failed {
            repository: repository.clone(),
            doing,
            why: error.to_string(),
        });
    }

    fn paused(&self, repository: &RepositoryId, doing: &str, about: &str) -> bool {
        let key = (repository.clone(), format!("{doing} {about}"));
        self.paused
            .get(&key)
            .is_some_and(|until| *until > clock::now())
    }

    async fn tend(&mut self, name: &RepositoryId) {
        if self.paused(name, "open", "") {
            return;
        }
        let vault =
            match self.open(name).await {
                Ok(vault) => vault,
                // Nothing was saved there yet.
                Err(BackupsError::Repository(
                    BackupError::NoRepository | BackupError::Storage(_),
                )) if !self.seen.contains_key(name) => return,
                Err(error) => return self.failed(name, "open", "", &error),
            };
        let work = self.work(&vault).await;
        if let Err(error) = work {
            self.failed(name, "open", "", &error);
        }
    }

    async fn open(&mut self, name: &RepositoryId) -> Result<Vault, BackupsError> {
        if let Some(vault) = self.vaults.get(name) {
            let repository = vault.repository.clone();
            if blocking(move || repository.is_there()).await?? {
                return Ok(vault.clone());
            }
            self.vaults.remove(name);
        }
        let vault = Vault::open(self.desk, name).await?;
        self.vaults.insert(name.clone(), vault.clone());
        Ok(vault)
    }

    async fn work(&mut self, vault: &Vault) -> Result<(), BackupsError> {
        let repository = vault.repository.clone();
        let listed = blocking(move || repository.list(FileKind::Snapshot)).await??;
        let changed = self.seen.get(&vault.name) != Some(&listed);
        let scrub = self.due(&format!("scrub {}", vault.name), SCRUB)?;
        let forget = self.due(&format!("forget {}", vault.name), FORGET)?;
        if !changed && !scrub && !forget && !self.tests_due(&vault.name)? {
            return Ok(());
        }
        let points = vault.points(self.desk).await?;
        if changed || scrub {
            self.prove(vault, &points, scrub).await;
        }
        self.test(vault, &points).await?;
        self.validate(vault).await?;
        if changed || scrub {
            self.copy(vault).await;
        }
        if forget {
            self.forget(vault).await?;
        }
        self.seen.insert(vault.name.clone(), listed);
        Ok(())
    }

    fn due(&self, chore: &str, every: Span) -> Result<bool, BackupsError> {
        let now = clock::now();
        let last = self.desk.state.chore(chore)?.filter(|last| *last <= now);
        Ok(last.is_none_or(|last| now.since(last) >= every))
    }

    /// Stored and read back, as soon as they appear.
    async fn prove(&mut self, vault: &Vault, points: &[Point], scrub: bool) {
        let name = &vault.name;
        // Pieces of logs appear all the time.
        let logs = self.due(&format!("logs {name}"), LOGS).unwrap_or(true);
        let unproven =
            |point: &&Point| point.proven < Some(Level::ReadBack) && (logs || !point.log);
        let unproven: Vec<Point> = points.iter().filter(unproven).cloned().collect();
        if (unproven.is_empty() && !scrub) || self.paused(name, "prove", "") {
            return;
        }
        let within = self.desk.plan.repositories.get(name);
        let within = within.map_or(Span::ZERO, |declared| declared.scrub);
        let budget = ScrubBudget {
            most: None,
            pace: Some(Pace {
                within: within.duration(),
                next_in: if scrub {
                    SCRUB.duration()
                } else {
                    Duration::ZERO
                },
            }),
        };
        let level = Level::ReadBack;
        let proven = prove_stored(self.desk, vault, unproven, level, budget, Arc::new(Quiet));
        match proven.await {
            Ok(proven) => {
                if let Some(seen) = proven
                    .scrubbed
                    .as_ref()
                    .filter(|seen| !seen.damaged.is_empty())
                {
                    self.mend(vault, seen.damaged.keys().copied().collect())
                        .await;
                }
                if let Some(scrubbed) = proven.scrubbed.filter(|seen| seen.packs_read > 0) {
                    let faults: Vec<String> = scrubbed
                        .damaged
                        .iter()
                        .map(|(pack, how)| format!("pack {pack}: {how}"))
                        .collect();
                    self.damaged(name, faults);
                    self.say(KeeperNotice::Scrubbed {
                        repository: name.clone(),
                        scrubbed: Box::new(scrubbed),
                    });
                }
                for proof in proven.proofs {
                    self.damaged(name, proof.faults.clone());
                    if !proof.issued.is_empty() {
                        self.say(KeeperNotice::Proven(Box::new(proof)));
                    }
                }
                let scrubbed = scrub.then(|| format!("scrub {name}"));
                let logged = logs.then(|| format!("logs {name}"));
                for chore in scrubbed.into_iter().chain(logged) {
                    let done = self.desk.state.set_chore(&chore, clock::now()).await;
                    if let Err(error) = done {
                        self.failed(name, "prove", "", &error.into());
                    }
                }
            }
            Err(error) => self.failed(name, "prove", "", &error),
        }
    }

    fn damaged(&self, repository: &RepositoryId, faults: Vec<String>) {
        if !faults.is_empty() {
            self.say(KeeperNotice::Damaged {
                repository: repository.clone(),
                faults,
            });
        }
    }

    /// The stores that are saved there, with how often their newest restore point is tried out.
    fn tests(&self, name: &RepositoryId) -> Vec<(ComponentId, Span)> {
        let stores = self.desk.plan.stores.iter();
        let tests = stores.filter_map(|(store, declared)| {
            let to = declared.backup.iter().find(|backup| backup.to == *name)?;
            Some((store.clone(), to.test))
        });
        tests.collect()
    }

    fn tests_due(&self, name: &RepositoryId) -> Result<bool, BackupsError> {
        for (store, every) in self.tests(name) {
            if self.due(&format!("test {store} {name}"), every)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn test(&mut self, vault: &Vault, points: &[Point]) -> Result<(), BackupsError> {
        for (store, every) in self.tests(&vault.name) {
            let chore = format!("test {store} {}", vault.name);
            let about = store.to_string();
            if !self.due(&chore, every)? || self.paused(&vault.name, "test", &about) {
                continue;
            }
            let complete = |point: &&Point| {
                point.store == store && !point.log && point.whole == Whole::Complete
            };
            let Some(newest) = points.iter().rev().find(complete) else {
                continue;
            };
            match prove_tested(self.desk, vault, newest.clone(), &|_| {}).await {
                Ok(proof) => {
                    self.desk.state.set_chore(&chore, clock::now()).await?;
                    self.say(KeeperNotice::Proven(Box::new(proof)));
                }
                Err(error) => self.failed(&vault.name, "test", &about, &error),
            }
        }
        Ok(())
    }

    /// Brings the copies of the repository up to date.
    async fn copy(&mut self, vault: &Vault) {
        for to in mirrors_of(self.desk, &vault.name) {
            let about = to.to_string();
            if self.paused(&vault.name, "mirror", &about) {
                continue;
            }
            match mirror_to(self.desk, vault, &to).await {
                Ok(mirrored) => {
                    let damaged = mirrored.damaged.iter();
                    let faults = damaged
                        .map(|(name, how)| format!("{name}: {how}"))
                        .collect();
                    self.damaged(&vault.name, faults);
                    if mirrored.packs > 0 || mirrored.snapshots > 0 {
                        self.say(KeeperNotice::Mirrored {
                            repository: vault.name.clone(),
                            to,
                            mirrored: Box::new(mirrored),
                        });
                    }
                }
                Err(error) => self.failed(&vault.name, "mirror", &about, &error),
            }
        }
    }

    /// What a copy has whole is taken from there; what would stay damaged waits for a person.
    async fn mend(&mut self, vault: &Vault, suspects: BTreeSet<Id>) {
        if mirrors_of(self.desk, &vault.name).is_empty() || self.paused(&vault.name, "mend", "") {
            return;
        }
        let healed = async {
            let found = cure(self.desk, vault, suspects).await?;
            let Some(from) = found.from.clone().filter(|_| found.plan.mends_all()) else {
                return Ok(None);
            };
            heal(self.desk, vault, found).await?;
            Ok::<_, BackupsError>(Some(from))
        };
        match healed.await {
            Ok(Some(from)) => self.say(KeeperNotice::Mended {
                repository: vault.name.clone(),
                from,
            }),
            Ok(None) => {}
            Err(error) => self.failed(&vault.name, "mend", "", &error),
        }
    }

    /// What the plan file wants compared by itself.
    async fn validate(&mut self, vault: &Vault) -> Result<(), BackupsError> {
        let stores = self.desk.plan.stores.iter();
        let wanted: Vec<(ComponentId, Span)> = stores
            .filter_map(|(store, declared)| {
                let to = declared.backup.iter().find(|one| one.to == vault.name)?;
                Some((store.clone(), to.validate?))
            })
            .collect();
        for (store, every) in wanted {
            let chore = format!("validate {store} {}", vault.name);
            let about = store.to_string();
            if !self.due(&chore, every)? || self.paused(&vault.name, "validate", &about) {
                continue;
            }
            match validate(self.desk, vault, &store, &|_| {}).await {
                Ok(period) => {
                    self.desk.state.set_chore(&chore, clock::now()).await?;
                    self.damaged(&vault.name, period.found.first_missing.clone());
                    self.say(KeeperNotice::Validated(Box::new(period)));
                }
                Err(error) => self.failed(&vault.name, "validate", &about, &error),
            }
        }
        Ok(())
    }

    async fn forget(&mut self, vault: &Vault) -> Result<(), BackupsError> {
        if self.paused(&vault.name, "forget", "") {
            return Ok(());
        }
        // As they are proven now, not as they were before.
        let points = vault.points(self.desk).await?;
        let verdicts = retention(&self.desk.plan, &vault.name, &points);
        let gone = verdicts.into_iter().filter(|kept| kept.stays.is_empty());
        let gone: Vec<Point> = gone.map(|kept| kept.point).collect();
        match forget(vault, &gone, Arc::new(Quiet)).await {
            Ok(forgotten) => {
                let chore = format!("forget {}", vault.name);
                self.desk.state.set_chore(&chore, clock::now()).await?;
                if forgotten.points > 0 || forgotten.pruned.packs > 0 {
                    self.say(KeeperNotice::Forgotten {
                        repository: vault.name.clone(),
                        forgotten,
                    });
                }
            }
            Err(error) => self.failed(&vault.name, "forget", "", &error),
        }
        Ok(())
    }
}
