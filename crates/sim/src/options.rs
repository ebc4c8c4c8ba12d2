//! How one seed is played.
//! Must not know where the choices come from.

use mainstay_engine::{
    Bugs,
    lease::{Drift, Holder},
};
use mainstay_model::Span;

use crate::{
    bugs::Own,
    clock::{SECOND, Time},
};

/// Which stories a seed tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    not(feature = "planted-bugs"),
    allow(dead_code, reason = "some mixes are for hunting planted bugs")
)]
pub(crate) enum Mix {
    /// Whatever comes up.
    #[default]
    All,
    /// Planned moves.
    Planned,
    /// A workload that serves at several sites.
    Spread,
    /// Losses, returns, the way home.
    Disaster,
    /// What the detector sees and does.
    Detector,
}

/// When the mover dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dies {
    /// Once, at a random moment, like everything else.
    Somewhen,
    /// When it writes that entry of its journals, counted over the whole seed; nothing else goes wrong.
    AtEntry(u64),
    /// Not at all; nothing else goes wrong either.
    Never,
}

/// The options of one seed.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) mix: Mix,
    pub(crate) dies: Dies,
    /// Whether things go wrong by themselves.
    pub(crate) faults: bool,
    pub(crate) trace: bool,
    pub(crate) engine: Bugs,
    pub(crate) planner: mainstay_planner::Bugs,
    pub(crate) own: Option<Own>,
    pub(crate) calm_at: Time,
    /// A run that has not come to rest by then never will (I29).
    pub(crate) longest: Time,
}

impl Options {
    /// An ordinary seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            mix: Mix::All,
            dies: Dies::Somewhen,
            faults: true,
            trace: false,
            engine: Bugs::NONE,
            planner: mainstay_planner::Bugs::default(),
            own: None,
            calm_at: 240 * SECOND,
            longest: 40_000 * SECOND,
        }
    }

    /// A lease's holder.
    pub(crate) fn holder(&self, length: Span) -> Holder {
        Holder::new_with(length, Drift::default(), self.engine)
    }
}
