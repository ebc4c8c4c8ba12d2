//! Leases under clocks that run apart, slow networks and restarts.

use std::collections::BTreeMap;

use mainstay_engine::{
    Bugs,
    lease::{Drift, Expiry, Grantor, Holder, LeaseRecord, MayWrite, Mono, Owner, Refused, Save},
};
use mainstay_model::{ComponentId, Epoch, Span};
use proptest::prelude::*;

const LEASE: Span = Span::from_secs(2);

fn store() -> ComponentId {
    "ledger".parse().unwrap()
}

fn owner(site: &str, epoch: u64) -> Owner {
    Owner {
        site: site.parse().unwrap(),
        epoch: Epoch(epoch),
    }
}

/// One thing that happens, after so many true milliseconds.
#[derive(Debug, Clone)]
enum Happens {
    /// A site asks; the request and the answer take so long.
    /// A confused site asks with the newest epoch, whoever owns it.
    Ask {
        site: usize,
        there: u64,
        back: u64,
        confused: bool,
    },
    /// The next epoch is fenced off for the other site, if the old leases have run out.
    Move,
    /// The grantor restarts; what was not saved is lost.
    Restart,
}

fn happening() -> impl Strategy<Value = (u64, Happens)> {
    let what = prop_oneof![
        8 => (0..2_usize, 0..900_u64, 0..900_u64, prop::bool::weighted(0.1)).prop_map(
            |(site, there, back, confused)| Happens::Ask { site, there, back, confused }
        ),
        3 => Just(Happens::Move),
        1 => Just(Happens::Restart),
    ];
    (0..600_u64, what)
}

/// A clock that runs up to one per cent wrong, from true milliseconds.
fn clock(rate: i64, true_ms: u64) -> Mono {
    let us = i128::from(true_ms) * (1_000_000 + i128::from(rate) * 900) / 1_000;
    Mono(u64::try_from(us).unwrap())
}

const NAMES: [&str; 2] = ["prod", "dr"];
const LONGEST: Span = Span::from_secs(10);

/// Two sites and a grantor, each with a clock of its own.
struct Lab {
    rates: [i64; 3],
    bugs: Bugs,
    grantor: Grantor,
    saved: LeaseRecord,
    holders: [Holder; 2],
    /// True milliseconds.
    time: u64,
    /// The site that owns the store, the newest epoch, and each site's own.
    owned: usize,
    epoch: u64,
    epochs: [u64; 2],
    granted_to: BTreeMap<u64, usize>,
    /// Answers on their way: arrival, site, when it was asked, length.
    answers: Vec<(u64, usize, Mono, Span)>,
}

impl Lab {
    fn new(rates: [i64; 3], bugs: Bugs) -> Self {
        let drift = Drift::default();
        let mut grantor = Grantor::new(LONGEST, drift).with_bugs(bugs);
        let first = grantor.grant(&store(), &owner(NAMES[0], 1), LEASE, Mono(0));
        assert_eq!(first.map(|granted| granted.save), Ok(Save::Needed));
        Self {
            rates,
            bugs,
            saved: grantor.record().clone(),
            grantor,
            holders: [0, 1].map(|_| Holder::new_with(LEASE, drift, bugs)),
            time: 0,
            owned: 0,
            epoch: 1,
            epochs: [1, 0],
            granted_to: BTreeMap::from([(1, 0)]),
            answers: Vec::new(),
        }
    }

    /// The grantor's clock is the third.
    fn now(&self, whose: usize) -> Mono {
        clock(self.rates[whose], self.time)
    }

    fn writes(&self, site: usize) -> bool {
        self.holders[site].may_write(self.now(site)) != MayWrite::No
    }

    fn deliver(&mut self) {
        let time = self.time;
        for (_, site, asked, length) in self.answers.extract_if(.., |answer| answer.0 <= time) {
            self.holders[site].granted(asked, length);
        }
    }

    fn ask(&mut self, site: usize, there: u64, back: u64, confused: bool) -> Result<(), String> {
        let asked = self.now(site);
        self.time += there;
        let epoch = if confused && self.granted_to.contains_key(&self.epoch) {
            self.epoch
        } else {
            self.epochs[site]
        };
        let wanted = owner(NAMES[site], epoch);
        let now = self.now(2);
        if let Ok(granted) = self.grantor.grant(&store(), &wanted, LEASE, now) {
            self.save(granted.save);
            if *self.granted_to.entry(epoch).or_insert(site) != site {
                return Err("one epoch, two owners (I2)".to_owned());
            }
            self.answers
                .push((self.time + back, site, asked, granted.length));
        }
        Ok(())
    }

    fn move_on(&mut self) -> Result<(), String> {
        let below = Epoch(self.epoch + 1);
        let fenced = self.grantor.fence(&store(), below);
        self.save(fenced.save);
        if self.grantor.surely_expired(&store(), below, self.now(2)) == Expiry::Surely {
            if self.writes(self.owned) {
                return Err(format!("{} may still write", NAMES[self.owned]));
            }
            self.epoch += 1;
            self.owned = 1 - self.owned;
            self.epochs[self.owned] = self.epoch;
        }
        Ok(())
    }

    fn restart(&mut self) {
        let (now, drift) = (self.now(2), Drift::default());
        self.grantor =
            Grantor::restart(self.saved.clone(), LONGEST, drift, now).with_bugs(self.bugs);
    }

    fn save(&mut self, save: Save) {
        if save == Save::Needed {
            self.saved.clone_from(self.grantor.record());
        }
    }

