//! The clocks of the demo's parts: wall time for lists that are compared between processes, and a
//! monotonic clock for leases.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Microseconds since the Unix epoch, by this machine's wall clock.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// A moment of the clock that never jumps and keeps counting while the machine sleeps.
///
/// `std::time::Instant` stops during a suspend, and a lease measured with it would look unexpired
/// after the grantor has long waited it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BootInstant(Duration);

impl BootInstant {
    /// Now.
    pub(crate) fn now() -> Self {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        Self(Duration::new(seconds, nanos))
    }

    /// This moment, `by` later.
    pub(crate) fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }
}
