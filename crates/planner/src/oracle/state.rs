//! One state of the abstract world: small, ordered, comparable, so that the search meets each only once.
//! Must not know what changes it.

use std::collections::BTreeMap;

use mainstay_model::{ComponentId, Epoch, Weights};

/// Which way the run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Forward,
    Back,
}

/// The world between two events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State<'a> {
    pub(super) way: Way,
    /// Steps whose start was seen.
    pub(super) started: u32,
    /// Steps whose end was seen. While going back: those that are taken back, or have nothing to take back.
    pub(super) ended: u32,
    /// While going back: undos under way.
    pub(super) undoing: u32,
    /// Who may write or work.
    pub(super) live: u64,
    /// Of those: whose cause is over, so that a later shut finds them.
    pub(super) settled: u64,
    /// Whom the shuts under way will have found.
    pub(super) found: BTreeMap<u32, u64>,
    /// Copies under way that started from what a seal had left.
    pub(super) fresh: u32,
    /// Copies that hold all that their seal left.
    pub(super) caught_up: u32,
    /// Steps that looked at a rebuilt copy after the rebuild.
    pub(super) looked: u32,
    /// Routes that were changed: the newest epoch and the weights.
    pub(super) routes: BTreeMap<&'a ComponentId, (Epoch, &'a Weights)>,
}
