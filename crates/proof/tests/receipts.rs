//! Receipts against a golden file, and against everything that a forger might try.
#![allow(clippy::unwrap_used, reason = "a test")]

use mainstay_proof::{
    Broken, Claim, Evidence, Flaw, Hash, Head, Level, Matched, PublicKey, RECEIPT_DOMAIN, Range,
    Receipt, SignedReceipt, Signer, Verifier, issue, link,
};
use proptest::prelude::*;

const GOLDEN_1: &str = include_str!("golden/receipts-1.jsonl");
const GOLDEN_2: &str = include_str!("golden/receipts-2.jsonl");

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
        point: None,
        bytes: 4096,
        evidence: Evidence::ReadBack(Matched::new(hash, hash).unwrap()),
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

/// The same restore point, proven further.
fn proven(claim: Claim, level: Level) -> Claim {
    let Evidence::ReadBack(matched) = claim.evidence else {
        return claim;
    };
    let evidence = match level {
        Level::Stored => Evidence::Stored,
        Level::ReadBack => Evidence::ReadBack(matched),
        Level::Restored => Evidence::Restored(matched),
        Level::Checked => Evidence::Checked {
            matched,
            checks: vec!["boots".to_owned(), "select count(*) from orders".to_owned()],
        },
    };
    Claim {
        point: Some("9f2c".to_owned()),
        evidence,
        ..claim
    }
}

fn good() -> Vec<String> {
    lines(vec![
        proven(claim("ledger", None, "lsn 10", 1), Level::Stored),
        claim("ledger", None, "lsn 10", 1),
        claim("files", None, "digest a", 1),
        claim("ledger", Some("lsn 10"), "lsn 20", 1),
        claim("ledger", Some("lsn 20"), "lsn 35", 2),
        proven(claim("ledger", None, "lsn 10", 1), Level::Restored),
        proven(claim("ledger", None, "lsn 10", 1), Level::Checked),
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
fn the_golden_files_are_still_read_and_the_newest_is_still_written() {
    assert_eq!(good().join("\n") + "\n", GOLDEN_2);
    let read = |golden: &str| -> Vec<Receipt> {
        let mut verifier = Verifier::new([signer().public()]);
        let lines = golden.lines();
        lines.map(|line| verifier.next(line).unwrap()).collect()
    };
    let old = read(GOLDEN_1);
    assert_eq!(old[3].range.to, "lsn 35");
    assert!(
        old.iter()
            .all(|old| old.level == Level::ReadBack && old.sha256.is_some())
    );
    let new = read(GOLDEN_2);
    assert_eq!(new.len(), 8);
    assert_eq!(new[0].level, Level::Stored);
    assert_eq!(new[0].sha256, None);
    assert_eq!(new[6].checks.len(), 2);
}

#[test]
fn a_level_without_its_evidence_proves_nothing() {
    // The signer itself was made to lie: a text that claims a restore and names no hash.
    let text = good()[5].clone();
    let signed: SignedReceipt = serde_json::from_str(&text).unwrap();
    let hash = Hash::of(b"lsn 10").to_string();
    let hollow = signed.receipt.replace(&format!("\"{hash}\""), "null");
    assert_ne!(hollow, signed.receipt);
    let hollow = hollow.replace("\"seq\":6", "\"seq\":1");
    let receipt: Receipt = serde_json::from_str(&hollow).unwrap();
    let none = Hash::NONE;
    let hollow = hollow.replace(&receipt.previous.to_string(), &none.to_string());
    let hash = link(RECEIPT_DOMAIN, &none, 1, hollow.as_bytes());
    let line = SignedReceipt {
        receipt: hollow,
        hash,
        signature: signer().sign(&hash.0),
    };
    let line = serde_json::to_string(&line).unwrap();
    assert_eq!(flaw(&[line]), Some((1, Flaw::Evidence(Level::Restored))));
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
fn restore_points_are_proven_in_any_order() {
    let old = || claim("ledger", None, "lsn 10", 1);
    let new = || claim("ledger", None, "lsn 90", 7);
    let chain = lines(vec![
        proven(new(), Level::Stored),
        proven(new(), Level::ReadBack),
        proven(old(), Level::Stored),
        proven(old(), Level::ReadBack),
        claim("ledger", None, "lsn 95", 7),
    ]);
    assert_eq!(flaw(&chain), None);
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
    assert_ne!(verifier.head().seq, 8);
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
    fn i30_no_flipped_bit_goes_unseen(entry in 0..8_usize, at in any::<prop::sample::Index>(), bit in 0..7_u8) {
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
