//! Copies of a repository: whole, resumable, and never claiming more than they hold.

use std::{collections::BTreeSet, sync::Arc};

use mainstay_backup::{Id, Quiet, Repository, ScrubMemory, mirror};
use mainstay_storage::{Failure, Faulty, FaultyOp, Local, Memory, ObjectName, Storage};

use crate::{
    FAULTS,
    fixture::{Fixture, PASSWORD, checked, flip, ids, names, pack_name},
    program::Restic,
    with_every_fault,
};

#[test]
fn a_copy_opens_by_itself_and_a_second_run_copies_only_what_is_new() {
    let mut fixture = Fixture::new();
    let copy = Arc::new(Memory::default());
    let storage = || -> Arc<dyn Storage> { Arc::<Memory>::clone(&copy) };
    let mut memory = ScrubMemory::default();
    let mut run =
        |fixture: &Fixture| mirror(&fixture.repository, storage(), &mut memory, &Quiet).unwrap();
    let first = run(&fixture);
    assert!(first.is_whole());
    assert_eq!(
        (first.packs, first.snapshots),
        (fixture.packs().len() as u64, 3)
    );
    assert_eq!(run(&fixture).packs_there, first.packs);
    let opened = Repository::open(storage(), PASSWORD.as_bytes()).unwrap();
    assert_eq!(checked(&opened).findings, []);
    fixture.assert_whole(&opened);
    fixture.back_up(7);
    let more = run(&fixture);
    assert_eq!(
        (more.packs, more.packs_there, more.snapshots),
        (2, first.packs, 1)
    );
    // What the first one forgot stays in the second.
    let (gone, _) = fixture.made[0];
    fixture.repository.forget(&[gone]).unwrap();
    assert_eq!(run(&fixture).only_there, [gone].into());
    fixture.assert_whole(&opened);
}

#[test]
fn restic_finds_nothing_wrong_with_a_copy() {
    let fixture = Fixture::new();
    let path = fixture.folder.path().join("copy");
    let Some(restic) = Restic::on(&path) else {
        return;
    };
    let local = Arc::new(Local::create(&path).unwrap());
    let done = mirror(
        &fixture.repository,
        local,
        &mut ScrubMemory::default(),
        &Quiet,
    )
    .unwrap();
    assert!(done.is_whole());
    restic.check();
    assert_eq!(restic.run(&["list", "snapshots"]).lines().count(), 3);
}

#[test]
fn what_is_damaged_here_is_named_and_what_needs_it_is_held_back() {
    let fixture = Fixture::new();
    let mut held_back = 0;
    for folder in ["data", "index", "snapshots"] {
        for name in names(&*fixture.held, folder) {
            let held = Arc::new(fixture.copy());
            flip(&*held, &name, 20);
            let copy = Arc::new(Memory::default());
            let run = |from: &Repository| {
                let mut memory = ScrubMemory::default();
                let to: Arc<dyn Storage> = Arc::<Memory>::clone(&copy);
                mirror(from, to, &mut memory, &Quiet).unwrap()
            };
            let done = run(&fixture.on(&held));
            assert_eq!(done.damaged.keys().collect::<Vec<_>>(), [&name]);
            held_back += done.held_back.len();
            let there = fixture.on(&copy);
            // The copy is sound: it only lacks what nobody could have copied.
            assert!(checked(&there).is_sound(), "{name}");
            let lacking = 3 - usize::try_from(done.snapshots).unwrap();
            assert_eq!(ids(&*copy, "snapshots").len(), 3 - lacking);
            assert!(lacking >= done.held_back.len());
            // Twice the same damage adds nothing.
            let before = names(&*copy, "index");
            run(&fixture.on(&held));
            assert_eq!(names(&*copy, "index"), before);
            // As soon as it is mended, the rest follows.
            assert!(run(&fixture.repository).is_whole());
            assert!(checked(&there).is_sound());
            fixture.assert_whole(&there);
        }
    }
    assert!(held_back > 6, "{held_back}");
}

