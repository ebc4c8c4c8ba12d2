//! What was said to be stored is there, whoever was killed; what is not there is noticed and named.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use mainstay_backup::{Progress, Quiet, Reader, RestorePoint, archive};
use mainstay_model::{RecoveryTarget, Timestamp};
use mainstay_storage::{Failure, Faulty, FaultyOp, Memory};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    super::{
        base,
        bring::place,
        choose::{Side, Until},
        held::{Held, Reach},
        logs::{Logs, Target},
        saves::in_place,
        segment::{Gap, Line},
        store::tagged,
        wait::wait,
    },
    fixture::{Bed, Mark, Marker, step_until, store_until},
};
use crate::postgres::{cluster, files::Folder};

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = kill_process(pid, Signal::KILL);
}

fn held(bed: &Bed) -> Held {
    let seen = wait(bed.store.look()).unwrap();
    Held::load(&bed.store, &bed.repository, seen.cluster, seen.size).unwrap()
}

fn gaps(bed: &Bed, from: &RestorePoint) -> Vec<Gap> {
    let held = held(bed);
    let base = base::Base::of(from.clone()).unwrap();
    let reader = Reader::open(&bed.repository).unwrap();
    let newest = held.newest_timeline().unwrap();
    let line = held
        .line(&reader, newest)
        .unwrap()
        .unwrap_or(Line::alone(newest));
    held.gaps(&line, base.end)
}

