//! The wall clock, in the model's units. The pure crates are given what this returns.
//! Must not know what a time is for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mainstay_model::Timestamp;

/// The time now, by this machine's clock.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// How long to wait from now until `at`; nothing if that has passed.
#[must_use]
pub fn until(at: Timestamp) -> Duration {
    at.since(now()).duration()
}
