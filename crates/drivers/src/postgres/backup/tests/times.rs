//! Any moment comes back: base backups, the log, recovery to a target.

use std::time::Duration;

use mainstay_model::{Position, RecoveryTarget, Timestamp};

use super::{
    super::{
        choose::{Side, Until},
        proof::prove,
    },
    fixture::{Bed, Load, Mark, Marker, store_until},
};

const BALANCE: &str = "SELECT (SELECT sum(abalance) FROM pgbench_accounts)::int8
    - (SELECT sum(bbalance) FROM pgbench_branches)::int8
    UNION ALL SELECT count(*) FROM pgbench_history";

/// The marks that must be there, and those that must not, at a moment.
fn assert_at(found: &[i64], marks: &[Mark], at: Timestamp, what: &str) {
    for mark in marks {
        if mark.after <= at {
            assert!(
                found.contains(&mark.id),
                "{what}: {mark:?} is missing at {at:?}"
            );
        } else if mark.before > at {
            assert!(
                !found.contains(&mark.id),
                "{what}: {mark:?} is there at {at:?}"
            );
        }
    }
}

#[test]
fn a_base_backup_alone_comes_back_and_passes_its_checks() {
    let Some(bed) = Bed::start() else { return };
    bed.run("INSERT INTO marks SELECT n, now() FROM generate_series(1, 1000) n");
    let first = bed.save();
    bed.run("INSERT INTO marks SELECT n, now() FROM generate_series(1001, 1010) n");
    let second = bed.save();
    assert!(second.label.position > first.label.position);
    let brought = bed.bring(&Until::End, "newest").unwrap();
    assert_eq!(
        (brought.point, brought.reached),
        (second.id, second.label.taken)
    );
    assert_eq!(bed.marks_in("newest").len(), 1010);
    let checks = prove(&bed.store, &bed.place("newest")).unwrap();
    assert_eq!(
        checks,
        [
            "pg_verifybackup",
            "boots",
            "pg_amcheck",
            "SELECT count(*) > 0 FROM marks"
        ]
    );
    let point = RecoveryTarget::Point(first.id.to_string());
    assert_eq!(bed.bring_target(&point, "first").unwrap().point, first.id);
    assert_eq!(bed.marks_in("first").len(), 1000);
    // Nothing of the scratch servers is left.
    let left = std::fs::read_dir(bed.place("")).unwrap().flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

/// What was acknowledged before a moment was asked for is there, and what began after it was answered is not.
fn assert_between(
    bed: &Bed,
    folder: &str,
    marks: &[Mark],
    (before, after): (Timestamp, Timestamp),
) {
    let found = bed.marks_in(folder);
    for mark in marks {
        assert!(
            mark.after > before || found.contains(&mark.id),
            "{folder}: {mark:?} is missing"
        );
        assert!(
            mark.before < after || !found.contains(&mark.id),
            "{folder}: {mark:?} is there"
        );
    }
}

#[test]
fn three_moments_under_load_come_back_as_they_were() {
    let Some(bed) = Bed::start() else { return };
    let mut logs = bed.logs();
    logs.step().unwrap();
    let marker = Marker::start(&bed.spec, 1, Duration::from_millis(50));
    let base = bed.save();
    let load = Load::start(&bed);
    let mut moments = Vec::new();
    for number in 0..3 {
        moments.push(bed.clock());
        std::thread::sleep(Duration::from_millis(130 * number));
        let end = std::time::Instant::now() + Duration::from_millis(700);
        while std::time::Instant::now() < end {
            logs.step().unwrap();
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let (before, lsn, after) = (bed.clock(), bed.flushed(), bed.clock());
    let position = (before, after);
    std::thread::sleep(Duration::from_millis(200));
    let before = bed.clock();
    bed.run("SELECT pg_create_restore_point('before-deploy')");
    let named = (before, bed.clock());
    std::thread::sleep(Duration::from_millis(300));
    let marks = marker.stop();
    drop(load);
    store_until(&mut logs, bed.clock(), bed.flushed());
    let reach = logs.reach();
    for (number, at) in moments.iter().enumerate() {
        let name = format!("at-{number}");
        let brought = bed.bring(&Until::Time(*at, Side::With), &name).unwrap();
        assert_eq!((brought.point, brought.reached), (base.id, *at));
        assert_at(&bed.marks_in(&name), &marks, *at, &name);
        // The load moves money in three tables at once: no moment between its transactions shows a difference.
        let [difference, moved] = bed.asked_in(&name, BALANCE)[..] else {
            panic!()
        };
        assert!(
            difference == 0 && moved > 0,
            "{name}: {difference}, {moved}"
        );
        // Asked again it is the same, and nothing is done twice.
        let again = bed.bring(&Until::Time(*at, Side::With), &name).unwrap();
        assert_eq!(again.position, brought.position);
    }
    let target = RecoveryTarget::Position(Position::Lsn(lsn));
    let brought = bed.bring_target(&target, "position").unwrap();
    assert!(brought.position >= Some(Position::Lsn(lsn)));
    assert_between(&bed, "position", &marks, position);
    let name = Until::Name("before-deploy".to_owned());
    bed.bring(&name, "named").unwrap();
    assert_between(&bed, "named", &marks, named);
    bed.bring(&Until::End, "end").unwrap();
    let found = bed.marks_in("end");
    assert!(
        marks.iter().all(|mark| found.contains(&mark.id)),
        "the end has them all"
    );
    assert_refused(&bed, base.label.taken, reach.taken);
}

/// What the stored log does not lead to is refused.
fn assert_refused(bed: &Bed, first: Timestamp, last: Timestamp) {
    let late = Timestamp(last.0 + 60_000_000);
    let refused = bed
        .bring(&Until::Time(late, Side::With), "late")
        .unwrap_err();
    assert_eq!(refused.code, "target-after-end");
    let early = Timestamp(first.0 - 1);
    let refused = bed
        .bring(&Until::Time(early, Side::With), "early")
        .unwrap_err();
    assert_eq!(refused.code, "no-restore-point");
    let refused = bed
        .bring(&Until::Name("nobody".to_owned()), "nobody")
        .unwrap_err();
    assert_eq!(refused.code, "no-restore-point");
}
