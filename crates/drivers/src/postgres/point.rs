//! Up to which moment of the source a standby has everything: never later than is proven.
//! Pure; must not know connections or clocks.

use std::collections::VecDeque;

use mainstay_model::{SiteId, Timestamp};
use serde::{Deserialize, Serialize};

/// How many samples of the source are remembered: at one a second, more than any sensible lag.
const REMEMBERED: usize = 512;

/// A moment, and the source's flushed position that was asked for after it. Every write that was acknowledged
/// before the moment is at or below the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SourceSample {
    pub(super) asked_at: Timestamp,
    pub(super) flushed: u64,
    /// The source's clock when it answered.
    pub(super) source_clock: Timestamp,
}

/// What a standby has proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proven {
    pub(super) source: SiteId,
    pub(super) taken_at: Timestamp,
    pub(super) lsn: u64,
}

/// Follows one standby.
#[derive(Debug, Clone, Default)]
pub(super) struct Tracker {
    samples: VecDeque<SourceSample>,
    /// The source's clock is ahead of ours by at most this many microseconds (it may be negative).
    ahead: Option<i64>,
    proven: Option<Proven>,
    last_flushed: Option<u64>,
}

impl Tracker {
    /// Starts with what was proven before a restart.
    pub(super) fn starting_with(proven: Option<Proven>) -> Self {
        Self {
            proven,
            ..Self::default()
        }
    }

    /// The source was asked.
    pub(super) fn source(&mut self, sample: SourceSample) {
        // It answered after it was asked, so its clock at the moment of asking was not later than the answer.
        let ahead = sample.source_clock.0 - sample.asked_at.0;
        self.ahead = Some(self.ahead.map_or(ahead, |known| known.min(ahead)));
        self.last_flushed = Some(sample.flushed);
        // A position that sank belongs to another history.
        if self
            .samples
            .back()
            .is_some_and(|last| last.flushed > sample.flushed)
        {
            self.samples.clear();
        }
        self.samples.push_back(sample);
        if self.samples.len() > REMEMBERED {
            self.samples.pop_front();
        }
    }

    /// The standby was asked: it has replayed this position, and the last commit in it is from that time of the source.
    /// Returns what is proven now.
    pub(super) fn standby(
        &mut self,
        source: &SiteId,
        replayed: u64,
        commit: Option<i64>,
    ) -> Option<Proven> {
        if self
            .proven
            .as_ref()
            .is_some_and(|proven| proven.source != *source)
        {
            // Another source: what was proven of the old one says nothing about this one.
            *self = Self::default();
        }
        let by_sample = self
            .samples
            .iter()
            .rev()
            .find(|sample| sample.flushed <= replayed)
            .map(|sample| sample.asked_at);
        // A commit takes its time before its place in the log, so every write that was acknowledged
        // before that time is below it. The source's clock is brought to ours, on the safe side.
        let by_commit = commit.map(|time| Timestamp(time - self.ahead.unwrap_or(0)));
        let before = self.proven.as_ref().map(|proven| proven.taken_at);
        let taken_at = by_sample.max(by_commit).max(before)?;
        let proven = Proven {
            source: source.clone(),
            taken_at,
            lsn: replayed,
        };
        self.proven = Some(proven.clone());
        Some(proven)
    }

    /// Bytes that the source had flushed when it last answered, and the standby has not replayed.
    pub(super) fn behind(&self, replayed: u64) -> Option<u64> {
        self.last_flushed
            .map(|flushed| flushed.saturating_sub(replayed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prod() -> SiteId {
        SiteId::new("prod").unwrap()
    }

    fn sample(asked_at: i64, flushed: u64) -> SourceSample {
        SourceSample {
            asked_at: Timestamp(asked_at),
            flushed,
            source_clock: Timestamp(asked_at + 1),
        }
    }

    #[test]
    fn a_silent_source_leaves_the_last_proven_point() {
        let mut tracker = Tracker::default();
        tracker.source(sample(100, 10));
        tracker.source(sample(200, 20));
        tracker.source(sample(300, 30));
        let at = |tracker: &mut Tracker, replayed| {
            tracker
                .standby(&prod(), replayed, None)
                .map(|p| p.taken_at.0)
        };
        assert_eq!(at(&mut tracker, 5), None);
        assert_eq!(at(&mut tracker, 25), Some(200));
        assert_eq!(at(&mut tracker, 25), Some(200));
        assert_eq!(tracker.behind(25), Some(5));
        assert_eq!(at(&mut tracker, 30), Some(300));
    }

    #[test]
    fn a_fast_source_clock_is_not_believed() {
        let mut tracker = Tracker::default();
        tracker.source(SourceSample {
            asked_at: Timestamp(1_000),
            flushed: 50,
            source_clock: Timestamp(61_000),
        });
        // A commit at 60,500 by the source's clock happened at 500 or later by ours, not at 60,500.
        let proven = tracker.standby(&prod(), 40, Some(60_500)).unwrap();
        assert_eq!(proven.taken_at, Timestamp(500));
    }

    #[test]
    fn another_source_starts_anew() {
        let mut tracker = Tracker::default();
        tracker.source(sample(100, 10));
        tracker.standby(&prod(), 10, None).unwrap();
        let dr = SiteId::new("dr").unwrap();
        assert_eq!(tracker.standby(&dr, 10, None), None);
    }

    proptest! {
        /// I13: whatever is asked when, no write from before a claimed moment is missing.
        #[test]
        fn the_point_is_never_overstated(
            gaps in prop::collection::vec(1_i64..50, 1..60),
            looks in prop::collection::vec((0_i64..80, 0_u64..20, any::<bool>()), 1..40),
            skew in -1_000_i64..1_000,
        ) {
            // Write n is acknowledged at times[n] and ends at position n + 1.
            let times: Vec<i64> = gaps
                .iter()
                .scan(0, |now, gap| { *now += gap; Some(*now) })
                .collect();
            let mut tracker = Tracker::default();
            let (mut now, mut replayed, mut compared) = (0, 0, false);
            for (pause, progress, asked) in looks {
                now += pause;
                let flushed = times.iter().filter(|time| **time < now).count() as u64;
                if asked {
                    compared = true;
                    tracker.source(SourceSample {
                        asked_at: Timestamp(now),
                        flushed,
                        source_clock: Timestamp(now + skew),
                    });
                }
                replayed = (replayed + progress).min(flushed);
                let index = usize::try_from(replayed).unwrap();
                let commit = (compared && replayed > 0).then(|| times[index - 1] + skew);
                if let Some(proven) = tracker.standby(&prod(), replayed, commit)
                    && let Some(missing) = times.get(index)
                {
                    prop_assert!(*missing >= proven.taken_at.0, "{missing} {proven:?}");
                }
            }
        }
    }
}
