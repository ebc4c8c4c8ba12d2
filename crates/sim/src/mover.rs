//! Whoever moves something: plans, runs, resumes, and what it remembers between runs.
//! Must not know the truth, except what agents tell it.

mod disk;
mod host;
mod people;
mod plan;
mod recover;
mod registry;

use std::collections::{BTreeMap, BTreeSet};

use mainstay_engine::{Effect, Run, Seq};
use mainstay_model::{Direction, EffectId, Epoch, Pinned, Sample, Scope, StepId, Timestamp};

use self::disk::Disk;
pub(crate) use self::{plan::Begun, registry::Registry};
use crate::clock::Time;

/// A look that is under way.
#[derive(Debug, Clone)]
struct Looking {
    effect: Effect,
    scopes: Vec<(Scope, Option<Sample>)>,
}

/// A run that nobody executes at the moment.
#[derive(Debug, Clone)]
pub(crate) struct Parked {
    runbook: Pinned,
    disk: Disk,
    memory: Memory,
}

/// What the checks remember of a run beyond its executors' lives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    /// The greatest attempt of each step that was ever handed out.
    pub(crate) handed: BTreeMap<(StepId, Direction), u32>,
    /// Steps whose last outcome was unknown and was not looked at since.
    pub(crate) unknown: BTreeSet<(StepId, Direction)>,
    /// When a person was asked for an approval that was good until then.
    pub(crate) approved_until: Option<Timestamp>,
    /// How often people tried to help.
    pub(crate) helped: u32,
}

/// A run with its executor.
pub(crate) struct Active {
    pub(crate) life: u64,
    pub(crate) run: Run,
    /// As it was stored beside the journal.
    pinned: Pinned,
    disk: Disk,
    looks: BTreeMap<u64, Looking>,
    next_look: u64,
    /// Acts and polls that wait for an answer, with a token each.
    waiting: BTreeMap<EffectId, u64>,
    wake: Option<Time>,
    syncing: bool,
    /// The entry that recorded each intent, and when.
    intents: BTreeMap<(StepId, Direction, u32), (Seq, Timestamp)>,
    pub(crate) memory: Memory,
    person_called: bool,
}

/// The mover.
#[derive(Default)]
pub(crate) struct Mover {
    pub(crate) active: Option<Active>,
    pub(crate) parked: Vec<Parked>,
    /// The last executor's number; every new one takes a greater.
    executors: u64,
    lives: u64,
    runs: u64,
    tokens: u64,
    /// Entries written to journals, over the whole seed.
    pub(crate) entries: u64,
    /// Whether its one death is behind it.
    pub(crate) died: bool,
    /// It dies when it writes that entry, unless its time has come before.
    pub(crate) dies_at: Option<u64>,
    /// How often it died.
    pub(crate) deaths: u64,
    /// Dead until it comes back.
    pub(crate) down: bool,
    /// How runs ended.
    pub(crate) ends: Vec<mainstay_engine::RunPhase>,
    /// Orders of old plans that are still on their way somewhere.
    pub(crate) old_orders: Vec<(usize, mainstay_driver::Order)>,
    by_hand: u64,
}

/// The epoch before any.
const NONE: Epoch = Epoch(0);
