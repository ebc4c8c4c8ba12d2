//! What the list says about time: who served when, and for how long nobody did.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::list::List;

/// A span of time, from its first microsecond since the epoch up to, not including, its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The first microsecond.
    pub from_us: u64,
    /// The first microsecond after it.
    pub to_us: u64,
}

impl Window {
    /// All of time.
    pub const ALWAYS: Self = Self {
        from_us: 0,
        to_us: u64::MAX,
    };

    /// Whether `at_us` is within.
    #[must_use]
    pub fn contains(self, at_us: u64) -> bool {
        (self.from_us..self.to_us).contains(&at_us)
    }
}

/// A span in which no write was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The acknowledgement before it, or the window's begin.
    pub from_us: u64,
    /// The acknowledgement after it, or the window's end.
    pub to_us: u64,
}

impl Gap {
    /// Its length in seconds.
    #[must_use]
    pub fn seconds(self) -> f64 {
        seconds(self.to_us.saturating_sub(self.from_us))
    }
}

/// What was served within one slice of time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Where the slice begins, in microseconds since the epoch.
    pub from_us: u64,
    /// Acknowledged writes by site.
    pub by_site: BTreeMap<String, u64>,
    /// Attempts that failed.
    pub failed: u64,
}

impl List {
    /// The longest time without an acknowledgement within `window`. Its edges count: a service
    /// that never comes back within the window is down until the window's end.
    #[must_use]
    pub fn outage(&self, window: Window) -> Gap {
        let mut moments: Vec<u64> = self
            .acks()
            .map(|ack| ack.acked_us)
            .filter(|at| window.contains(*at))
            .collect();
        moments.push(window.from_us);
        moments.push(window.to_us);
        moments.sort_unstable();
        let pairs = moments.iter().zip(moments.iter().skip(1));
        let gaps = pairs.map(|(from, to)| Gap {
            from_us: *from,
            to_us: *to,
        });
        let longest = gaps.max_by_key(|gap| gap.to_us - gap.from_us);
        longest.unwrap_or(Gap {
            from_us: window.from_us,
            to_us: window.to_us,
        })
    }

    /// When `site`, or anyone, first acknowledged a write that was sent at or after `after_us`.
    #[must_use]
    pub fn first_served(&self, after_us: u64, site: Option<&str>) -> Option<u64> {
        let by = |name: &str| site.is_none_or(|site| site == name);
        self.acks()
            .filter(|ack| ack.sent_us >= after_us && by(&ack.site))
            .map(|ack| ack.acked_us)
            .min()
    }

    /// Who served how much, in slices of `slice_us` over the whole of `window`.
    #[must_use]
    pub fn served(&self, window: Window, slice_us: u64) -> Vec<Served> {
        let slice_us = slice_us.max(1);
        let length = window.to_us.saturating_sub(window.from_us);
        let mut slices: Vec<Served> = (0..length.div_ceil(slice_us))
            .map(|number| Served {
                from_us: window.from_us + number * slice_us,
                ..Served::default()
            })
            .collect();
        let at = |moment: u64| {
            let within = window
                .contains(moment)
                .then(|| (moment - window.from_us) / slice_us);
            within.and_then(|number| usize::try_from(number).ok())
        };
        for ack in self.acks() {
            if let Some(slice) = at(ack.acked_us).and_then(|at| slices.get_mut(at)) {
                *slice.by_site.entry(ack.site.clone()).or_default() += 1;
            }
        }
        for failure in self.failures() {
            if let Some(slice) = at(failure.failed_us).and_then(|at| slices.get_mut(at)) {
                slice.failed += 1;
            }
        }
        slices
    }
}

/// Microseconds as seconds, for people and reports.
#[expect(
    clippy::cast_precision_loss,
    reason = "spans of a demo are far below 2^53 microseconds"
)]
pub(crate) fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::super::list::{Ack, Entry, Failure};
    use super::*;

    fn list() -> List {
        let ack = |at: u64, site: &str| {
            Entry::Ack(Ack {
                tenant: "t01".to_owned(),
                id: format!("o{at}"),
                sha256: String::new(),
                sent_us: at - 5,
                acked_us: at,
                attempts: 1,
                site: site.to_owned(),
                replica: "r".to_owned(),
            })
        };
        let failure = Entry::Failure(Failure {
            tenant: "t01".to_owned(),
            id: "o".to_owned(),
            sent_us: 120,
            failed_us: 130,
            to: String::new(),
            why: "connect".to_owned(),
        });
        // Clients write their lines in any order.
        let entries = vec![
            ack(110, "a"),
            ack(100, "a"),
            failure,
            ack(190, "b"),
            ack(210, "b"),
        ];
        List { entries }
    }

    #[test]
    fn the_outage_is_the_longest_gap_and_the_edges_count() {
        let outage = |from_us, to_us| list().outage(Window { from_us, to_us });
        assert_eq!(
            outage(90, 220),
            Gap {
                from_us: 110,
                to_us: 190
            }
        );
        assert_eq!(
            outage(0, 220),
            Gap {
                from_us: 0,
                to_us: 100
            }
        );
        assert_eq!(
            outage(90, 1000),
            Gap {
                from_us: 210,
                to_us: 1000
            }
        );
        assert_eq!(
            outage(300, 400),
            Gap {
                from_us: 300,
                to_us: 400
            }
        );
    }

    #[test]
    fn who_served_when() {
        assert_eq!(list().first_served(107, None), Some(190));
        assert_eq!(list().first_served(0, Some("b")), Some(190));
        assert_eq!(list().first_served(500, None), None);
        let served = list().served(
            Window {
                from_us: 100,
                to_us: 200,
            },
            40,
        );
        let shown: Vec<_> = served
            .iter()
            .map(|slice| {
                (
                    slice.from_us,
                    slice.by_site.values().sum::<u64>(),
                    slice.failed,
                )
            })
            .collect();
        assert_eq!(shown, [(100, 2, 1), (140, 0, 0), (180, 1, 0)]);
    }
}
