//! Monotonic time, and how far two clocks may run apart while a lease lasts.
//! Must not know the wall clock: it jumps.

use mainstay_model::Span;
use serde::{Deserialize, Serialize};

/// A point in one process's monotonic time, in microseconds. Means nothing in another process or after a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mono(pub u64);

impl std::ops::Add<Span> for Mono {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl std::ops::Sub<Span> for Mono {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Mono {
    /// The time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// How far two clocks may run apart, and how late a process may notice the time. Both sides of a lease take it off or
/// add it on, so twice this much lies between the last write and the earliest promote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// Difference in rate, in thousandths. Quartz is a thousand times better; a machine under stress is not.
    pub per_mille: u32,
    /// Never less than this: a write that was checked just before the end is still being carried out.
    pub least: Span,
}

impl Default for Drift {
    fn default() -> Self {
        Self {
            per_mille: 10,
            least: Span::from_millis(50),
        }
    }
}

impl Drift {
    /// The margin for a lease of this length.
    #[must_use]
    pub fn margin(self, length: Span) -> Span {
        let rate = u128::from(length.0) * u128::from(self.per_mille) / 1_000;
        Span(u64::try_from(rate).unwrap_or(u64::MAX)).saturating_add(self.least)
    }
}
