//! What an order means for an agent's journal: the token it carries, what it needs, what follows once it is done.
//! Must not know how an order is carried out.

use mainstay_driver::Order;
use mainstay_model::{Action, ComponentId, Epoch, Op, PlanFile};
use rusqlite::Connection;

use super::ledger;

/// The store and the epoch that an order is fenced by: the epoch its operation names, else the token beside it.
/// The way back from a promote demotes at a newer epoch than the promote's own token.
pub(super) fn token(order: &Order) -> Option<(ComponentId, Epoch)> {
    let named = match &order.action.op {
        Op::Seal(epoch)
        | Op::Unseal(epoch)
        | Op::Fence(epoch)
        | Op::Promote(epoch)
        | Op::Demote(epoch) => Some(*epoch),
        _ => None,
    };
    match (order.action.subject.component(), named, &order.fence) {
        (Some(store), Some(epoch), _) => Some((store.clone(), epoch)),
        (_, _, Some(fence)) => Some((fence.store.clone(), fence.epoch)),
        _ => None,
    }
}

/// The stores that must not be held back for this order to start.
pub(super) fn needs(plan: &PlanFile, action: &Action) -> Vec<ComponentId> {
    let Some(name) = action.subject.component() else {
        return Vec::new();
    };
    match &action.op {
        Op::Start | Op::Release | Op::Rebind => {
            plan.workloads.get(name).map_or_else(Vec::new, |workload| {
                workload
                    .uses
                    .iter()
                    .map(|used| used.store.clone())
                    .collect()
            })
        }
        Op::CatchUp { .. } => vec![name.clone()],
        _ => Vec::new(),
    }
}

/// What is remembered before an order starts: what is being stopped is no longer expected to run, a store that is
/// being closed is no longer this site's.
pub(super) fn before(action: &Action, c: &Connection) -> rusqlite::Result<()> {
    let Some(name) = action.subject.component() else {
        return Ok(());
    };
    match &action.op {
        Op::Stop => unsupervise(name, c),
        Op::Seal(_) | Op::Fence(_) | Op::Demote(_) | Op::Rebuild { .. } => forget("owned", name, c),
        _ => Ok(()),
    }
}

/// What follows once an order is done.
pub(super) fn done(order: &Order, c: &Connection) -> rusqlite::Result<()> {
    let Some(name) = order.action.subject.component() else {
        return Ok(());
    };
    match &order.action.op {
        Op::Start => {
            c.prepare_cached("INSERT OR IGNORE INTO supervised (component) VALUES (?1)")?
                .execute([name.as_str()])?;
            release_site(c)
        }
        Op::Promote(epoch) | Op::Unseal(epoch) => {
            ledger::raise(c, "owned", name, *epoch)?;
            release(name, c)
        }
        // A rebuild carries the owner's epoch, so it cannot be one from before the fence.
        Op::Rebuild { .. } => release(name, c),
        _ => Ok(()),
    }
}

/// The workload is not expected to run any more.
pub(super) fn unsupervise(name: &ComponentId, c: &Connection) -> rusqlite::Result<()> {
    c.prepare_cached("DELETE FROM supervised WHERE component = ?1")?
        .execute([name.as_str()])
        .map(|_| ())
}

fn forget(table: &str, name: &ComponentId, c: &Connection) -> rusqlite::Result<()> {
    c.prepare_cached(&format!("DELETE FROM {table} WHERE store = ?1"))?
        .execute([name.as_str()])
        .map(|_| ())
}

/// An order of a run with the current epoch cured the store.
fn release(name: &ComponentId, c: &Connection) -> rusqlite::Result<()> {
    forget("held", name, c)?;
    release_site(c)
}

/// The site is quarantined as long as one of its stores is held back.
fn release_site(c: &Connection) -> rusqlite::Result<()> {
    c.prepare_cached(
        "DELETE FROM held WHERE store = '' AND NOT EXISTS (SELECT 1 FROM held WHERE store <> '')",
    )?
    .execute([])
    .map(|_| ())
}
