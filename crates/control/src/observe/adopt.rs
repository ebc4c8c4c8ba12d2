//! Takes a system into Mainstay's care, or learns that it moved without Mainstay: the stores' own marks decide.
//! Must not know moves.

use std::time::Duration;

use mainstay_driver::{ActError, Driver, Order, Progress};
use mainstay_model::{
    Access, Action, ComponentId, Declared, Direction, EffectId, Epoch, Mark, Op, SiteId, StepId,
    Store, StoreFacts, Subject, Weights,
};

use super::gather::{Gathered, owner};
use crate::{
    desk::Desk,
    lock::MoverLock,
    state::{Change, StateError},
};

/// How long opening a store for the first time may take.
const OPEN: Duration = Duration::from_secs(60);

/// A store that was adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The store.
    pub store: ComponentId,
    /// The site that owns it.
    pub owner: SiteId,
    /// Its epoch.
    pub epoch: Epoch,
    /// What it was decided by, in words.
    pub evidence: String,
}

/// Why a store could not be adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// No such store.
    #[error("there is no store {0} in the plan file")]
    NoStore(ComponentId),
    /// It takes writes at two places.
    #[error("{store} takes writes at {first} and at {second}: stop one of them first")]
    TwoOwners {
        /// The store.
        store: ComponentId,
        /// One site.
        first: SiteId,
        /// Another one.
        second: SiteId,
    },
    /// Nothing of it was seen where it should be.
    #[error("{store} cannot be seen at {site}: {why}")]
    NotSeen {
        /// The store.
        store: ComponentId,
        /// The site.
        site: SiteId,
        /// Why.
        why: String,
    },
    /// It could not be given its first epoch.
    #[error("failed to open {store} at {site}: {source}")]
    NotOpened {
        /// The store.
        store: ComponentId,
        /// The site.
        site: SiteId,
        /// Why.
        source: ActError,
    },
    /// A workload that belongs there could not be started.
    #[error("failed to start {workload} at {site}: {why}")]
    NotStarted {
        /// The workload.
        workload: ComponentId,
        /// The site.
        site: SiteId,
        /// Why.
        why: String,
    },
    /// The state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

impl AdoptError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoStore(_) => "unknown-component",
            Self::TwoOwners { .. } => "two-owners",
            Self::NotSeen { .. } => "store-not-seen",
            Self::NotOpened { .. } => "not-opened",
            Self::NotStarted { .. } => "not-started",
            Self::State(error) => error.code(),
        }
    }
}

/// Adopts these stores, or all of them: whoever has the newest mark owns a store. One without any mark is given its
/// first epoch at the site where the plan file places it. Needs the right to move.
pub async fn adopt(
    desk: &Desk,
    lock: &MoverLock,
    gathered: &Gathered,
    only: &[ComponentId],
) -> Result<Vec<Adopted>, AdoptError> {
    if let Some(unknown) = only
        .iter()
        .find(|name| !desk.plan.stores.contains_key(*name))
    {
        return Err(AdoptError::NoStore(unknown.clone()));
    }
    let mut adopted = Vec::new();
    let stores = desk.plan.stores.iter();
    for (step, (name, store)) in stores.enumerate() {
        if only.is_empty() || only.contains(name) {
            let step = StepId(u32::try_from(step).unwrap_or(u32::MAX));
            adopted.push(one(desk, lock, gathered, store, step).await?);
        }
    }
    let mut changes = Vec::new();
    for found in &adopted {
        changes.push(Change::Opened {
            store: found.store.clone(),
            site: found.owner.clone(),
            epoch: found.epoch,
        });
        if is_held(gathered, &found.store, &found.owner) {
            changes.push(Change::InService(found.owner.clone()));
        }
    }
    if gathered.known.is_empty() {
        let workloads = desk.plan.workloads.keys();
        changes.extend(workloads.filter_map(|name| {
            let weights: Weights = desk.plan.placement.get(name)?.clone();
            let component = name.clone();
            Some(Change::Placed { component, weights })
        }));
    }
    desk.state.change(changes).await?;
    Ok(adopted)
}

async fn one(
    desk: &Desk,
    lock: &MoverLock,
    gathered: &Gathered,
    store: &Store,
    step: StepId,
) -> Result<Adopted, AdoptError> {
    let name = &store.declared.name;
    let seen = facts(gathered, name);
    let mut open = seen
        .iter()
        .filter(|(_, facts)| facts.access == Access::Open);
    if let (Some((first, _)), Some((second, _))) = (open.next(), open.next()) {
        return Err(AdoptError::TwoOwners {
            store: name.clone(),
            first: (*first).clone(),
            second: (*second).clone(),
        });
    }
    let marks = seen.iter().filter_map(|(_, facts)| facts.mark.as_ref());
    if let Some(mark) = marks.max_by_key(|mark| mark.epoch) {
        if is_held(gathered, name, &mark.owner) {
            return reopen(desk, lock, gathered, store, mark, step).await;
        }
        return Ok(by_mark(name, mark));
    }
    let site = owner(&desk.plan, &gathered.known, name).unwrap_or_else(|| first_site(store));
    let found = seen.iter().find(|(at, _)| **at == site);
    let Some((_, facts)) = found else {
        return Err(AdoptError::NotSeen {
            store: name.clone(),
            site,
            why: "its agent does not answer, or does not see the store".to_owned(),
        });
    };
    let epoch = gathered
        .observed
        .stores
        .get(name)
        .map(|now| now.granted)
        .unwrap_or_default()
        .next();
    open_first(desk, lock, store, &site, facts, (step, epoch)).await?;
    Ok(Adopted {
        store: name.clone(),
        owner: site,
        epoch,
        evidence: "it had no mark anywhere and was given its first epoch".to_owned(),
    })
}