/// Steps for a while, whatever fails.
fn go_on(logs: &mut Logs, millis: u64) {
    let end = Instant::now() + Duration::from_millis(millis);
    while Instant::now() < end {
        let _ = logs.step();
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn missing(found: &[i64], marks: &[Mark], until: Timestamp) -> Vec<Mark> {
    let safe = marks.iter().filter(|mark| mark.after <= until);
    safe.filter(|mark| !found.contains(&mark.id))
        .copied()
        .collect()
}

#[test]
fn whoever_is_killed_nothing_that_was_said_to_be_stored_is_missing() {
    let Some(bed) = Bed::start() else { return };
    let mut logs = bed.logs();
    go_on(&mut logs, 200);
    let base = bed.save();
    let marker = Marker::start(&bed.spec, 1, Duration::from_millis(20));
    let mut random = u64::from(std::process::id());
    for round in 0..4 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        go_on(&mut logs, 200 + (random >> 33) % 600);
        bed.run("SELECT pg_switch_wal()");
        go_on(&mut logs, (random >> 40) % 150);
        step_until(&mut logs, |logs| logs.receiver().is_some());
        let receiver = logs.receiver();
        match round {
            0 => receiver.into_iter().for_each(kill),
            1 => bed.signal(Signal::KILL),
            2 => {
                bed.signal(Signal::KILL);
                receiver.into_iter().for_each(kill);
            }
            // The agent itself: its receiver goes on without it, and everything it knew is gone.
            _ => std::mem::forget(std::mem::replace(&mut logs, bed.logs())),
        }
        if cluster::postmaster(&bed.spec).is_none() {
            bed.start_again();
        }
    }
    let caught_up = bed.clock();
    store_until(&mut logs, caught_up, 0);
    assert_eq!(gaps(&bed, &base), []);
    let safe = logs.reach();
    // The site is lost: what the repository has is all there is.
    bed.signal(Signal::KILL);
    drop(logs);
    let marks = marker.stop();
    assert!(marks.len() > 20, "{}", marks.len());
    let brought = bed.bring(&Until::End, "end").unwrap();
    assert!(brought.reached >= caught_up && brought.reached >= safe.taken);
    assert_eq!(missing(&bed.marks_in("end"), &marks, brought.reached), []);
}

/// Writes a group's snapshot again without one file.
fn take_away(bed: &Bed, name: &str) {
    let points = RestorePoint::all(&bed.repository).unwrap();
    let of = |point: &&RestorePoint| {
        let group = tagged(&point.snapshot.tags, "log");
        group.is_some_and(|group| name.starts_with(group))
    };
    let point = points.iter().find(of).unwrap();
    let root = Path::new(&point.snapshot.paths[0]).to_owned();
    let reader = Reader::open(&bed.repository).unwrap();
    archive(
        &bed.repository,
        &root,
        &bed.store.options(),
        &Quiet,
        |archive| {
            for node in reader.folder(&point.snapshot, &root)? {
                let one = String::from_utf8(node.name.clone()).unwrap();
                if one != name {
                    archive.keep(&root.join(&one), &node)?;
                }
            }
            Ok(point.snapshot.tags.clone())
        },
    )
    .unwrap();
    bed.repository.forget(&[point.id]).unwrap();
}

#[test]
fn a_segment_that_is_missing_is_named_and_nothing_past_it_is_promised() {
    let Some(bed) = Bed::start() else { return };
    let mut logs = bed.logs();
    go_on(&mut logs, 100);
    let base = bed.save();
    bed.run("INSERT INTO marks VALUES (1, now())");
    let before = bed.clock();
    std::thread::sleep(Duration::from_millis(20));
    bed.run("SELECT pg_switch_wal()");
    for id in 2..5 {
        bed.run(&format!("INSERT INTO marks VALUES ({id}, now())"));
        bed.run("SELECT pg_switch_wal()");
    }
    bed.run("INSERT INTO marks VALUES (5, now())");
    let (after, lsn) = (bed.clock(), bed.flushed());
    store_until(&mut logs, after, lsn);
    assert_eq!(gaps(&bed, &base), []);
    let whole = held(&bed).whole();
    let wanted = whole.iter().rev().nth(1).unwrap();
    let name = held(&bed).size.name(*wanted);
    take_away(&bed, &name);
    let found = gaps(&bed, &base);
    assert_eq!(
        found,
        [Gap {
            first: *wanted,
            last: *wanted
        }]
    );
    let targets = [
        Until::End,
        Until::Time(after, Side::With),
        Until::Lsn(lsn, Side::Before),
    ];
    for (number, until) in targets.iter().enumerate() {
        let refused = bed.bring(until, &format!("past-{number}")).unwrap_err();
        assert_eq!(refused.code, "log-gap", "{until}: {}", refused.what);
        assert!(refused.what.contains(&name), "{}", refused.what);
    }
    bed.bring(&Until::Time(before, Side::With), "before")
        .unwrap();
    assert_eq!(bed.marks_in("before"), [1]);
    // A new base begins after the gap.
    bed.save();
    bed.run("INSERT INTO marks VALUES (6, now())");
    store_until(&mut logs, bed.clock(), 0);
    bed.bring(&Until::End, "after").unwrap();
    assert_eq!(bed.marks_in("after"), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn log_that_the_server_removed_unreceived_is_a_gap_and_the_log_goes_on_behind_it() {
    let Some(bed) = Bed::start() else { return };
    bed.run("ALTER SYSTEM SET wal_keep_size = 0");
    bed.run("SELECT pg_reload_conf()");
    let mut logs = bed.logs();
    go_on(&mut logs, 100);
    let base = bed.save();
    bed.run("INSERT INTO marks VALUES (1, now())");
    bed.run("SELECT pg_switch_wal()");
    store_until(&mut logs, bed.clock(), bed.flushed());
    // Nobody receives, and nobody keeps the server from removing.
    drop(logs);
    let slot = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots";
    let deadline = Instant::now() + Duration::from_secs(20);
    while bed.number("SELECT count(*) FROM pg_replication_slots WHERE active") > 0 {
        assert!(Instant::now() < deadline, "the slot stays in use");
        std::thread::sleep(Duration::from_millis(20));
    }
    bed.run(slot);
    for id in 2..6 {
        bed.run(&format!("INSERT INTO marks VALUES ({id}, now())"));
        bed.run("SELECT pg_switch_wal()");
        bed.run("CHECKPOINT");
    }
    let mut logs = bed.logs();
    store_until(&mut logs, bed.clock(), bed.flushed());
    assert!(logs.lost.is_some());
    let found = gaps(&bed, &base);
    assert_eq!(found.len(), 1, "{found:?}");
    let refused = bed.bring(&Until::End, "past").unwrap_err();
    assert_eq!(refused.code, "log-gap", "{}", refused.what);
    bed.save();
    bed.run("INSERT INTO marks VALUES (6, now())");
    store_until(&mut logs, bed.clock(), bed.flushed());
    bed.bring(&Until::End, "end").unwrap();
    assert_eq!(bed.marks_in("end"), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_repository_that_is_away_is_waited_for_and_nothing_is_missed() {
    let Some(bed) = Bed::start() else { return };
    let mut logs = bed.logs();
    go_on(&mut logs, 100);
    let base = bed.save();
    bed.run("SELECT pg_switch_wal()");
    store_until(&mut logs, bed.clock(), bed.flushed());
    drop(logs);
    let gone = Faulty::new(Memory::default(), FaultyOp::Any, 0, Failure::Gone);
    let gone = Target::Open(bed.repository.on(Arc::new(gone)));
    let mut logs = bed.logs_to(vec![gone]);
    step_until(&mut logs, |logs| logs.receiver().is_some());
    for id in 1..4 {
        bed.run(&format!("INSERT INTO marks VALUES ({id}, now())"));
        bed.run("SELECT pg_switch_wal()");
        go_on(&mut logs, 200);
    }
    step_until(&mut logs, |logs| logs.receiver().is_some());
    assert_eq!(logs.reach(), Reach::default());
    drop(logs);
    let mut logs = bed.logs();
    store_until(&mut logs, bed.clock(), bed.flushed());
    assert_eq!(gaps(&bed, &base), []);
    bed.bring(&Until::End, "end").unwrap();
    assert_eq!(bed.marks_in("end"), [1, 2, 3]);
}

/// Kills the program as soon as it has given something.
struct Killer {
    done: AtomicBool,
    /// Whose: other tests of this process back up other servers.
    port: u16,
}

impl Progress for Killer {
    fn found(&self, _: u64, _: u64) {
        if !self.done.swap(true, Ordering::SeqCst) {
            children("pg_basebackup", self.port)
                .into_iter()
                .for_each(kill);
        }
    }
}

/// This process's own children of a name that talk to a port.
fn children(program: &str, port: u16) -> Vec<u32> {
    let own = format!("PPid:\t{}", std::process::id());
    let is_ours = |folder: &Path| {
        let status = fs::read_to_string(folder.join("status")).unwrap_or_default();
        let words = fs::read_to_string(folder.join("cmdline")).unwrap_or_default();
        status.starts_with(&format!("Name:\t{program}"))
            && status.lines().any(|line| line == own)
            && words.contains(&format!("port={port} "))
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    let ours = all.filter(|entry| is_ours(&entry.path()));
    ours.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

#[test]
fn a_base_backup_whose_program_is_killed_leaves_no_snapshot() {
    let Some(bed) = Bed::start() else { return };
    let killer = Killer {
        done: AtomicBool::new(false),
        port: bed.spec.port,
    };
    let broken = base::save(&bed.store, &bed.repository, &killer).unwrap_err();
    assert_eq!(broken.code, "stream-not-whole", "{}", broken.what);
    assert!(broken.what.contains("pg_basebackup"), "{}", broken.what);
    assert_eq!(bed.repository.snapshots().unwrap(), []);
    bed.run(&format!(
        "CREATE TABLESPACE aside LOCATION '{}'",
        aside(&bed)
    ));
    let refused = base::save(&bed.store, &bed.repository, &Quiet).unwrap_err();
    assert_eq!(refused.code, "postgres-tablespaces");
}

fn aside(bed: &Bed) -> String {
    let path = bed.place("aside");
    fs::create_dir(&path).unwrap();
    if let Ok(above) = fs::metadata(bed.place("")) {
        use std::os::unix::fs::{MetadataExt as _, chown};
        chown(&path, Some(above.uid()), Some(above.gid())).unwrap();
    }
    path.display().to_string()
}

#[test]
fn a_destroyed_table_comes_back_in_place_and_the_log_goes_on() {
    let Some(bed) = Bed::start() else { return };
    let mut logs = bed.logs();
    go_on(&mut logs, 100);
    bed.save();
    bed.run("INSERT INTO marks SELECT n, now() FROM generate_series(1, 50) n");
    let before = bed.clock();
    std::thread::sleep(Duration::from_millis(20));
    bed.run("DELETE FROM marks");
    store_until(&mut logs, bed.clock(), bed.flushed());
    let target = RecoveryTarget::Time(before);
    let restore = || in_place(&bed.store, &bed.repository, &target, &Quiet);
    // It is open: nobody's writes are overtaken.
    let refused = restore().unwrap_err();
    assert!(format!("{refused:?}").contains("store-open"), "{refused:?}");
    wait(cluster::stop(&bed.spec)).unwrap();
    // A server that an agent left behind in a scratch place is in nobody's way.
    let left = bed.spec.data.with_file_name("data.mainstay-restoring");
    bed.bring(&Until::Time(before, Side::With), "data.mainstay-restoring")
        .unwrap();
    let scratch = place(&bed.store, &left).unwrap();
    let forgotten = wait(async { scratch.start(&[]).await });
    forgotten.unwrap().abandon();
    restore().unwrap();
    assert_eq!(bed.number("SELECT count(*) FROM marks"), 50);
    let old = Folder {
        path: bed.place("data.mainstay-before-restore"),
        owner: None,
    };
    assert!(old.is_cluster() && !left.exists());
    bed.start_again();
    bed.run("INSERT INTO marks VALUES (51, now())");
    let base = bed.save();
    bed.run("INSERT INTO marks VALUES (52, now())");
    store_until(&mut logs, bed.clock(), bed.flushed());
    assert_eq!(gaps(&bed, &base), []);
    bed.bring(&Until::End, "end").unwrap();
    assert_eq!(bed.marks_in("end").len(), 52);
}
