//! The journal's rules: damage is named, a changed runbook is refused, only a torn tail beyond the durable head is cut.

use crate::world::{Host, World, created, name, small_move};
use mainstay_engine::{
    Bugs, Created, Damage, JOURNAL_DOMAIN, JOURNAL_VERSION, Run, RunPhase, Seq, read_log,
};
use mainstay_model::{ExecutorEpoch, Pinned, Runbook, Timestamp};
use proptest::prelude::*;

const GOLDEN_BOOK: &str = include_str!("golden/runbook-1.json");
const GOLDEN: &str = include_str!("golden/journal-1.hex");

/// A finished journal of the small move.
fn journal() -> Vec<Vec<u8>> {
    let mut host = Host::new(&small_move(), World::default());
    assert_eq!(host.rest(), RunPhase::Succeeded);
    host.journal
}

fn replay(book: &Runbook, journal: &[Vec<u8>], bugs: Bugs) -> Result<Run, Damage> {
    Run::replay_with(book.clone(), journal.iter().map(Vec::as_slice), bugs)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().collect();
    let pairs = digits.chunks(2).map(|pair| pair.iter().collect::<String>());
    pairs
        .map(|pair| u8::from_str_radix(&pair, 16).unwrap())
        .collect()
}

#[test]
fn the_golden_journal_is_still_read_and_still_written() {
    let book: Runbook = serde_json::from_str(GOLDEN_BOOK).unwrap();
    assert!(
        book == small_move(),
        "{}",
        serde_json::to_string(&small_move()).unwrap()
    );
    let written: String = journal().iter().map(|entry| hex(entry) + "\n").collect();
    assert!(
        written == GOLDEN,
        "the journal's form has changed:\n{written}"
    );
    let stored: Vec<_> = GOLDEN.lines().map(unhex).collect();
    let run = replay(&book, &stored, Bugs::NONE).unwrap();
    assert_eq!(run.phase(), RunPhase::Succeeded);
    // The bytes that were stored pin it, whatever a later version would write.
    let pinned = Pinned::read(GOLDEN_BOOK.trim_end().as_bytes()).unwrap();
    let run = Run::replay(pinned, stored.iter().map(Vec::as_slice)).unwrap();
    assert_eq!(run.phase(), RunPhase::Succeeded);
}

#[test]
fn i19_a_runbook_is_pinned_by_the_bytes_that_are_stored() {
    // As an older version would have written it: the same runbook in other bytes.
    let stored = serde_json::to_vec_pretty(&small_move()).unwrap();
    let pinned = Pinned::read(&stored).unwrap();
    assert_eq!(*pinned.runbook, small_move());
    assert_ne!(pinned.hash, small_move().hash().unwrap());
    let created = Created {
        runbook: pinned.hash.clone(),
        ..created(&small_move())
    };
    let mut run = Run::create(pinned.clone(), created, Timestamp(1)).unwrap();
    let entries: Vec<_> = run.take_entries();
    let entries = || entries.iter().map(|entry| entry.bytes.as_slice());
    assert!(Run::replay(pinned, entries()).is_ok());
    let damage = Run::replay(small_move(), entries()).unwrap_err();
    assert!(matches!(damage, Damage::Runbook { .. }), "{damage}");
}

#[test]
fn i18_a_replay_is_the_run_itself() {
    let mut host = Host::new(&small_move(), World::default());
    while !host.run.resting().is_some_and(crate::world::is_over) && host.turn() {
        let again = replay(&small_move(), &host.journal, Bugs::NONE).unwrap();
        assert_eq!(again.head(), host.run.head());
        assert!(again.steps().eq(host.run.steps()));
        assert_eq!(again.next_wake(), host.run.next_wake());
    }
}

/// Ways to damage a journal, each with the number of the entry that must be named.
fn damaged() -> Vec<(&'static str, u64, Vec<Vec<u8>>)> {
    let good = journal();
    let mut edited = good.clone();
    let at = edited[4].len() - 70;
    edited[4][at] ^= 1;
    let mut hash = good.clone();
    let last = hash[4].len() - 1;
    hash[4][last] ^= 1;
    let mut left_out = good.clone();
    left_out.remove(4);
    let mut swapped = good.clone();
    swapped.swap(4, 5);
    let mut twice = good.clone();
    twice.insert(5, good[4].clone());
    let mut short = good.clone();
    short[4].pop();
    let mut long = good.clone();
    long[4].push(0);
    let mut newer = good.clone();
    newer[4][0] = 2;
    vec![
        ("edited", 5, edited),
        ("hash changed", 5, hash),
        ("left out", 5, left_out),
        ("swapped", 5, swapped),
        ("twice", 6, twice),
        ("cut short", 5, short),
        ("with bytes to spare", 5, long),
        ("of another version", 5, newer),
    ]
}

