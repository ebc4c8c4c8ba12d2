//! Receipts against a golden file, and against everything that a forger might try.
#![allow(clippy::unwrap_used, reason = "a test")]

use mainstay_proof::{
    Broken, Claim, Flaw, Hash, Head, Matched, PublicKey, Range, SignedReceipt, Signer, Verifier,
    issue,
};
use proptest::prelude::*;

const GOLDEN: &str = include_str!("golden/receipts-1.jsonl");

fn signer() -> Signer {
    Signer::from_secret(&[7; 32])
}

fn claim(store: &str, after: Option<&str>, to: &str, epoch: u64) -> Claim {
    let hash = Hash::of(to.as_bytes());
    Claim {
        system: "orders".to_owned(),
        store: store.to_owned(),
        epoch,
        range: Range {
            after: after.map(str::to_owned),
            to: to.to_owned(),
        },
        bytes: 4096,
        matched: Matched::new(hash, hash).unwrap(),
        destination: "offsite".to_owned(),
        at: 1_700_000_000_000_000,
    }
}

fn lines(claims: Vec<Claim>) -> Vec<String> {
    let (signer, mut head) = (signer(), Head::default());
    let mut issued = Vec::new();
    for claim in claims {
        let receipt = issue(&signer, &mut head, claim).unwrap();
        issued.push(serde_json::to_string(&receipt).unwrap());
    }
    issued
}

fn good() -> Vec<String> {
    lines(vec![
        claim("ledger", None, "lsn 10", 1),
        claim("files", None, "digest a", 1),
        claim("ledger", Some("lsn 10"), "lsn 20", 1),
        claim("ledger", Some("lsn 20"), "lsn 35", 2),
        claim("files", None, "digest b", 2),
    ])
}

fn flaw(lines: &[String]) -> Option<(u64, Flaw)> {
    let mut verifier = Verifier::new([signer().public()]);
    lines
        .iter()
        .find_map(|line| verifier.next(line).err())
        .map(|bad| (bad.entry, bad.flaw))
}

#[test]
fn the_golden_file_is_still_read_and_still_written() {
    assert_eq!(good().join("\n") + "\n", GOLDEN);
    let mut verifier = Verifier::new([signer().public()]);
    let receipts: Vec<_> = GOLDEN
        .lines()
        .map(|line| verifier.next(line).unwrap())
        .collect();
    assert_eq!(receipts[3].range.to, "lsn 35");
    assert_eq!(verifier.head().seq, 5);
}

#[test]
fn i11_bytes_that_differ_get_no_receipt() {
    assert!(Matched::new(Hash::of(b"sent"), Hash::of(b"read")).is_err());
}

#[test]
fn i12_a_gap_and_an_older_epoch_are_found() {
    let first = || claim("ledger", None, "lsn 10", 2);
    let gap = lines(vec![first(), claim("ledger", Some("lsn 11"), "lsn 20", 2)]);
    assert!(matches!(flaw(&gap), Some((2, Flaw::Gap { .. }))));
    let nothing = lines(vec![claim("ledger", Some("lsn 11"), "lsn 20", 2)]);
    assert!(matches!(
        flaw(&nothing),
        Some((1, Flaw::Gap { expected: None, .. }))
    ));
    let back = lines(vec![first(), claim("ledger", Some("lsn 10"), "lsn 20", 1)]);
    assert_eq!(
        flaw(&back),
        Some((
            2,
            Flaw::Epoch {
                before: 2,
                found: 1
            }
        ))
    );
    let other = lines(vec![first(), claim("files", None, "digest", 1)]);
    assert_eq!(flaw(&other), None);
}

#[test]
fn i30_what_is_left_out_swapped_or_signed_by_another_is_found() {
    let mut left_out = good();
    left_out.remove(1);
    assert_eq!(
        flaw(&left_out),
        Some((2, Flaw::Chain(Broken::Sequence { found: 3 })))
    );
    let mut swapped = good();
    swapped.swap(2, 3);
    assert_eq!(
        flaw(&swapped),
        Some((3, Flaw::Chain(Broken::Sequence { found: 4 })))
    );
    let forger = Signer::from_secret(&[8; 32]);
    let fake = issue(&forger, &mut Head::default(), claim("ledger", None, "x", 1)).unwrap();
    let line = serde_json::to_string(&fake).unwrap();
    assert_eq!(flaw(&[line]), Some((1, Flaw::Key(forger.public().id()))));
    // The forger claims the trusted key's name and signs with another.
    let mut claimed: SignedReceipt = serde_json::from_str(&good()[0]).unwrap();
    claimed.signature = forger.sign(&claimed.hash.0);
    let line = serde_json::to_string(&claimed).unwrap();
    assert_eq!(flaw(&[line]), Some((1, Flaw::Signature)));
    // A chain that was cut is whole; only its head tells.
    let mut verifier = Verifier::new([signer().public()]);
    verifier.next(&good()[0]).unwrap();
    assert_ne!(verifier.head().seq, 5);
}

#[test]
fn weak_and_broken_keys_are_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    assert!(PublicKey::from_bytes(&identity).is_err());
    assert!("00".parse::<PublicKey>().is_err());
    let key = signer().public();
    assert_eq!(key.to_string().parse::<PublicKey>().unwrap(), key);
    assert!(!format!("{:?}", signer()).contains("0707"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i30_no_flipped_bit_goes_unseen(entry in 0..5_usize, at in any::<prop::sample::Index>(), bit in 0..7_u8) {
        let mut lines = good();
        let mut bytes = lines[entry].clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assume!(std::str::from_utf8(&bytes).is_ok());
        let changed = String::from_utf8(bytes).unwrap();
        // Hex digits have two cases, and JSON may name one character in two ways: the same receipt is no forgery.
        let same = serde_json::from_str::<SignedReceipt>(&changed).ok()
            == serde_json::from_str::<SignedReceipt>(&lines[entry]).ok();
        prop_assume!(!same);
        lines[entry] = changed;
        let found = flaw(&lines);
        prop_assert!(found.is_some_and(|(number, _)| number == entry as u64 + 1));
    }
}
