//! The wall clock, in the model's units.
//! Must not know what a time is for.

use std::time::{SystemTime, UNIX_EPOCH};

use mainstay_model::Timestamp;

/// The time now.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
