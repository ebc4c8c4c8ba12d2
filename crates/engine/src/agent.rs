//! An agent's rules: which order may be started, what must be remembered before it starts and after it is done, when
//! a site has been lost or left behind.
//! Must not know where an agent keeps its journal, nor how an order is carried out.

use mainstay_model::{
    Access, Action, ComponentId, Direction, EffectId, Epoch, ExecutorEpoch, Fence, Op, PlanFile,
    SiteId, StoreFacts,
};

use crate::bugs::{Bug, Bugs};

/// An order, as far as the rules look at it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The effect.
    pub id: &'a EffectId,
    /// What is to be done.
    pub action: &'a Action,
    /// The token beside it.
    pub fence: Option<&'a Fence>,
}

/// What the agent's journal says, as far as it matters to one order. `R` is what is recorded of an effect, `H` why a
/// store is held back.
#[derive(Debug, Clone)]
pub struct Known<R, H> {
    /// The effect itself, if it was seen before.
    pub recorded: Option<R>,
    /// The latest other order about the same step of the same run that was seen.
    pub latest: Option<(Direction, u32)>,
    /// The newest executor that was heard of.
    pub executor: ExecutorEpoch,
    /// The floor of the store that the order's token names ([`token`]).
    pub floor: Epoch,
    /// The first store that the order needs ([`needs`]) and that is held back.
    pub held: Option<(ComponentId, H)>,
}

/// Whether an order may be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission<R, H> {
    /// It may, once these changes and its intent are durable.
    New(Vec<Change>),
    /// It was seen before (I14).
    Known(R),
    /// A newer executor was here (I20).
    Superseded(ExecutorEpoch),
    /// A later attempt at the step, or its undoing, was ordered meanwhile: this one is late.
    Overtaken(Direction, u32),
    /// The store is at a newer epoch (I3).
    Stale(Epoch),
    /// A store it needs is held back.
    Held(ComponentId, H),
}

/// Something that an agent remembers. Floors, owned epochs and executors only ever grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Orders below this epoch of the store are stale.
    Floor(ComponentId, Epoch),
    /// Older executors are refused.
    Executor(ExecutorEpoch),
    /// The workload is expected to run here.
    Supervised(ComponentId),
    /// It is not expected to run here any more.
    Unsupervised(ComponentId),
    /// This site opened the store at this epoch.
    Owned(ComponentId, Epoch),
    /// The store is not this site's any more.
    Disowned(ComponentId),
    /// The store is no longer held back.
    Freed(ComponentId),
    /// The site is no longer quarantined, if none of its stores is held back.
    FreedSite,
}

/// The store and the epoch that an order is fenced by: the epoch its operation names, else the token beside it.
/// The way back from a promote demotes at a newer epoch than the promote's own token.
#[must_use]
pub fn token(asked: &Asked<'_>) -> Option<(ComponentId, Epoch)> {
    let named = match &asked.action.op {
        Op::Seal(epoch)
        | Op::Unseal(epoch)
        | Op::Fence(epoch)
        | Op::Promote(epoch)
        | Op::Demote(epoch) => Some(*epoch),
        _ => None,
    };
    match (asked.action.subject.component(), named, asked.fence) {
        (Some(store), Some(epoch), _) => Some((store.clone(), epoch)),
        (_, _, Some(fence)) => Some((fence.store.clone(), fence.epoch)),
        _ => None,
    }
}

/// The stores that must not be held back for this order to start.
#[must_use]
pub fn needs(plan: &PlanFile, action: &Action) -> Vec<ComponentId> {
    let Some(name) = action.subject.component() else {
        return Vec::new();
    };
    match &action.op {
        Op::Start | Op::Release | Op::Rebind => {
            plan.workloads.get(name).map_or_else(Vec::new, |workload| {
                let uses = workload.uses.iter();
                uses.map(|used| used.store.clone()).collect()
            })
        }
        Op::CatchUp { .. } => vec![name.clone()],
        _ => Vec::new(),
    }
}

