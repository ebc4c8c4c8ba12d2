//! Scrubbing goes round, remembers, and names what is damaged and what that takes away.

use std::{sync::Arc, time::Duration};

use mainstay_backup::{Pace, Quiet, ScrubBudget, ScrubMemory, scrub};
use mainstay_storage::{Failure, Faulty, FaultyOp, Storage};

use crate::fixture::{Fixture, checked, flip, pack_name};

const ONE: ScrubBudget = ScrubBudget {
    most: Some(1),
    pace: None,
};

#[test]
fn a_small_budget_goes_round_all_packs() {
    let fixture = Fixture::new();
    let packs = fixture.packs();
    assert!(packs.len() >= 6, "{}", packs.len());
    let mut memory = ScrubMemory::default();
    for turn in 1..=packs.len() as u64 {
        let done = scrub(&fixture.repository, &mut memory, ONE, &Quiet).unwrap();
        assert!(done.is_sound());
        assert_eq!((done.packs, done.packs_read), (packs.len() as u64, 1));
        assert_eq!(done.never_read, packs.len() as u64 - turn);
        assert!(done.bytes_read > 0 && done.bytes_read < done.bytes);
    }
    // Nothing was changed by it.
    fixture.assert_whole(&fixture.repository);
    assert_eq!(checked(&fixture.repository).findings, []);
    // From here on the one that was read first is the stalest, and is read again.
    let read = |memory: &ScrubMemory| packs.iter().map(|id| memory.found_whole(id)).min();
    let before = read(&memory).unwrap();
    let done = scrub(&fixture.repository, &mut memory, ONE, &Quiet).unwrap();
    assert!(read(&memory).unwrap() > before);
    assert_eq!(done.stalest, read(&memory).unwrap());
}

#[test]
fn a_pace_counts_what_is_overdue() {
    let fixture = Fixture::new();
    let pace = Pace {
        within: Duration::from_secs(3600),
        next_in: Duration::from_secs(1),
    };
    let budget = |most| ScrubBudget {
        most,
        pace: Some(pace),
    };
    let mut memory = ScrubMemory::default();
    let some = scrub(&fixture.repository, &mut memory, budget(Some(1)), &Quiet).unwrap();
    assert_eq!(some.overdue, some.packs - 1);
    let rest = scrub(&fixture.repository, &mut memory, budget(None), &Quiet).unwrap();
    assert_eq!((rest.packs_read, rest.overdue), (some.packs - 1, 0));
    // Nothing is due; the share of a second in an hour is less than one pack.
    let none = scrub(&fixture.repository, &mut memory, budget(None), &Quiet).unwrap();
    assert_eq!((none.packs_read, none.overdue), (1, 0));
}

#[test]
fn a_damaged_pack_is_named_with_what_it_takes_until_it_is_right_again() {
    let fixture = Fixture::new();
    let mut named = 0;
    for pack in fixture.packs() {
        let right = Arc::new(fixture.copy());
        let mut memory = ScrubMemory::default();
        let all = ScrubBudget::default();
        let repository = fixture.on(&right);
        assert!(
            scrub(&repository, &mut memory, all, &Quiet)
                .unwrap()
                .is_sound()
        );
        flip(&*right, &pack_name(pack), 20);
        let found = loop {
            let done = scrub(&repository, &mut memory, ONE, &Quiet).unwrap();
            if !done.is_sound() {
                break done;
            }
        };
        assert_eq!(found.damaged.keys().collect::<Vec<_>>(), [&pack]);
        assert_eq!(memory.found_whole(&pack), None);
        named += found.affected.len();
        // It is not forgotten while others are read, and its paths neither.
        let next = scrub(&repository, &mut memory, ONE, &Quiet).unwrap();
        assert_eq!(
            (next.damaged, next.affected),
            (found.damaged, found.affected)
        );
        // Right again, and told so.
        flip(&*right, &pack_name(pack), 20);
        memory.forget([&pack]);
        assert!(
            scrub(&repository, &mut memory, ONE, &Quiet)
                .unwrap()
                .is_sound()
        );
        assert!(memory.found_whole(&pack).is_some());
        // Gone, or of another length: seen without being read.
        right.delete(&[pack_name(pack)]).unwrap();
        let gone = scrub(&repository, &mut memory, ONE, &Quiet).unwrap();
        assert_eq!(gone.damaged.keys().collect::<Vec<_>>(), [&pack]);
    }
    assert!(named >= fixture.packs().len(), "{named}");
}

#[test]
fn what_cannot_be_read_just_now_is_not_damaged_and_not_fresh() {
    let fixture = Fixture::new();
    let mut failed = 0;
    for number in 0.. {
        let faulty = Faulty::new(fixture.copy(), FaultyOp::Read, number, Failure::Before);
        let faulty = Arc::new(faulty);
        let repository = fixture.on(&faulty);
        let mut memory = ScrubMemory::default();
        let done = scrub(&repository, &mut memory, ScrubBudget::default(), &Quiet);
        if faulty.calls() <= number {
            assert!(done.unwrap().is_sound());
            break;
        }
        let Ok(done) = done else { continue };
        assert!(!done.is_sound(), "{number}");
        if !done.unreadable.is_empty() {
            failed += 1;
            assert!(done.damaged.is_empty());
            assert_eq!(done.never_read, 1);
        }
    }
    assert_eq!(failed, fixture.packs().len());
}

#[test]
fn a_memory_of_another_repository_counts_for_nothing() {
    let (one, two) = (Fixture::new(), Fixture::new());
    let mut memory = ScrubMemory::default();
    scrub(&one.repository, &mut memory, ScrubBudget::default(), &Quiet).unwrap();
    let done = scrub(&two.repository, &mut memory, ONE, &Quiet).unwrap();
    assert_eq!(done.never_read, done.packs - 1);
}
