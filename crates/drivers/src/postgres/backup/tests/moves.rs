//! After a promotion the new owner's agent goes on where the stored log ends, on the new timeline.

use std::time::{Duration, Instant};

use mainstay_backup::Reader;
use mainstay_model::Epoch;
use rustix::process::Signal;

use super::{
    super::{choose::Until, held::Held, logs::Logs, wait::wait},
    fixture::{Bed, Marker, now, site, step_until, store_until},
};
use crate::postgres::cluster;

fn go_on(logs: &mut Logs, millis: u64) {
    let end = Instant::now() + Duration::from_millis(millis);
    while Instant::now() < end {
        let _ = logs.step();
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_log_goes_on_at_the_new_owner_and_what_only_the_old_one_had_is_no_part_of_it() {
    let Some(prod) = Bed::start() else { return };
    let mut logs = prod.logs();
    go_on(&mut logs, 100);
    let base = prod.save();
    let dr = prod.standby("dr");
    let marker = Marker::start(&prod.spec, 1, Duration::from_millis(20));
    prod.run("SELECT pg_switch_wal()");
    go_on(&mut logs, 600);
    prod.run("SELECT pg_switch_wal()");
    store_until(&mut logs, prod.clock(), 0);
    let marks = marker.stop();
    // Everything is at the standby when it is promoted; what the old primary then writes is nobody's.
    let last = prod.flushed();
    dr.wait_replayed(last);
    dr.run("SELECT pg_promote()");
    let own = "UPDATE mainstay.mark SET owner = 'dr', epoch = 2";
    dr.start_again();
    dr.run(own);
    prod.run("INSERT INTO marks VALUES (1000000, now())");
    prod.run("SELECT pg_switch_wal()");
    store_until(&mut logs, prod.clock(), prod.flushed());
    // The old owner is told that it is none any more, and receives nothing.
    prod.run(own);
    step_until(&mut logs, |logs| logs.receiver().is_none());
    prod.signal(Signal::KILL);
    let mut logs = dr.logs();
    dr.run("INSERT INTO marks VALUES (2000000, now())");
    dr.run("SELECT pg_switch_wal()");
    dr.run("INSERT INTO marks VALUES (2000001, now())");
    store_until(&mut logs, dr.clock(), dr.flushed());
    let seen = wait(dr.store.look()).unwrap();
    assert_eq!((seen.timeline, seen.epoch), (2, Epoch(2)));
    let held = Held::load(&dr.store, &dr.repository, seen.cluster, seen.size).unwrap();
    let reader = Reader::open(&dr.repository).unwrap();
    let line = held.line(&reader, 2).unwrap().unwrap();
    let from = super::super::base::Base::of(base).unwrap().end;
    assert_eq!(held.gaps(&line, from), []);
    let brought = dr.bring(&Until::End, "end").unwrap();
    assert_eq!(brought.epoch, Epoch(2));
    let found = dr.marks_in("end");
    assert!(marks.iter().all(|mark| found.contains(&mark.id)));
    assert!(!marks.is_empty() && found.contains(&2_000_001) && !found.contains(&1_000_000));
    // Home again: a fresh agent at the first site takes up behind the second one's log.
    drop(logs);
    assert_eq!(dr.store.instance.home.site, site("dr"));
    now(cluster::stop(&dr.spec));
}
