//! Clocks that are wrong: each site's runs at its own rate and from its own offset.
//! Must not know who reads it.

use mainstay_engine::lease::Mono;
use mainstay_model::Timestamp;

use crate::dice::Dice;

/// True time: microseconds since the world began.
pub(crate) type Time = u64;

pub(crate) const MS: Time = 1_000;
pub(crate) const SECOND: Time = 1_000_000;

/// The world begins at this moment of wall time.
const BEGIN: i64 = 1_800_000_000_000_000;

/// One machine's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// Parts in a million that it runs too fast.
    rate: i64,
    /// Microseconds that its wall clock is ahead.
    offset: i64,
}

impl Clock {
    /// A clock within the drift that leases allow for.
    pub(crate) fn random(dice: &mut Dice) -> Self {
        let within = |dice: &mut Dice, most: u64| {
            let number = i64::try_from(dice.between(0, 2 * most)).unwrap_or(0);
            number - i64::try_from(most).unwrap_or(0)
        };
        let rate = if dice.chance(300) {
            within(dice, 9_500)
        } else {
            within(dice, 100)
        };
        let offset = if dice.chance(300) {
            within(dice, 8 * SECOND)
        } else {
            within(dice, 20 * MS)
        };
        Self { rate, offset }
    }

    /// A clock that is right by definition: the mover's.
    pub(crate) fn exact() -> Self {
        Self { rate: 0, offset: 0 }
    }

    fn elapsed(self, now: Time) -> i64 {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        now + now / 1_000 * self.rate / 1_000
    }

    /// What it shows.
    pub(crate) fn wall(self, now: Time) -> Timestamp {
        Timestamp(BEGIN + self.elapsed(now) + self.offset)
    }

    /// Its monotonic time.
    pub(crate) fn mono(self, now: Time) -> Mono {
        Mono(u64::try_from(self.elapsed(now)).unwrap_or(0))
    }
}

/// True time of a moment by the exact clock.
pub(crate) fn exact(at: Timestamp) -> Time {
    u64::try_from(at.0.saturating_sub(BEGIN)).unwrap_or(0)
}
