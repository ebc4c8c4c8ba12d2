//! Retention, held to its promises (I24): examples first, then any history and any policy.

use mainstay_model::{Keep, Span, Timestamp};
use mainstay_proof::Level;
use proptest::prelude::*;

use super::{Point, Reason, Verdict, Whole, retain};

const HOUR: u64 = 3_600_000_000;
const DAY: u64 = 24 * HOUR;
/// 2026-01-05, a Monday.
const START: i64 = 1_767_571_200_000_000;

fn hours(count: u64) -> Timestamp {
    Timestamp(START + i64::try_from(count * HOUR).unwrap())
}

fn point(at: Timestamp, proven: Option<Level>) -> Point {
    Point {
        id: at.0.to_string(),
        recorded: at,
        whole: Whole::Complete,
        proven,
    }
}

/// One restore point an hour, each read back.
fn hourly(count: u64) -> Vec<Point> {
    (0..count)
        .map(|hour| point(hours(hour), Some(Level::ReadBack)))
        .collect()
}

fn kept(verdicts: &[Verdict]) -> usize {
    let stay = verdicts.iter().filter(|verdict| !verdict.stays.is_empty());
    stay.count()
}

fn every_hour(points: &[Point], keep: &Keep) -> Vec<Verdict> {
    retain(points, keep, Span(HOUR))
}

#[test]
fn without_a_policy_everything_stays() {
    let verdicts = every_hour(&hourly(50), &Keep::default());
    assert_eq!(kept(&verdicts), 50);
}

#[test]
fn each_rule_keeps_what_it_says() {
    let points = hourly(24 * 40);
    let with = |keep: Keep| kept(&every_hour(&points, &keep));
    let none = Keep::default;
    assert_eq!(
        with(Keep {
            last: Some(5),
            ..none()
        }),
        5
    );
    assert_eq!(
        with(Keep {
            hourly: Some(30),
            ..none()
        }),
        30
    );
    assert_eq!(
        with(Keep {
            daily: Some(7),
            ..none()
        }),
        7
    );
    assert_eq!(
        with(Keep {
            weekly: Some(3),
            ..none()
        }),
        3
    );
    // January and February.
    assert_eq!(
        with(Keep {
            monthly: Some(12),
            ..none()
        }),
        2
    );
    assert_eq!(
        with(Keep {
            yearly: Some(2),
            ..none()
        }),
        1
    );
    assert_eq!(
        with(Keep {
            within: Some(Span(2 * DAY)),
            ..none()
        }),
        49
    );
}

#[test]
fn a_flood_pushes_nothing_out() {
    let mut points = hourly(10);
    // A thousand restore points within the eleventh hour, of which nobody has proven one.
    for number in 0..1000 {
        let at = Timestamp(hours(10).0 + number);
        points.push(point(at, None));
    }
    let keep = Keep {
        last: Some(5),
        ..Keep::default()
    };
    let verdicts = every_hour(&points, &keep);
    let before = kept(&verdicts[..10]);
    assert_eq!(before, 4, "the flood counts as one slot of five");
    assert_eq!(kept(&verdicts[10..]), 1);
}

#[test]
fn a_later_unproven_one_does_not_displace_a_proven_one_of_its_slot() {
    let good = point(hours(1), Some(Level::Checked));
    let bad = point(Timestamp(hours(1).0 + 1), Some(Level::Stored));
    let next = point(hours(2), Some(Level::Stored));
    let keep = Keep {
        hourly: Some(2),
        ..Keep::default()
    };
    let verdicts = every_hour(&[good, bad, next], &keep);
    assert!(verdicts[0].stays.contains(&Reason::Hourly));
    assert!(verdicts[1].stays.is_empty());
}

#[test]
fn nothing_expires_while_backups_fail() {
    let mut points = hourly(10);
    // From then on only incomplete ones, for a year.
    for day in 1..365 {
        let mut failed = point(hours(10 + day * 24), None);
        failed.whole = Whole::Incomplete;
        points.push(failed);
    }
    let keep = Keep {
        within: Some(Span(DAY)),
        ..Keep::default()
    };
    let verdicts = every_hour(&points, &keep);
    assert_eq!(kept(&verdicts[..10]), 10);
}

#[test]
fn a_clock_that_jumps_ahead_expires_nothing() {
    let mut points = hourly(10);
    points.insert(5, point(hours(1_000_000), Some(Level::ReadBack)));
    let keep = Keep {
        within: Some(Span(DAY)),
        ..Keep::default()
    };
    let verdicts = every_hour(&points, &keep);
    assert_eq!(kept(&verdicts), 11);
    assert!(verdicts[5].stays.contains(&Reason::TimeInDoubt));
    // At the end of the history nothing contradicts it yet.
    let jumped = points.remove(5);
    points.push(jumped);
    assert_eq!(kept(&every_hour(&points, &keep)), 11);
}

