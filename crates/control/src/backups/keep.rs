//! Which restore points stay, by the plan file's policy, and taking away those that may go.
//! Must not know how that is decided; `backup::retention` does.

use std::{collections::BTreeMap, sync::Arc};

use mainstay_backup::{
    Id, Progress, PrunePlan, Pruned, plan_prune, prune,
    retention::{self, Reason, Whole, retain},
};
use mainstay_model::{Backup, ComponentId, PlanFile, RepositoryId};
use serde::Serialize;

use super::{
    BackupsError,
    vault::{Point, Vault, blocking},
};

/// A restore point, and why it stays.
#[derive(Debug, Clone, Serialize)]
pub struct Kept {
    /// The restore point.
    pub point: Point,
    /// Why it stays; empty if it may go.
    pub stays: Vec<Reason>,
}

/// What was taken away.
#[derive(Debug, Clone, Default)]
pub struct Forgotten {
    /// Restore points.
    pub points: u64,
    /// Packs, and what was written anew to be rid of them.
    pub pruned: Pruned,
    /// Bytes that are free now.
    pub freed: u64,
}

/// The verdict on each restore point of a repository, in the order of `points`. Those of stores that the plan file does
/// not declare, or does not save there, all stay.
#[must_use]
pub fn retention(plan: &PlanFile, repository: &RepositoryId, points: &[Point]) -> Vec<Kept> {
    let mut of: BTreeMap<&ComponentId, Vec<usize>> = BTreeMap::new();
    for (at, point) in points.iter().enumerate() {
        of.entry(&point.store).or_default().push(at);
    }
    let mut stays = vec![Vec::new(); points.len()];
    for (store, mut own) in of {
        own.sort_by_key(|at| (points[*at].recorded, points[*at].taken));
        let policy = plan.stores.get(store).and_then(|store| {
            let to = |backup: &&Backup| backup.to == *repository;
            store.backup.iter().find(to)
        });
        match policy {
            Some(policy) => judge(points, &own, policy, &mut stays),
            None => {
                for at in own {
                    stays[at].push(Reason::NoPolicy);
                }
            }
        }
    }
    let kept = points.iter().zip(stays);
    kept.map(|(point, stays)| Kept {
        point: point.clone(),
        stays,
    })
    .collect()
}

/// The restore points of one store, oldest first.
fn judge(points: &[Point], own: &[usize], policy: &Backup, stays: &mut [Vec<Reason>]) {
    let (logs, whole): (Vec<usize>, Vec<usize>) = own.iter().partition(|at| points[**at].log);
    let seen: Vec<retention::Point> = whole
        .iter()
        .map(|at| retention::Point {
            id: points[*at].id.clone(),
            recorded: points[*at].recorded,
            whole: points[*at].whole,
            proven: points[*at].proven,
        })
        .collect();
    let verdicts = retain(&seen, &policy.keep, policy.every);
    for (at, verdict) in whole.iter().zip(verdicts) {
        stays[*at] = verdict.stays;
    }
    let complete = |at: &&usize| points[**at].whole == Whole::Complete;
    if let (Some(pitr), Some(newest)) = (policy.pitr, whole.iter().rev().find(complete)) {
        let begins = points[*newest].recorded - pitr;
        let before = whole.iter().rev().filter(complete);
        let mut before = before.filter(|at| points[**at].recorded <= begins);
        // The window is younger than the oldest one: everything since that one can be restored.
        let first = before.next().or_else(|| whole.iter().find(complete));
        if let Some(first) = first {
            stays[*first].push(Reason::Pitr);
        }
    }
    // How much of a log is needed only its kind can say; whoever keeps it trims it.
    for at in logs {
        stays[at].push(Reason::Log);
    }
}

/// Forgets these restore points, and frees what nothing needs any more.
pub async fn forget(
    vault: &Vault,
    points: &[Point],
    progress: Arc<dyn Progress + Send>,
) -> Result<Forgotten, BackupsError> {
    let ids: Vec<Id> = points.iter().map(|point| point.found.id).collect();
    let repository = vault.repository.clone();
    let count = ids.len() as u64;
    blocking(move || {
        if !ids.is_empty() {
            repository.forget(&ids)?;
        }
        let plan: PrunePlan = plan_prune(&repository)?;
        let pruned = prune(&repository, &plan, &*progress)?;
        Ok(Forgotten {
            points: count,
            pruned,
            freed: if pruned.packs == 0 { 0 } else { plan.frees },
        })
    })
    .await?
}
