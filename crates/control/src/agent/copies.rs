//! Background copies: keeps the copies at this site fresh, so that recovery points stay young.
//! Must not know how a store is copied.

use std::{sync::Arc, time::Duration};

use mainstay_driver::{ActError, Driver, Order, Progress};
use mainstay_model::{
    Access, Action, ComponentId, Declared, Direction, EffectId, ExecutorEpoch, Op, RunId, Scope,
    SiteId, Span, StepId, Store, StoreFacts, Subject,
};
use tokio::{task::JoinHandle, time::MissedTickBehavior};

use super::site::Site;
use crate::clock;

/// A copy that takes longer is given up, and tried again.
const LIMIT: Span = Span::from_secs(3600);

/// Starts one task for each store that is copied on a schedule and has a place at this site.
pub(super) fn start(site: &Arc<Site>) -> Vec<JoinHandle<()>> {
    let stores = site.plan.stores.values();
    let here = stores.filter(|store| store.declared.at.contains_key(&site.name));
    here.filter_map(|store| {
        let every = store.copy.as_ref()?.every?.duration();
        let (site, store) = (Arc::clone(site), store.clone());
        Some(tokio::spawn(async move { run(&site, &store, every).await }))
    })
    .collect()
}

async fn run(site: &Site, store: &Store, every: Duration) {
    let mut ticks = tokio::time::interval(every.max(Duration::from_millis(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0_u32;
    loop {
        ticks.tick().await;
        count = count.wrapping_add(1);
        once(site, &store.declared, count).await;
    }
}

/// One copy, unless something speaks against it now.
async fn once(site: &Site, declared: &Declared, count: u32) {
    let name = &declared.name;
    let held = site.ledger.held().unwrap_or_default();
    if held.contains_key(name) || site.ledger.owned().is_ok_and(|own| own.contains_key(name)) {
        return;
    }
    let lock = site.lock_of(name);
    // A run that works on the store comes first.
    let Ok(_turn) = lock.try_lock() else {
        return;
    };
    let Some(driver) = site.drivers.get(declared.kind.as_str()).cloned() else {
        return;
    };
    let scope = scope(site, declared);
    let seen = site.observe(&scope).await;
    let facts = seen.facts().and_then(|facts| facts.store.clone());
    let Some(source) = source(site, name, facts.as_ref()) else {
        return;
    };
    let began = clock::now();
    let outcome = copy(driver.as_ref(), &order(declared, site, &source, count)).await;
    let after = site.observe(&scope).await;
    let recovery = after
        .facts()
        .and_then(|facts| facts.store.as_ref())
        .and_then(|store| store.recovery.clone());
    site.report(name, |report| {
        report.source = Some(source);
        match outcome {
            Ok(()) => {
                report.last_ok = Some(began);
                report.recovery = recovery;
                report.last_error = None;
            }
            Err(why) => report.last_error = Some(why),
        }
    });
}

fn scope(site: &Site, declared: &Declared) -> Scope {
    Scope {
        driver: declared.kind.clone(),
        subject: Subject::Component(declared.name.clone()),
        site: site.name.clone(),
        from: site.name.clone(),
    }
}

/// Where to copy from; none if this site is not a copy, or must not become one by itself.
fn source(site: &Site, name: &ComponentId, facts: Option<&StoreFacts>) -> Option<SiteId> {
    let facts = facts?;
    match facts.access {
        Access::Open | Access::Sealed | Access::Stopped => return None,
        Access::Replica | Access::Empty => {}
    }
    let marked = facts.mark.as_ref().map(|mark| mark.owner.clone());
    let declared = || {
        let weights = site.plan.placement.get(name)?;
        let active = weights.iter().filter(|(_, weight)| **weight > 0);
        active.map(|(owner, _)| owner.clone()).next()
    };
    marked.or_else(declared).filter(|owner| *owner != site.name)
}

/// No run stands behind it, so it has an id of its own that no journal keeps.
fn order(declared: &Declared, site: &Site, source: &SiteId, count: u32) -> Order {
    Order {
        id: EffectId {
            run: background(),
            step: StepId(0),
            direction: Direction::Forward,
            attempt: count,
            executor: ExecutorEpoch(0),
        },
        action: Action {
            driver: declared.kind.clone(),
            subject: Subject::Component(declared.name.clone()),
            site: site.name.clone(),
            op: Op::CatchUp {
                from: source.clone(),
            },
        },
        fence: None,
        inputs: Vec::new(),
    }
}

/// The name under which an agent acts by itself.
pub(super) fn background() -> RunId {
    match RunId::new("background") {
        Ok(run) => run,
        Err(_) => unreachable!("a constant name that the rules allow"),
    }
}

async fn copy(driver: &dyn Driver, order: &Order) -> Result<(), String> {
    let whole = async {
        let mut progress = driver.act(order).await;
        while let Ok(Progress::Running {
            handle, again_in, ..
        }) = progress
        {
            tokio::time::sleep(again_in.duration()).await;
            progress = driver.poll(order, &handle).await;
        }
        progress.map(|_| ())
    };
    match tokio::time::timeout(LIMIT.duration(), whole).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(words(&error)),
        Err(_) => Err(format!("not over after {LIMIT}")),
    }
}

fn words(error: &ActError) -> String {
    error.to_string()
}