#[test]
fn a_pause_of_the_backups_does_not_age_what_there_is() {
    let mut points = hourly(10);
    points.push(point(hours(24 * 365), Some(Level::ReadBack)));
    let keep = Keep {
        within: Some(Span(DAY)),
        ..Keep::default()
    };
    assert_eq!(kept(&every_hour(&points, &keep)), 11);
}

fn proven() -> impl Strategy<Value = Option<Level>> {
    prop_oneof![
        Just(None),
        Just(Some(Level::Stored)),
        Just(Some(Level::ReadBack)),
        Just(Some(Level::Restored)),
        Just(Some(Level::Checked)),
    ]
}

fn any_point() -> impl Strategy<Value = Point> {
    (0..5_000_u64, proven(), any::<bool>()).prop_map(|(hour, proven, complete)| Point {
        whole: if complete {
            Whole::Complete
        } else {
            Whole::Incomplete
        },
        ..point(hours(hour), proven)
    })
}

fn history() -> impl Strategy<Value = Vec<Point>> {
    // Most clocks are right.
    let straight = prop::bool::weighted(0.8);
    let points = prop::collection::vec(any_point(), 0..80);
    (points, straight).prop_map(|(mut points, straight)| {
        if straight {
            points.sort_by_key(|point| point.recorded);
        }
        points
    })
}

fn count() -> impl Strategy<Value = Option<u32>> {
    prop::option::of(0..20_u32)
}

fn policy() -> impl Strategy<Value = Keep> {
    let spans = prop::option::of((0..60 * DAY).prop_map(Span));
    let counts = (count(), count(), count(), count(), count(), count());
    (spans, counts).prop_map(
        |(within, (last, hourly, daily, weekly, monthly, yearly))| Keep {
            within,
            last,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
        },
    )
}

proptest! {
    #[test]
    fn i24_the_last_verified_restore_point_is_never_removed(points in history(), keep in policy()) {
        let verdicts = every_hour(&points, &keep);
        for level in [Level::ReadBack, Level::Restored, Level::Checked] {
            let proven = |point: &Point| point.whole == Whole::Complete && point.proven >= Some(level);
            if points.iter().any(proven) {
                let one_stays = points.iter().zip(&verdicts).any(|(point, verdict)| proven(point) && !verdict.stays.is_empty());
                prop_assert!(one_stays, "nothing is left that is proven as far as {level:?}");
            }
        }
    }

    #[test]
    fn i24_what_is_written_later_never_costs_a_slot_more_than_one(points in history(), keep in policy(), flood in 1..40_usize) {
        // However many are written within one slot of the schedule, no more goes than after a single one.
        let at = points.iter().map(|point| point.recorded).max().unwrap_or(hours(0));
        let at = Timestamp(at.0 + i64::try_from(HOUR).unwrap());
        let add = |count: usize| {
            let mut points = points.clone();
            points.extend((0..count).map(|_| point(at, None)));
            every_hour(&points, &keep)
        };
        let (one, many) = (add(1), add(flood));
        for (one, many) in one.iter().zip(&many).take(points.len()) {
            prop_assert_eq!(one.stays.is_empty(), many.stays.is_empty());
        }
    }

    #[test]
    fn a_wider_policy_keeps_no_less(points in history(), keep in policy(), more in 1..10_u32) {
        let wider = Keep {
            within: keep.within.map(|span| Span(span.0 + u64::from(more) * DAY)),
            last: keep.last.map(|count| count + more),
            hourly: keep.hourly.map(|count| count + more),
            daily: keep.daily.map(|count| count + more),
            weekly: keep.weekly.map(|count| count + more),
            monthly: keep.monthly.map(|count| count + more),
            yearly: keep.yearly.map(|count| count + more),
        };
        for (narrow, wide) in every_hour(&points, &keep).iter().zip(every_hour(&points, &wider)) {
            prop_assert!(narrow.stays.is_empty() || !wide.stays.is_empty());
        }
    }

    #[test]
    fn removing_what_may_go_leaves_nothing_more_to_remove(points in history(), keep in policy()) {
        prop_assume!(points.is_sorted_by_key(|point| point.recorded));
        let verdicts = every_hour(&points, &keep);
        let left: Vec<Point> = points.iter().zip(&verdicts).filter(|(_, verdict)| !verdict.stays.is_empty()).map(|(point, _)| point.clone()).collect();
        let again = every_hour(&left, &keep);
        prop_assert_eq!(kept(&again), left.len());
    }
}