/// Whether an order may be started, and what has to be durable first.
#[must_use]
pub fn admit<R, H>(asked: &Asked<'_>, known: Known<R, H>, bugs: Bugs) -> Admission<R, H> {
    if let Some(recorded) = known.recorded
        && !bugs.has(Bug::AgentForgetsEffect)
    {
        return Admission::Known(recorded);
    }
    if asked.id.executor < known.executor && !bugs.has(Bug::AgentObeysOldExecutor) {
        return Admission::Superseded(known.executor);
    }
    if let Some((direction, attempt)) = known.latest
        && age(direction, attempt) > age(asked.id.direction, asked.id.attempt)
    {
        return Admission::Overtaken(direction, attempt);
    }
    let token = token(asked);
    if let Some((_, epoch)) = &token
        && *epoch < known.floor
        && !bugs.has(Bug::AgentIgnoresFloor)
    {
        return Admission::Stale(known.floor);
    }
    if let Some((store, why)) = known.held
        && !bugs.has(Bug::AgentIgnoresQuarantine)
    {
        return Admission::Held(store, why);
    }
    // Raised before anything is done: what comes later with an older epoch is void.
    let mut changes: Vec<Change> = token
        .map(|(store, epoch)| Change::Floor(store, epoch))
        .into_iter()
        .collect();
    if !bugs.has(Bug::AgentForgetsExecutor) {
        changes.push(Change::Executor(asked.id.executor));
    }
    changes.extend(before(asked.action));
    Admission::New(changes)
}

/// Orders about one step by the time at which they were given: what was undone is not done again.
#[must_use]
pub fn age(direction: Direction, attempt: u32) -> (bool, u32) {
    (direction == Direction::Undo, attempt)
}

/// What is being stopped is no longer expected to run, a store that is being closed is no longer this site's.
fn before(action: &Action) -> Option<Change> {
    let name = action.subject.component()?;
    match &action.op {
        Op::Stop => Some(Change::Unsupervised(name.clone())),
        Op::Seal(_) | Op::Fence(_) | Op::Demote(_) | Op::Rebuild { .. } => {
            Some(Change::Disowned(name.clone()))
        }
        _ => None,
    }
}

/// What follows once an order is done. Only an order of a run with a current epoch cures a store.
#[must_use]
pub fn done(action: &Action) -> Vec<Change> {
    let Some(name) = action.subject.component() else {
        return Vec::new();
    };
    match &action.op {
        Op::Start => vec![Change::Supervised(name.clone()), Change::FreedSite],
        Op::Promote(epoch) | Op::Unseal(epoch) => vec![
            Change::Owned(name.clone(), *epoch),
            Change::Freed(name.clone()),
            Change::FreedSite,
        ],
        // A rebuild carries the owner's epoch, so it cannot be one from before the fence.
        Op::Rebuild { .. } => vec![Change::Freed(name.clone()), Change::FreedSite],
        _ => Vec::new(),
    }
}

/// Whether the site was lost while its agent was away: something was expected to run, and all of it is seen to be
/// dead. What cannot be seen counts as running.
#[must_use]
pub fn was_lost(running: &[Option<bool>]) -> bool {
    !running.is_empty() && running.iter().all(|runs| *runs == Some(false))
}

/// Whether this site still believes to own a store that is at a newer epoch elsewhere. `owned` is the epoch at which
/// it opened the store; stores that were open before the agent ever had an order are known by their marks.
#[must_use]
pub fn left_behind(
    site: &SiteId,
    owned: Option<Epoch>,
    seen: Option<&StoreFacts>,
    floor: Epoch,
) -> bool {
    if let Some(epoch) = owned {
        return epoch < floor;
    }
    seen.is_some_and(|seen| {
        let open = matches!(seen.access, Access::Open | Access::Stopped);
        let mark = seen.mark.as_ref();
        open && mark.is_some_and(|mark| mark.owner == *site && mark.epoch < floor)
    })
}