    fn judge(&self) -> Result<(), String> {
        if self.writes(0) && self.writes(1) {
            return Err("two writers".to_owned());
        }
        if (0..2).any(|site| self.writes(site) && self.epochs[site] < self.epoch) {
            return Err("a writer below the fence, after its leases had surely run out".to_owned());
        }
        Ok(())
    }
}

/// Plays what happens and says whether two sites could ever write at once, or one below the fence.
fn play(rates: [i64; 3], happens: &[(u64, Happens)], bugs: Bugs) -> Result<(), String> {
    let mut lab = Lab::new(rates, bugs);
    for (pause, what) in happens {
        lab.time += pause;
        lab.deliver();
        match what {
            Happens::Ask {
                site,
                there,
                back,
                confused,
            } => lab.ask(*site, *there, *back, *confused)?,
            Happens::Move => lab.move_on()?,
            Happens::Restart => lab.restart(),
        }
        lab.judge()?;
    }
    Ok(())
}

fn world() -> impl Strategy<Value = ([i64; 3], Vec<(u64, Happens)>)> {
    let rates = [-10..=10_i64, -10..=10_i64, -10..=10_i64];
    (rates, prop::collection::vec(happening(), 1..60))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i1_i4_a_lease_has_surely_run_out_before_another_site_writes((rates, happens) in world()) {
        prop_assert_eq!(play(rates, &happens, Bugs::NONE), Ok(()));
    }
}

#[test]
fn i2_i3_an_epoch_has_one_owner_and_the_floor_holds() {
    let mut grantor = Grantor::new(Span::from_secs(10), Drift::default());
    let now = Mono(0);
    grantor
        .grant(&store(), &owner("prod", 1), LEASE, now)
        .unwrap();
    let other = grantor.grant(&store(), &owner("dr", 1), LEASE, now);
    assert_eq!(other, Err(Refused::Owned(owner("prod", 1))));
    assert!(matches!(
        grantor.grant(&store(), &owner("dr", 2), LEASE, now),
        Err(Refused::Running(_))
    ));
    assert_eq!(
        grantor.surely_expired(&store(), Epoch(2), Mono(u64::MAX)),
        Expiry::NotFenced
    );
    grantor.fence(&store(), Epoch(2));
    let late = now + Span::from_secs(1);
    assert_eq!(
        grantor.grant(&store(), &owner("prod", 1), LEASE, late),
        Err(Refused::Fenced { floor: Epoch(2) })
    );
    // The lease ends at 2 s; one per cent and 50 ms come on top.
    let over = Mono(2_070_000);
    assert!(matches!(
        grantor.surely_expired(&store(), Epoch(2), over),
        Expiry::In(_)
    ));
    assert_eq!(
        grantor.surely_expired(&store(), Epoch(2), over + Span(1)),
        Expiry::Surely
    );
    assert!(
        grantor
            .grant(&store(), &owner("dr", 2), LEASE, over + Span(1))
            .is_ok()
    );
    assert!(matches!(
        grantor.grant(&store(), &owner("dr", 2), Span::from_secs(11), over),
        Err(Refused::Length { .. })
    ));
}

#[test]
fn a_restarted_grantor_waits_out_the_longest_lease() {
    let mut grantor = Grantor::new(Span::from_secs(10), Drift::default());
    grantor
        .grant(&store(), &owner("prod", 1), LEASE, Mono(0))
        .unwrap();
    let record = serde_json::to_string(grantor.record()).unwrap();
    assert_eq!(
        record,
        r#"{"version":1,"stores":{"ledger":{"floor":0,"owner":{"site":"prod","epoch":1},"longest":"2s"}}}"#
    );
    let record = serde_json::from_str(&record).unwrap();
    let start = Mono(500);
    let mut grantor = Grantor::restart(record, Span::from_secs(10), Drift::default(), start);
    grantor.fence(&store(), Epoch(2));
    assert_eq!(
        grantor.surely_expired(&store(), Epoch(2), start),
        Expiry::In(Span(2_070_001))
    );
    assert_eq!(
        grantor.surely_expired(&store(), Epoch(2), start + Span::from_millis(2_071)),
        Expiry::Surely
    );
    // A store that never had a lease has nothing to wait for.
    let other = "other".parse().unwrap();
    grantor.fence(&other, Epoch(2));
    assert_eq!(
        grantor.surely_expired(&other, Epoch(2), start),
        Expiry::Surely
    );
}

#[test]
fn a_holder_that_stopped_gets_nothing_back_from_a_late_answer() {
    let mut holder = Holder::new(LEASE, Drift::default());
    holder.granted(Mono(0), LEASE);
    assert_eq!(holder.may_write(Mono(10)), MayWrite::Until(Mono(1_930_000)));
    holder.stop(Mono(20));
    assert_eq!(holder.may_write(Mono(30)), MayWrite::No);
    holder.granted(Mono(15), LEASE);
    assert_eq!(holder.may_write(Mono(30)), MayWrite::No);
    holder.granted(Mono(25), LEASE);
    assert_ne!(holder.may_write(Mono(30)), MayWrite::No);
    holder.refused();
    assert_eq!(holder.may_write(Mono(30)), MayWrite::No);
}

#[cfg(feature = "planted-bugs")]
#[test]
fn planted_lease_bugs_are_caught() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    for name in [
        "grantor-shares-epoch",
        "grantor-forgets-restart",
        "grantor-forgets-renewals",
        "holder-overstays",
        "grantor-ignores-floor",
    ] {
        let bugs = Bugs::named(name).unwrap();
        let mut runner = TestRunner::deterministic();
        let caught = (0..4_000).any(|_| {
            let (rates, happens) = world().new_tree(&mut runner).unwrap().current();
            play(rates, &happens, bugs).is_err()
        });
        assert!(caught, "{name}");
    }
}
