//! Which packs are read this time. Pure: sizes, times and the budget go in, a choice comes out.
//! Must not know what packs are.

use std::time::Duration;

use crate::{Id, Time};

/// How much one scrub reads. With neither limit, it reads everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScrubBudget {
    /// Not more bytes than this, but for one pack at least: else a small budget would never get anywhere.
    pub most: Option<u64>,
    /// Enough that every pack is read once in a given time.
    pub pace: Option<Pace>,
}

/// How often every pack is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Once in this time.
    pub within: Duration,
    /// So long it is until the next scrub.
    pub next_in: Duration,
}

/// A pack that may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) id: Id,
    pub(super) size: u64,
    /// When it was read last, if ever.
    pub(super) read: Option<Time>,
}

impl Pace {
    /// Whether a pack will have been unread for too long by the next time.
    fn is_due(self, read: Option<Time>, now: Time) -> bool {
        read.is_none_or(|read| age(read, now) + self.next_in >= self.within)
    }

    /// Whether a pack has been unread for too long already.
    pub(super) fn is_overdue(self, read: Option<Time>, now: Time) -> bool {
        read.is_none_or(|read| age(read, now) > self.within)
    }

    /// What has to be read each time so that the work is spread evenly.
    fn share(self, total: u64) -> u64 {
        let part = u128::from(total) * self.next_in.as_millis();
        let share = part.div_ceil(self.within.as_millis().max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}

pub(super) fn age(read: Time, now: Time) -> Duration {
    let nanos = (now.as_nanos() - read.as_nanos()).max(0);
    Duration::from_secs(u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX))
}

/// Puts those that were unread for longest first, and takes as many as the budget says.
pub(super) fn choose(mut all: Vec<Candidate>, budget: ScrubBudget, now: Time) -> Vec<Id> {
    all.sort_unstable_by_key(|one| (one.read, one.id));
    let total = all.iter().map(|one| one.size).sum();
    let (mut chosen, mut bytes) = (Vec::new(), 0_u64);
    for one in all {
        let more = bytes.saturating_add(one.size);
        if !chosen.is_empty() && budget.most.is_some_and(|most| more > most) {
            break;
        }
        let wanted = |pace: Pace| bytes < pace.share(total) || pace.is_due(one.read, now);
        if !budget.pace.is_none_or(wanted) {
            break;
        }
        bytes = more;
        chosen.push(one.id);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn packs(ages: &[Option<i64>], now: Time) -> Vec<Candidate> {
        let one = |(number, age): (u8, &Option<i64>)| Candidate {
            id: Id([number; 32]),
            size: 10,
            read: age.map(|hours| now.plus_secs(-3600 * hours)),
        };
        (0..).zip(ages).map(one).collect()
    }

    fn chosen(ages: &[Option<i64>], budget: ScrubBudget) -> Vec<u8> {
        let now = Time::EPOCH.plus_secs(1_000_000_000);
        let chosen = choose(packs(ages, now), budget, now);
        chosen.into_iter().map(|id| id.0[0]).collect()
    }

    fn pace(within: u32, next_in: u32) -> Pace {
        Pace {
            within: within * HOUR,
            next_in: next_in * HOUR,
        }
    }

    #[test]
    fn the_oldest_come_first_and_the_unread_before_them() {
        let ages = [Some(1), Some(9), None, Some(5)];
        let all = ScrubBudget::default();
        assert_eq!(chosen(&ages, all), [2, 1, 3, 0]);
        let most = |most| ScrubBudget {
            most: Some(most),
            pace: None,
        };
        assert_eq!(chosen(&ages, most(25)), [2, 1]);
        assert_eq!(chosen(&ages, most(20)), [2, 1]);
        assert_eq!(chosen(&ages, most(1)), [2], "one at least");
    }

    #[test]
    fn a_pace_reads_what_is_due_and_its_share_of_the_rest() {
        let budget = |within, next_in| ScrubBudget {
            most: None,
            pace: Some(pace(within, next_in)),
        };
        // Each pack within 4 hours, every hour: a quarter of them.
        assert_eq!(
            chosen(&[Some(1), Some(1), Some(2), Some(0)], budget(4, 1)),
            [2]
        );
        // Two would be too old at the next time.
        assert_eq!(
            chosen(&[Some(1), Some(3), Some(4), Some(0)], budget(4, 1)),
            [2, 1]
        );
        // Never read is always due.
        assert_eq!(
            chosen(&[None, None, Some(0), Some(0)], budget(4, 1)),
            [0, 1]
        );
        let limited = ScrubBudget {
            most: Some(10),
            pace: Some(pace(4, 1)),
        };
        assert_eq!(chosen(&[None, None, Some(0), Some(0)], limited), [0]);
    }

    #[test]
    fn at_its_pace_nothing_ever_grows_too_old() {
        let (within, next_in) = (24, 1);
        let mut read = [None; 100];
        let budget = ScrubBudget {
            most: None,
            pace: Some(pace(within, next_in)),
        };
        let mut most = 0;
        for hour in 0..200_i64 {
            let now = Time::EPOCH.plus_secs(3600 * hour);
            let all = (0..).zip(&read).map(|(number, read)| Candidate {
                id: Id([number; 32]),
                size: 1 + u64::from(number % 7),
                read: *read,
            });
            let chosen = choose(all.collect(), budget, now);
            if hour >= i64::from(within) {
                most = most.max(chosen.len());
            }
            for id in chosen {
                read[usize::from(id.0[0])] = Some(now);
            }
            let pace = budget.pace.unwrap();
            assert!(!read.iter().any(|one| pace.is_overdue(*one, now)), "{hour}");
        }
        assert!(most < 30, "all at once read once, then spread: {most}");
    }
}
