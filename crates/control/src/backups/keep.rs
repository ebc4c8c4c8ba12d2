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

#[cfg(test)]
mod tests {
    use mainstay_backup::{Holds, Label, RestorePoint, Snapshot, Time};
    use mainstay_model::{Epoch, Keep, KindName, SiteId, Span, Timestamp};
    use mainstay_proof::Level;

    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn point(id: u8, hours: i64, proven: Option<Level>, log: bool) -> Point {
        let at = Timestamp(hours * HOUR);
        let label = Label {
            taken: at,
            system: "orders".to_owned(),
            store: ComponentId::new("ledger").unwrap(),
            kind: KindName::new("postgres").unwrap(),
            site: SiteId::new("prod").unwrap(),
            epoch: Epoch(1),
            position: None,
            holds: if log { Holds::Log } else { Holds::Store },
        };
        let id = Id([id; 32]);
        let snapshot = Snapshot {
            time: Time::EPOCH,
            tree: id,
            tags: label.tags(),
            ..serde_json::from_value(serde_json::json!({
                "time": "1970-01-01T00:00:00Z", "tree": id.to_string(),
            }))
            .unwrap()
        };
        Point {
            id: id.to_string(),
            repository: RepositoryId::new("offsite").unwrap(),
            store: label.store.clone(),
            kind: label.kind.clone(),
            site: label.site.clone(),
            epoch: label.epoch,
            taken: at,
            position: None,
            log,
            whole: Whole::Complete,
            missing: 0,
            recorded: at,
            proven,
            found: Arc::new(RestorePoint {
                id,
                label,
                snapshot,
            }),
        }
    }

    fn judged(points: &[Point], keep: Keep, pitr: Option<Span>) -> Vec<Vec<Reason>> {
        let policy = Backup {
            every: Span::from_secs(3600),
            to: RepositoryId::new("offsite").unwrap(),
            keep,
            pitr,
            test: Span::MAX,
            validate: None,
        };
        let mut stays = vec![Vec::new(); points.len()];
        let own: Vec<usize> = (0..points.len()).collect();
        judge(points, &own, &policy, &mut stays);
        stays
    }

    #[test]
    fn a_restore_to_any_moment_of_the_window_has_something_to_begin_with() {
        let proven = Some(Level::ReadBack);
        let points: Vec<Point> = (0..10)
            .map(|n| point(n, i64::from(n), proven, false))
            .collect();
        let keep = Keep {
            last: Some(2),
            ..Keep::default()
        };
        let kept = |pitr: Option<Span>| -> Vec<usize> {
            let stays = judged(&points, keep.clone(), pitr);
            (0..points.len())
                .filter(|at| !stays[*at].is_empty())
                .collect()
        };
        assert_eq!(kept(None), [8, 9]);
        // The window begins at hour 5 and a half: the one of hour 5 leads into it.
        assert_eq!(kept(Some(Span::from_secs(3600 * 7 / 2))), [5, 8, 9]);
        // Older than everything: the oldest one is where it begins.
        assert_eq!(kept(Some(Span::from_secs(3600 * 1000))), [0, 8, 9]);
    }

    #[test]
    fn pieces_of_a_log_stay_and_push_nothing_out() {
        let proven = Some(Level::ReadBack);
        let mut points = vec![point(0, 0, proven, false)];
        points.extend((1..50).map(|n| point(n, i64::from(n), proven, true)));
        let keep = Keep {
            last: Some(1),
            ..Keep::default()
        };
        let stays = judged(&points, keep, None);
        assert!(stays[0].contains(&Reason::Last));
        assert!(stays[1..].iter().all(|one| *one == [Reason::Log]));
    }
}