#[test]
fn what_is_damaged_there_is_copied_again_unless_it_is_remembered_as_whole() {
    let fixture = Fixture::new();
    let copy = Arc::new(fixture.copy());
    let pack = fixture.packs()[0];
    flip(&*copy, &pack_name(pack), 20);
    let to = || -> Arc<dyn Storage> { Arc::<Memory>::clone(&copy) };
    let mut memory = ScrubMemory::default();
    let done = mirror(&fixture.repository, to(), &mut memory, &Quiet).unwrap();
    assert_eq!(done.packs, 1);
    assert_eq!(checked(&fixture.on(&copy)).findings, []);
    // Remembered: that is what scrubbing is for.
    flip(&*copy, &pack_name(pack), 20);
    let done = mirror(&fixture.repository, to(), &mut memory, &Quiet).unwrap();
    assert_eq!(done.packs, 0);
    memory.forget([&pack]);
    let done = mirror(&fixture.repository, to(), &mut memory, &Quiet).unwrap();
    assert_eq!(done.packs, 1);
}

#[test]
fn a_container_of_something_else_is_refused_and_left_alone() {
    let (fixture, stranger) = (Fixture::new(), Fixture::new());
    let mut memory = ScrubMemory::default();
    let headless = Arc::new(fixture.copy());
    headless
        .delete(&[ObjectName::new("config").unwrap()])
        .unwrap();
    for held in [Arc::new(stranger.copy()), headless] {
        let before = names(&*held, "keys").len() + names(&*held, "data").len();
        let to: Arc<dyn Storage> = Arc::<Memory>::clone(&held);
        let refused = mirror(&fixture.repository, to, &mut memory, &Quiet);
        assert_eq!(refused.unwrap_err().code(), "repository-not-a-copy");
        assert_eq!(
            names(&*held, "keys").len() + names(&*held, "data").len(),
            before
        );
    }
}

#[test]
fn a_copy_survives_every_fault_and_never_claims_more_than_it_holds() {
    let fixture = Fixture::new();
    for fault in FAULTS {
        let mut failed = 0;
        with_every_fault(&Memory::default(), fault, |number, faulty, after| {
            let mut memory = ScrubMemory::default();
            failed += u64::from(mirror(&fixture.repository, faulty, &mut memory, &Quiet).is_err());
            let left = after.container();
            let there = fixture.on(&left);
            if fault.1 != Failure::Torn {
                let claimed: BTreeSet<Id> = ids(&*left, "snapshots").into_iter().collect();
                let lost = checked(&there).affected;
                assert!(lost.is_empty(), "{fault:?} {number}: {claimed:?} {lost:?}");
            }
            // The process is gone, and with it what it had not written down.
            let to: Arc<dyn Storage> = Arc::<Memory>::clone(&left);
            let mut memory = ScrubMemory::default();
            let done = mirror(&fixture.repository, to, &mut memory, &Quiet).unwrap();
            assert!(done.is_whole(), "{fault:?} {number}: {done:?}");
            assert_eq!(checked(&there).findings, [], "{fault:?} {number}");
        });
        assert!(
            failed > 3 || fault.0 == FaultyOp::Delete,
            "{fault:?}: {failed}"
        );
    }
    // The first container may fail too.
    with_every_fault(
        &fixture.held,
        (FaultyOp::Any, Failure::Gone),
        |number, faulty, _| {
            let copy = Arc::new(Memory::default());
            let to: Arc<dyn Storage> = Arc::<Memory>::clone(&copy);
            let from = fixture.repository.on(faulty);
            let done = mirror(&from, to, &mut ScrubMemory::default(), &Quiet);
            if names(&*copy, "snapshots").is_empty() {
                // It claims nothing.
                assert!(done.is_err(), "{number}");
                return;
            }
            let there = fixture.on(&copy);
            assert!(checked(&there).affected.is_empty(), "{number}");
        },
    );
}

#[test]
fn a_copy_that_was_cut_short_goes_on_where_it_was() {
    let fixture = Fixture::new();
    let copy = Faulty::new(Memory::default(), FaultyOp::Write, 5, Failure::Gone);
    let copy = Arc::new(copy);
    let to: Arc<dyn Storage> = Arc::<Faulty<Memory>>::clone(&copy);
    let mut memory = ScrubMemory::default();
    assert!(mirror(&fixture.repository, to, &mut memory, &Quiet).is_err());
    let copied = copy.inner().clone();
    let packs = names(&copied, "data").len() as u64;
    assert!(packs > 0);
    copied.delete(&names(&copied, "locks")).unwrap();
    let done = mirror(&fixture.repository, Arc::new(copied), &mut memory, &Quiet).unwrap();
    assert_eq!(done.packs_there, packs);
    assert_eq!(done.packs + packs, fixture.packs().len() as u64);
}
