//! Slots of time, in UTC. Must not know what is in them.

use jiff::{civil::Date, tz::TimeZone};
use mainstay_model::{Span, Timestamp};

const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// A way to cut time into slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calendar {
    /// As long as the schedule's interval.
    Schedule(Span),
    Hour,
    Day,
    /// From Monday (ISO 8601).
    Week,
    Month,
    Year,
}

impl Calendar {
    /// The number of the slot that holds a time; later slots have greater numbers.
    pub(super) fn slot(self, at: Timestamp) -> i64 {
        match self {
            Self::Schedule(every) => {
                let length = i64::try_from(every.0).unwrap_or(i64::MAX).max(1);
                at.0.div_euclid(length)
            }
            Self::Hour => at.0.div_euclid(MICROS_PER_HOUR),
            Self::Day => at.0.div_euclid(24 * MICROS_PER_HOUR),
            // Day 0 was a Thursday: three days earlier is a Monday.
            Self::Week => (at.0.div_euclid(24 * MICROS_PER_HOUR) + 3).div_euclid(7),
            Self::Month => {
                let date = date(at);
                i64::from(date.year()) * 12 + i64::from(date.month())
            }
            Self::Year => i64::from(date(at).year()),
        }
    }
}

/// The day in UTC. What no calendar can hold (before the year -9999) is the first or the last day that it can.
fn date(at: Timestamp) -> Date {
    let instant = jiff::Timestamp::from_microsecond(at.0).unwrap_or(if at.0 < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    });
    TimeZone::UTC.to_datetime(instant).date()
}