/// Whether the owner's own agent holds the store back.
fn is_held(gathered: &Gathered, name: &ComponentId, owner: &SiteId) -> bool {
    let status = gathered.agents.get(owner);
    status.is_some_and(|status| status.as_ref().is_ok_and(|it| it.held.contains_key(name)))
}

/// The owner went down and came back, and nobody took its place meanwhile: it goes on at an epoch that nobody ever
/// had. Only if every site of the store was seen; else one that is silent might own it by now.
async fn reopen(
    desk: &Desk,
    lock: &MoverLock,
    gathered: &Gathered,
    store: &Store,
    mark: &Mark,
    step: StepId,
) -> Result<Adopted, AdoptError> {
    let name = &store.declared.name;
    let seen = facts(gathered, name);
    let mut sites = store.declared.at.keys();
    if let Some(silent) = sites.find(|site| !seen.iter().any(|(at, _)| at == site)) {
        return Err(AdoptError::NotSeen {
            store: name.clone(),
            site: silent.clone(),
            why: "it may own the store by now".to_owned(),
        });
    }
    let statuses = gathered.agents.values().flatten();
    let floors = statuses.filter_map(|status| status.floors.get(name).copied());
    let granted = gathered.observed.stores.get(name).map(|now| now.granted);
    let epoch = floors.chain(granted).fold(mark.epoch, Epoch::max).next();
    let owner = seen.iter().find(|(at, _)| **at == mark.owner);
    if let Some((_, facts)) = owner {
        open_first(desk, lock, store, &mark.owner, facts, (step, epoch)).await?;
    }
    Ok(Adopted {
        store: name.clone(),
        owner: mark.owner.clone(),
        epoch,
        evidence: format!(
            "{} came back, nobody else had taken the store, and it goes on at a new epoch",
            mark.owner
        ),
    })
}

fn by_mark(name: &ComponentId, mark: &Mark) -> Adopted {
    Adopted {
        store: name.clone(),
        owner: mark.owner.clone(),
        epoch: mark.epoch,
        evidence: format!(
            "its newest mark says epoch {} of {}",
            mark.epoch, mark.owner
        ),
    }
}

fn first_site(store: &Store) -> SiteId {
    let mut sites = store.declared.at.keys();
    match sites.next() {
        Some(site) => site.clone(),
        None => unreachable!("a checked plan file declares every store somewhere"),
    }
}

fn facts<'a>(gathered: &'a Gathered, name: &ComponentId) -> Vec<(&'a SiteId, &'a StoreFacts)> {
    let now = gathered.observed.stores.get(name);
    let seen = now.into_iter().flat_map(|now| &now.at);
    seen.filter_map(|(site, sample)| Some((site, sample.facts()?.store.as_ref()?)))
        .collect()
}

/// Opens a store at a new epoch, through the agent, so that it knows what it owns.
async fn open_first(
    desk: &Desk,
    lock: &MoverLock,
    store: &Store,
    site: &SiteId,
    facts: &StoreFacts,
    (step, epoch): (StepId, Epoch),
) -> Result<(), AdoptError> {
    let name = &store.declared.name;
    let op = match facts.access {
        Access::Replica => Op::Promote(epoch),
        _ => Op::Unseal(epoch),
    };
    let id = effect(desk, lock, step)?;
    let order = order(id, &store.declared, site, op);
    obey(desk, lock, order).await.map_err(|why| match why {
        Disobeyed::Failed(source) => AdoptError::NotOpened {
            store: name.clone(),
            site: site.clone(),
            source,
        },
        Disobeyed::Silent(why) => AdoptError::NotSeen {
            store: name.clone(),
            site: site.clone(),
            why,
        },
    })
}

/// An effect of no run: adoption has an id of its own.
pub(super) fn effect(desk: &Desk, lock: &MoverLock, step: StepId) -> Result<EffectId, StateError> {
    Ok(EffectId {
        run: desk.state.new_run_id()?,
        step,
        direction: Direction::Forward,
        attempt: 1,
        executor: lock.executor(),
    })
}

pub(super) fn order(id: EffectId, declared: &Declared, site: &SiteId, op: Op) -> Order {
    Order {
        id,
        action: Action {
            driver: declared.kind.clone(),
            subject: Subject::Component(declared.name.clone()),
            site: site.clone(),
            op,
        },
        fence: None,
        inputs: Vec::new(),
    }
}

/// Why an agent did not do what it was ordered to.
pub(super) enum Disobeyed {
    /// It said so.
    Failed(ActError),
    /// It said nothing, or not in time.
    Silent(String),
}

/// Lets the site's agent carry out an order, to its end.
pub(super) async fn obey(desk: &Desk, lock: &MoverLock, order: Order) -> Result<(), Disobeyed> {
    let mut remotes = desk.remotes(Some(lock.executor()));
    let Some(agent) = remotes.remove(&order.action.site) else {
        return Err(Disobeyed::Silent("it has no agent".to_owned()));
    };
    let doing = async {
        let mut progress = agent.act(&order).await;
        while let Ok(Progress::Running {
            handle, again_in, ..
        }) = progress
        {
            tokio::time::sleep(again_in.duration()).await;
            progress = agent.poll(&order, &handle).await;
        }
        progress
    };
    match tokio::time::timeout(OPEN, doing).await {
        Ok(answer) => answer.map(|_| ()).map_err(Disobeyed::Failed),
        Err(_) => Err(Disobeyed::Silent(format!(
            "not over after {} s",
            OPEN.as_secs()
        ))),
    }
}
