//! What a run changes in the state beside its journal: who owns what, at which epoch, how protected, how long it took.
//! Must not know why.

use mainstay_model::{ComponentId, Epoch, Phase, Runbook, SiteId, Span, Weights};
use rusqlite::{Connection, params};

use super::rows::number;
use crate::clock;

/// How long a step took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// The step's phase.
    pub phase: Phase,
    /// What it was about.
    pub component: ComponentId,
    /// At which site.
    pub site: SiteId,
    /// How long.
    pub took: Span,
}

/// One change of the state. Made in the transaction of the entry that caused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A store takes writes at this site, at this epoch.
    Opened {
        /// The store.
        store: ComponentId,
        /// The site that owns it now.
        site: SiteId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// A component is active there now.
    Placed {
        /// The component.
        component: ComponentId,
        /// Where, by weight.
        weights: Weights,
    },
    /// A store has a verified copy.
    Protected(ComponentId),
    /// A store has none until one was verified.
    Unprotected(ComponentId),
    /// A site was fenced and is not used until it is reprotected.
    Quarantined(SiteId),
    /// A site may be used again.
    InService(SiteId),
    /// A step took so long.
    Spent(Spent),
}

/// Keeps that many durations of each step.
const KEPT: i64 = 20;

/// Epochs that a run was given are never given to another one.
pub(super) fn grant(c: &Connection, runbook: &Runbook) -> rusqlite::Result<()> {
    for (store, epochs) in &runbook.epochs {
        let greatest = epochs.to.max(epochs.retreat).max(epochs.from);
        c.prepare_cached(
            "INSERT INTO epochs (component, epoch, granted) VALUES (?1, ?2, ?3)
             ON CONFLICT (component) DO UPDATE SET granted = max(granted, excluded.granted)",
        )?
        .execute(params![
            store.as_str(),
            number(epochs.from.0),
            number(greatest.0)
        ])?;
    }
    Ok(())
}

pub(super) fn apply(c: &Connection, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Opened { store, site, epoch } => {
            opened(c, store, *epoch)?;
            placed(c, store, &Weights::from([(site.clone(), 100)]))
        }
        Change::Placed { component, weights } => placed(c, component, weights),
        Change::Protected(store) => protection(c, store, 1),
        Change::Unprotected(store) => protection(c, store, 0),
        Change::Quarantined(site) => c
            .prepare_cached(
                "INSERT INTO quarantine (site, since) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            )?
            .execute(params![site.as_str(), clock::now().0])
            .map(|_| ()),
        Change::InService(site) => c
            .prepare_cached("DELETE FROM quarantine WHERE site = ?1")?
            .execute([site.as_str()])
            .map(|_| ()),
        Change::Spent(spent) => self::spent(c, spent),
    }
}

fn opened(c: &Connection, store: &ComponentId, epoch: Epoch) -> rusqlite::Result<()> {
    c.prepare_cached(
        "INSERT INTO epochs (component, epoch, granted) VALUES (?1, ?2, ?2)
         ON CONFLICT (component) DO UPDATE SET
            epoch = max(epoch, excluded.epoch), granted = max(granted, excluded.granted)",
    )?
    .execute(params![store.as_str(), number(epoch.0)])
    .map(|_| ())
}

fn placed(c: &Connection, component: &ComponentId, weights: &Weights) -> rusqlite::Result<()> {
    let body = serde_json::to_vec(weights).unwrap_or_default();
    c.prepare_cached("INSERT OR REPLACE INTO placement (component, weights) VALUES (?1, ?2)")?
        .execute(params![component.as_str(), body])
        .map(|_| ())
}

fn protection(c: &Connection, store: &ComponentId, protected: i64) -> rusqlite::Result<()> {
    c.prepare_cached("INSERT OR REPLACE INTO protection (store, protected) VALUES (?1, ?2)")?
        .execute(params![store.as_str(), protected])
        .map(|_| ())
}

fn spent(c: &Connection, spent: &Spent) -> rusqlite::Result<()> {
    let (phase, component) = (spent.phase.word(), spent.component.as_str());
    let site = spent.site.as_str();
    c.prepare_cached(
        "INSERT INTO durations (phase, component, site, micros, at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        phase,
        component,
        site,
        number(spent.took.0),
        clock::now().0
    ])?;
    c.prepare_cached(
        "DELETE FROM durations WHERE phase = ?1 AND component = ?2 AND site = ?3 AND seq NOT IN (
            SELECT seq FROM durations WHERE phase = ?1 AND component = ?2 AND site = ?3
            ORDER BY seq DESC LIMIT ?4)",
    )?
    .execute(params![phase, component, site, KEPT])
    .map(|_| ())
}
