//! Mending: every damage that another copy can mend is mended, what cannot is named, and no crash on the way makes
//! anything worse.

use std::{collections::BTreeSet, sync::Arc};

use mainstay_backup::{
    BackupError, FileKind, Id, MendPlan, Mended, Quiet, Repository, mend, plan_mend,
};
use mainstay_storage::{Failure, Faulty, FaultyOp, Memory, ObjectName, Storage};

use crate::{
    FAULTS,
    fixture::{Fixture, bytes, checked, flip, ids, names, pack_name},
    with_every_fault,
};

fn mended(
    repository: &Repository,
    other: Option<&Repository>,
    suspects: &BTreeSet<Id>,
) -> Result<(MendPlan, Mended), BackupError> {
    let plan = plan_mend(repository, other, suspects, &Quiet)?;
    let done = mend(repository, other, suspects, &plan, &Quiet)?;
    Ok((plan, done))
}

/// Checks, mends what was found, and answers the plan.
fn mend_found(repository: &Repository, other: Option<&Repository>) -> (MendPlan, Mended) {
    let found = checked(repository);
    mended(repository, other, &found.damaged_packs).unwrap()
}

type Damage = fn(&dyn Storage, &ObjectName);

/// Every way to damage one file.
fn damages() -> [(&'static str, Damage); 4] {
    [
        ("flipped", |held, name| flip(held, name, 20)),
        ("at its end", |held, name| {
            let length = bytes(held, name).len();
            flip(held, name, length - 1);
        }),
        ("cut", |held, name| {
            let half = bytes(held, name);
            held.write(name, &half[..half.len() / 2]).unwrap();
        }),
        ("gone", |held, name| {
            held.delete(std::slice::from_ref(name)).unwrap();
        }),
    ]
}

#[test]
fn any_damaged_file_is_taken_from_another_copy() {
    let fixture = Fixture::new();
    let copy = Arc::new(fixture.copy());
    let other = fixture.on(&copy);
    for folder in ["data", "index", "snapshots", "keys"] {
        for name in names(&*fixture.held, folder) {
            for (how, damage) in damages() {
                if how == "gone" && (folder == "snapshots" || folder == "keys") {
                    // It may have been removed on purpose.
                    continue;
                }
                let held = Arc::new(fixture.copy());
                damage(&*held, &name);
                let here = fixture.on(&held);
                let (plan, done) = mend_found(&here, Some(&other));
                assert!(plan.mends_all(), "{name} {how}: {plan:?}");
                assert!(!plan.is_empty(), "{name} {how}");
                // A lost index is written anew instead: nobody knows what it was called.
                if how != "gone" || folder != "index" {
                    assert_eq!(bytes(&*held, &name), bytes(&*copy, &name));
                    assert_eq!(done.kept.len(), usize::from(how != "gone"));
                }
                for kept in &done.kept {
                    assert_ne!(bytes(&*held, kept), bytes(&*copy, &name));
                }
                assert_eq!(checked(&here).findings, [], "{name} {how}");
                fixture.assert_whole(&here);
            }
        }
    }
}

#[test]
fn a_config_that_is_damaged_or_gone_is_taken_from_another_copy() {
    let fixture = Fixture::new();
    let copy = Arc::new(fixture.copy());
    let config = ObjectName::new("config").unwrap();
    for (how, damage) in damages() {
        let held = Arc::new(fixture.copy());
        damage(&*held, &config);
        let storage: Arc<dyn Storage> = Arc::<Memory>::clone(&held);
        let password = crate::fixture::PASSWORD.as_bytes();
        assert!(
            Repository::open(Arc::clone(&storage), password).is_err(),
            "{how}"
        );
        // It cannot be opened here, so it is opened there.
        let other = Repository::open(Arc::<Memory>::clone(&copy), password).unwrap();
        let here = other.on(Arc::clone(&storage));
        let (plan, _) = mended(&here, Some(&other), &BTreeSet::new()).unwrap();
        assert!(plan.mends_all(), "{how}: {plan:?}");
        fixture.assert_whole(&Repository::open(storage, password).unwrap());
    }
}

#[test]
fn without_another_copy_what_can_be_read_is_saved_and_what_is_lost_is_named() {
    let fixture = Fixture::new();
    let (mut lost, mut saved) = (0, 0);
    for pack in fixture.packs() {
        for (how, damage) in damages() {
            let held = Arc::new(fixture.copy());
            damage(&*held, &pack_name(pack));
            let here = fixture.on(&held);
            let before = checked(&here);
            let (plan, done) = mend_found(&here, None);
            let salvage = &plan.salvage[&pack];
            saved += salvage.readable.len();
            assert_eq!(done.stored.blobs, salvage.readable.len() as u64);
            if how == "at its end" {
                // Only the list of its blobs is broken: nothing is lost.
                assert!(
                    plan.mends_all() && salvage.unreadable.is_empty(),
                    "{plan:?}"
                );
            }
            lost += plan.lost.len();
            let after = checked(&here);
            assert!(
                after.damaged_packs.is_empty(),
                "{how}: {:?}",
                after.findings
            );
            assert_eq!(after.affected, plan.lost, "{how}");
            assert!(
                after
                    .affected
                    .iter()
                    .all(|one| before.affected.contains(one))
            );
            if plan.mends_all() {
                assert_eq!(after.findings, []);
                fixture.assert_whole(&here);
            }
            // What is damaged is kept, if there is anything of it.
            assert_eq!(done.kept.len(), usize::from(how != "gone"), "{how}");
        }
    }
    assert!(lost > 5 && saved > 5, "{lost} {saved}");
}

#[test]
fn the_next_backup_brings_back_what_was_lost_if_the_source_still_has_it() {
    let mut fixture = Fixture::new();
    for pack in fixture.packs() {
        flip(&*fixture.held, &pack_name(pack), 20);
    }
    let (plan, _) = mend_found(&fixture.repository.clone(), None);
    assert!(!plan.lost.is_empty());
    fixture.back_up_unchanged();
    // The newest two are of the same source; the others lost what is gone from it.
    let newest: Vec<Id> = fixture.made[2..].iter().map(|(id, _)| *id).collect();
    let after = checked(&fixture.repository);
    assert!(
        after
            .affected
            .iter()
            .all(|one| !newest.contains(&one.snapshot)),
        "{:?}",
        after.affected
    );
    assert!(!after.affected.is_empty());
}

#[test]
fn two_copies_damaged_in_different_places_mend_each_other() {
    let fixture = Fixture::new();
    let (one, two) = (Arc::new(fixture.copy()), Arc::new(fixture.copy()));
    let mut places = 0;
    for pack in fixture.packs() {
        let name = pack_name(pack);
        // The first blob here, the list there.
        flip(&*one, &name, 3);
        let length = bytes(&*two, &name).len();
        flip(&*two, &name, length - 1);
        places += 1;
    }
    let (here, there) = (fixture.on(&one), fixture.on(&two));
    let (plan, _) = mend_found(&here, Some(&there));
    assert!(plan.mends_all(), "{plan:?}");
    assert_eq!(plan.salvage.len(), places);
    assert!(plan.fetch.len() >= places, "{plan:?}");
    assert_eq!(checked(&here).findings, []);
    fixture.assert_whole(&here);
}

#[test]
fn lost_indexes_are_written_from_the_packs_themselves() {
    let fixture = Fixture::new();
    for keep in [0, 1] {
        let held = Arc::new(fixture.copy());
        let mut lost = names(&*held, "index");
        lost.drain(..keep);
        held.delete(&lost).unwrap();
        let here = fixture.on(&held);
        assert!(!checked(&here).is_sound());
        let (plan, done) = mend_found(&here, None);
        assert!(plan.mends_all() && !plan.list.is_empty(), "{plan:?}");
        assert_eq!(done.stored.packs, 0);
        assert_eq!(checked(&here).findings, []);
        fixture.assert_whole(&here);
    }
}

#[test]
fn what_is_sound_is_left_alone_and_another_repository_is_refused() {
    let (fixture, stranger) = (Fixture::new(), Fixture::new());
    let all: BTreeSet<Id> = fixture.packs().into_iter().collect();
    let before = names(&*fixture.held, "data");
    let (plan, done) = mended(&fixture.repository, None, &all).unwrap();
    assert!(plan.is_empty() && plan.mends_all());
    assert_eq!(
        (done, names(&*fixture.held, "data")),
        (Mended::default(), before)
    );
    let refused = plan_mend(
        &fixture.repository,
        Some(&stranger.repository),
        &all,
        &Quiet,
    );
    assert_eq!(refused.unwrap_err().code(), "repository-not-a-copy");
}

#[test]
fn a_plan_that_does_not_hold_any_more_is_refused() {
    let fixture = Fixture::new();
    let pack = fixture.packs()[0];
    flip(&*fixture.held, &pack_name(pack), 20);
    let suspects = checked(&fixture.repository).damaged_packs;
    let plan = plan_mend(&fixture.repository, None, &suspects, &Quiet).unwrap();
    flip(&*fixture.held, &pack_name(pack), 20);
    let refused = mend(&fixture.repository, None, &suspects, &plan, &Quiet);
    assert_eq!(refused.unwrap_err().code(), "mend-refused");
    assert_eq!(checked(&fixture.repository).findings, []);
}

#[test]
fn mending_survives_every_fault() {
    let fixture = Fixture::new();
    let copy = Arc::new(fixture.copy());
    let other = fixture.on(&copy);
    // A pack, an index and a snapshot that the other has; a pack that neither has whole; a lost index.
    let packs = fixture.packs();
    flip(&*fixture.held, &pack_name(packs[0]), 20);
    flip(&*fixture.held, &pack_name(packs[1]), 20);
    let end = bytes(&*copy, &pack_name(packs[1])).len() - 1;
    flip(&*copy, &pack_name(packs[1]), end);
    for (folder, number) in [("index", 0), ("snapshots", 1)] {
        flip(&*fixture.held, &names(&*fixture.held, folder)[number], 20);
    }
    fixture
        .held
        .delete(&names(&*fixture.held, "index")[1..2])
        .unwrap();
    let suspects: BTreeSet<Id> = packs[..2].iter().copied().collect();
    for fault in FAULTS {
        let mut failed = 0;
        with_every_fault(&fixture.held, fault, |number, faulty, after| {
            let faulty = fixture.repository.on(faulty);
            failed += u64::from(mended(&faulty, Some(&other), &suspects).is_err());
            let left = fixture.on(&after.container());
            // It goes on where it was, whatever was half done.
            let mut again = suspects.clone();
            again.extend(checked(&left).damaged_packs);
            let (plan, _) = mended(&left, Some(&other), &again).unwrap();
            assert!(plan.mends_all(), "{fault:?} {number}: {plan:?}");
            let after = checked(&left);
            assert!(after.is_sound(), "{fault:?} {number}: {:?}", after.findings);
            // Everything was read and proven; bringing it back as well costs a disk's time.
            if number % 7 == 0 {
                fixture.assert_whole(&left);
            }
        });
        assert!(failed > 0, "{fault:?}: {failed}");
    }
}

#[test]
fn restic_finds_nothing_wrong_after_mending_and_after_a_crash_at_any_write() {
    let Some((fixture, restic, local)) = crate::on_disk() else {
        return;
    };
    let pack = fixture.packs()[0];
    let name = FileKind::Pack.name(pack).unwrap();
    let suspects: BTreeSet<Id> = [pack].into();
    for number in 0.. {
        assert!(number < 50, "mending never ends");
        local.restore(&fixture.held);
        // Only the list of its blobs is broken: everything can be saved without another copy.
        let end = bytes(&*fixture.held, &name).len() - 1;
        flip(&local.open(), &name, end);
        let crashing = Faulty::new(local.open(), FaultyOp::Write, number, Failure::Gone);
        let crashing = fixture.repository.on(Arc::new(crashing));
        let done = mended(&crashing, None, &suspects);
        let here = fixture.repository.on(Arc::new(local.open()));
        if done.is_err() {
            mended(&here, None, &suspects).unwrap();
        }
        let text = restic.run(&["--no-lock", "check", "--read-data"]);
        assert!(text.contains("no errors were found"), "{number}: {text}");
        fixture.assert_whole(&here);
        if done.is_ok() {
            assert!(number > 4, "{number}");
            break;
        }
    }
    restic.check();
    assert!(!ids(&local.open(), "data").contains(&pack));
}
