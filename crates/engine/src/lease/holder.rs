//! The holder's side of a lease: it stops by itself when the lease ends, minus drift.
//! Must not know whether the grantor lives.

use mainstay_model::Span;

use super::time::{Drift, Mono};
use crate::bugs::{Bug, Bugs};

/// Whether a write may be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayWrite {
    /// Until then; a write that cannot be over by then must not begin.
    Until(Mono),
    /// No lease, or it is over: writes are refused until a new one is granted.
    No,
}

/// What the owner of a store knows of its lease. Starts without one, also after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    length: Span,
    drift: Drift,
    ends: Option<Mono>,
    /// Grants that were asked for before this are not used any more.
    anew: Option<Mono>,
    bugs: Bugs,
}

impl Holder {
    /// Wants leases of this length.
    #[must_use]
    pub fn new(length: Span, drift: Drift) -> Self {
        Self::new_with(length, drift, Bugs::NONE)
    }

    /// The same, with planted bugs.
    #[must_use]
    pub fn new_with(length: Span, drift: Drift, bugs: Bugs) -> Self {
        Self {
            length,
            drift,
            ends: None,
            anew: None,
            bugs,
        }
    }

    /// The grantor granted a lease of this length to a request that was sent at `asked_at`. The lease counts from
    /// then, not from the answer: the grantor cannot have granted earlier.
    pub fn granted(&mut self, asked_at: Mono, length: Span) {
        if self.anew.is_some_and(|anew| asked_at < anew) {
            return;
        }
        let margin = self.drift.margin(length);
        let from = if self.bugs.has(Bug::HolderOverstays) {
            asked_at + length + Span(length.0 / 2)
        } else {
            asked_at + length - margin
        };
        self.ends = self.ends.max(Some(from));
    }

    /// The grantor refused: somebody else has the store, or will have it. Writes stop at once.
    pub fn refused(&mut self) {
        self.ends = None;
    }

    /// The holder stops by its own will. An answer that is still on its way gives it nothing back, so the grantor may be
    /// told that the lease is over.
    pub fn stop(&mut self, now: Mono) {
        (self.ends, self.anew) = (None, Some(now));
    }

    /// Whether a write may be carried out.
    #[must_use]
    pub fn may_write(&self, now: Mono) -> MayWrite {
        match self.ends {
            Some(ends) if now < ends => MayWrite::Until(ends),
            _ => MayWrite::No,
        }
    }

    /// When to ask again: three tries fit into a lease.
    #[must_use]
    pub fn ask_at(&self, asked_at: Mono) -> Mono {
        asked_at + Span(self.length.0 / 4)
    }

    /// The length to ask for.
    #[must_use]
    pub fn length(&self) -> Span {
        self.length
    }
}
