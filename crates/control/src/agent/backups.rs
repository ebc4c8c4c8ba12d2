//! Scheduled backups: each store is saved by the agent of the site that owns it, as often as the plan file says, also
//! while nothing else of Mainstay runs.
//! Must not know how a store is saved.

use std::{sync::Arc, time::Duration};

use mainstay_model::{Access, Backup, ComponentId, Scope, Span, Store, Subject, Timestamp};
use tokio::{task::JoinHandle, time::MissedTickBehavior};

use super::{
    site::Site,
    work::{Works, backup_of},
};
use crate::{clock, wire::BackupReport};

/// A backup that failed is tried again after a tenth of its interval, between these.
const SOONEST: Span = Span::from_secs(2);
const LATEST: Span = Span::from_secs(300);

/// Starts one task for each schedule of each store that has a place at this site.
pub(super) fn start(site: &Arc<Site>, works: &Arc<Works>) -> Vec<JoinHandle<()>> {
    let stores = site.plan.stores.values();
    let here = stores.filter(|store| store.declared.at.contains_key(&site.name));
    let schedules = here.flat_map(|store| store.backup.iter().map(move |backup| (store, backup)));
    schedules
        .map(|(store, backup)| {
            let (site, works) = (Arc::clone(site), Arc::clone(works));
            let (store, backup) = (store.clone(), backup.clone());
            tokio::spawn(async move { run(&site, &works, &store, &backup).await })
        })
        .collect()
}

async fn run(site: &Site, works: &Arc<Works>, store: &Store, backup: &Backup) {
    let name = &store.declared.name;
    let look =
        (backup.every.duration() / 10).clamp(Duration::from_millis(200), Duration::from_secs(10));
    let mut ticks = tokio::time::interval(look);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Ok(report) = site.ledger.backup(name, &backup.to) else {
            continue;
        };
        if due(&report, backup.every) > clock::now() || !owns(site, store).await {
            continue;
        }
        let Some(action) = backup_of(site, name, &backup.to) else {
            return;
        };
        if let Ok(begun) = works.start(action) {
            works.ended(&begun.id).await;
        }
    }
}

/// When the next one is due. A time in the future is no time: a clock that was set back delays nothing.
pub(super) fn due(report: &BackupReport, every: Span) -> Timestamp {
    let now = clock::now();
    let past = |time: Option<Timestamp>| time.filter(|time| *time <= now);
    let next = past(report.last_ok).map_or(Timestamp(0), |last| last + every);
    if report.last_error.is_none() {
        return next;
    }
    let pause = Span(every.0 / 10).clamp(SOONEST, LATEST);
    past(report.last_tried).map_or(next, |tried| next.max(tried + pause))
}

/// Whether this site has the store: it is open here under this site's mark, or has no mark and was declared here.
async fn owns(site: &Site, store: &Store) -> bool {
    let name: &ComponentId = &store.declared.name;
    if !matches!(site.ledger.held(), Ok(held) if !held.contains_key(name)) {
        return false;
    }
    let scope = Scope {
        driver: store.declared.kind.clone(),
        subject: Subject::Component(name.clone()),
        site: site.name.clone(),
        from: site.name.clone(),
    };
    let seen = site.observe(&scope).await;
    let Some(facts) = seen.facts().and_then(|facts| facts.store.as_ref()) else {
        return false;
    };
    let declared = || {
        let weights = site.plan.placement.get(name);
        weights.is_some_and(|weights| weights.get(&site.name).is_some_and(|weight| *weight > 0))
    };
    let ours = match &facts.mark {
        Some(mark) => mark.owner == site.name,
        None => declared(),
    };
    ours && facts.access == Access::Open
}
