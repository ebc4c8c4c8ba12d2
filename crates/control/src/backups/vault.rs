//! A declared repository, opened: its restore points with when they were first seen and how far they are proven.
//! Must not know stores.

use std::{collections::BTreeMap, sync::Arc};

use mainstay_backup::{
    Holds, IfMissing, Repository, RestorePoint, Wholeness, open_declared, retention::Whole,
};
use mainstay_model::{ComponentId, Epoch, KindName, Position, RepositoryId, SiteId, Timestamp};
use mainstay_proof::{Level, Receipt};
use serde::Serialize;

use super::BackupsError;
use crate::{clock, desk::Desk};

/// A repository of the plan file, opened.
#[derive(Debug, Clone)]
pub struct Vault {
    /// Its name in the plan file.
    pub name: RepositoryId,
    /// The repository.
    pub repository: Repository,
}

/// A restore point, with what is known of it here.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// Its name in the repository.
    pub id: String,
    /// The repository.
    pub repository: RepositoryId,
    /// The store.
    pub store: ComponentId,
    /// Its kind.
    pub kind: KindName,
    /// The site that it was read from.
    pub site: SiteId,
    /// The store's epoch then.
    pub epoch: Epoch,
    /// Every write acknowledged before this is in it, by the clock of the site.
    pub taken: Timestamp,
    /// How far it goes, where the kind can say.
    pub position: Option<Position>,
    /// Whether it is a piece of a log and not a whole store.
    pub log: bool,
    /// Whether everything that should be in it is.
    pub whole: Whole,
    /// How many entries could not be read.
    pub missing: u64,
    /// When it was first seen, by this clock.
    pub recorded: Timestamp,
    /// How far it has been proven.
    pub proven: Option<Level>,
    /// The snapshot itself.
    #[serde(skip)]
    pub found: Arc<RestorePoint>,
}

impl Vault {
    /// Opens a repository of the plan file that exists.
    pub async fn open(desk: &Desk, name: &RepositoryId) -> Result<Self, BackupsError> {
        let declared = desk.plan.repositories.get(name).cloned();
        let declared = declared.ok_or_else(|| BackupsError::NoRepository(name.clone()))?;
        let repository = blocking(move || open_declared(&declared, IfMissing::Refuse)).await??;
        Ok(Self {
            name: name.clone(),
            repository,
        })
    }

    /// What receipts call it: its name, and which repository that was.
    #[must_use]
    pub fn destination(&self) -> String {
        let id = self.repository.id();
        format!("{} ({})", self.name, id.get(..8).unwrap_or(id))
    }

    /// Every restore point of the system, oldest first. Those that were not seen before are remembered.
    pub async fn points(&self, desk: &Desk) -> Result<Vec<Point>, BackupsError> {
        let repository = self.repository.clone();
        let mut all = blocking(move || RestorePoint::all(&repository)).await??;
        all.retain(|point| point.label.system == desk.plan.system);
        let ids = all.iter().map(|point| point.id.to_string()).collect();
        let recorded = desk.state.see_points(&self.name, ids, clock::now()).await?;
        let proven = proven(&desk.receipts()?.list()?);
        let points = all.into_iter().map(|found| {
            let id = found.id.to_string();
            let label = &found.label;
            let missing = &found.snapshot.mainstay_missing;
            Point {
                repository: self.name.clone(),
                store: label.store.clone(),
                kind: label.kind.clone(),
                site: label.site.clone(),
                epoch: label.epoch,
                taken: label.taken,
                position: label.position.clone(),
                log: label.holds == Holds::Log,
                whole: match found.snapshot.wholeness() {
                    Wholeness::Whole => Whole::Complete,
                    Wholeness::Incomplete => Whole::Incomplete,
                },
                missing: missing.as_ref().map_or(0, |missing| missing.count),
                recorded: recorded.get(&id).copied().unwrap_or_else(clock::now),
                proven: proven.get(&id).copied(),
                id,
                found: Arc::new(found),
            }
        });
        Ok(points.collect())
    }
}

/// The highest level that each restore point has a receipt for.
fn proven(receipts: &[Receipt]) -> BTreeMap<String, Level> {
    let mut proven = BTreeMap::new();
    for receipt in receipts {
        if let Some(point) = &receipt.point {
            let level = proven.entry(point.clone()).or_insert(receipt.level);
            *level = receipt.level.max(*level);
        }
    }
    proven
}

/// A position as receipts write it.
#[must_use]
pub fn position_text(position: &Position) -> String {
    match position {
        Position::Lsn(lsn) => format!("{:X}/{:X}", lsn >> 32, lsn & 0xffff_ffff),
        Position::Counter(counter) => counter.to_string(),
        Position::Digest(digest) => digest.clone(),
    }
}

/// Runs what blocks on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BackupsError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| BackupsError::Answer(error.to_string()))
}