#[test]
fn i18_damage_is_detected_and_names_the_entry() {
    for (what, entry, journal) in damaged() {
        let damage = replay(&small_move(), &journal, Bugs::NONE).unwrap_err();
        assert_eq!(damage.entry(), Some(entry), "{what}: {damage}");
        assert!(damage.code().starts_with("journal-"), "{what}");
    }
    let nothing = replay(&small_move(), &[], Bugs::NONE).unwrap_err();
    assert_eq!(nothing, Damage::Empty);
}

#[test]
fn i18_a_whole_entry_that_cannot_have_happened_is_damage() {
    // Well chained, and still nonsense: an answer to an act that nobody recorded.
    let mut journal = vec![journal().remove(0)];
    let previous: [u8; 32] = journal[0][journal[0].len() - 32..].try_into().unwrap();
    let event =
        r#"{"acted":{"step":0,"direction":"forward","attempt":1,"outcome":{"unknown":"x"}}}"#;
    let mut entry = vec![JOURNAL_VERSION];
    entry.extend(u32::try_from(event.len()).unwrap().to_be_bytes());
    entry.extend(2_u64.to_be_bytes());
    entry.extend(1_000_000_i64.to_be_bytes());
    entry.extend(event.as_bytes());
    let hash = mainstay_proof::link(JOURNAL_DOMAIN, &mainstay_proof::Hash(previous), 2, &entry);
    entry.extend(previous);
    entry.extend(hash.0);
    journal.push(entry);
    let damage = replay(&small_move(), &journal, Bugs::NONE).unwrap_err();
    assert!(
        matches!(damage, Damage::Refused { entry: 2, .. }),
        "{damage}"
    );
}

#[test]
fn i19_a_changed_runbook_is_refused() {
    let mut changed = small_move();
    changed.steps[3].timeout = mainstay_model::Span::from_secs(11);
    let refused = replay(&changed, &journal(), Bugs::NONE).unwrap_err();
    assert_eq!(refused.code(), "runbook-changed");
    let created = crate::world::created(&small_move());
    let bad = Run::create(changed, created, mainstay_model::Timestamp(0)).unwrap_err();
    assert_eq!(bad.code(), "runbook-changed");
}

#[test]
fn i20_an_older_executor_cannot_take_over() {
    let mut host = Host::new(&small_move(), World::default());
    host.turn();
    for executor in [0, 1] {
        let event = mainstay_engine::Event::Resumed {
            executor: ExecutorEpoch(executor),
            by: name("ann"),
        };
        let refused = host.run.handle(&event, host.now).unwrap_err();
        assert_eq!(refused.code(), "old-executor");
        assert!(host.run.take_entries().is_empty());
    }
}

#[test]
fn i18_only_a_torn_tail_beyond_the_durable_head_is_cut() {
    let journal = journal();
    let whole: Vec<u8> = journal.concat();
    let count = journal.len() as u64;
    assert_eq!(read_log(&whole, Seq(count)).unwrap().entries, journal);
    let torn = &whole[..whole.len() - 10];
    let cut = read_log(torn, Seq(count - 1)).unwrap();
    assert_eq!(cut.entries.len() as u64, count - 1);
    assert_eq!(cut.end, whole.len() - journal.last().unwrap().len());
    // The same tear in what was said to be durable is damage.
    let damage = read_log(torn, Seq(count)).unwrap_err();
    assert_eq!(damage.entry(), Some(count));
    assert!(read_log(&[], Seq(1)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i18_no_flipped_bit_goes_unseen(entry in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut stored: Vec<_> = GOLDEN.lines().map(unhex).collect();
        let entry = entry.index(stored.len());
        let at = at.index(stored[entry].len());
        stored[entry][at] ^= 1 << bit;
        let damage = replay(&small_move(), &stored, Bugs::NONE).unwrap_err();
        prop_assert_eq!(damage.entry(), Some(entry as u64 + 1));
    }
}

#[cfg(feature = "planted-bugs")]
#[test]
fn planted_journal_bugs_are_caught() {
    let named = |name| Bugs::named(name).unwrap();
    let unchecked = damaged()
        .into_iter()
        .any(|(_, _, journal)| replay(&small_move(), &journal, named("journal-unchecked")).is_ok());
    assert!(unchecked, "journal-unchecked");
    let whole: Vec<u8> = journal().concat();
    let torn = &whole[..whole.len() - 10];
    let all = Seq(journal().len() as u64);
    assert!(mainstay_engine::read_log_with(torn, all, named("journal-cuts-anything")).is_ok());
    let mut changed = small_move();
    changed.steps[3].timeout = mainstay_model::Span::from_secs(11);
    for name in ["runbook-unpinned", "runbook-pinned-by-length"] {
        assert!(replay(&changed, &journal(), named(name)).is_ok(), "{name}");
    }
    let mut host = Host::with(
        &small_move(),
        crate::world::created(&small_move()),
        World::default(),
        named("old-executor-resumes"),
    );
    let event = mainstay_engine::Event::Resumed {
        executor: ExecutorEpoch(1),
        by: name("ann"),
    };
    assert!(host.run.handle(&event, host.now).is_ok());
}
