//! The ledger: several issuers, a process that dies in the middle of a line, and a chain that somebody shortened.

use std::{fs, io::Write, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use mainstay_control::{
    receipts::{Ledger, LedgerError, Wrong, verify},
    state::State,
};
use mainstay_proof::{Claim, Evidence, Hash, Matched, Range};

fn ledger(folder: &Path) -> Ledger {
    let state = Arc::new(State::open(&folder.join("state.db")).unwrap());
    Ledger::open(&folder.join("receipts"), state).unwrap()
}

fn claim(store: &str) -> Claim {
    let hash = Hash::of(store.as_bytes());
    Claim {
        system: "orders".to_owned(),
        store: store.to_owned(),
        epoch: 1,
        point: Some("9f2c".to_owned()),
        range: Range {
            after: None,
            to: "lsn 10".to_owned(),
        },
        bytes: 10,
        evidence: Evidence::ReadBack(Matched::new(hash, hash).unwrap()),
        destination: "offsite".to_owned(),
        at: 1_700_000_000_000_000,
    }
}

fn verified(ledger: &Ledger) -> usize {
    let chain = fs::File::open(ledger.chain()).unwrap();
    verify(chain, ledger.public(), None).unwrap().receipts.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_issuers_make_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let first = ledger(folder.path());
    let key = fs::metadata(folder.path().join("receipts/key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let ledger = ledger(folder.path());
        assert_eq!(ledger.public(), first.public());
        tasks.spawn(async move {
            for _ in 0..5 {
                ledger.issue(claim(&format!("s{number}"))).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(verified(&first), 40);
    assert_eq!(first.list().unwrap().len(), 40);
}

#[tokio::test]
async fn a_line_that_was_being_written_was_never_issued() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    ledger.issue(claim("a")).await.unwrap();
    let mut chain = fs::OpenOptions::new()
        .append(true)
        .open(ledger.chain())
        .unwrap();
    chain.write_all(b"{\"receipt\":\"{").unwrap();
    assert_eq!(verified(&ledger), 1);
    assert_eq!(ledger.list().unwrap().len(), 1);
    ledger.issue(claim("b")).await.unwrap();
    assert_eq!(verified(&ledger), 2);
}

#[tokio::test]
async fn what_is_no_chain_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    ledger.issue(claim("a")).await.unwrap();
    let mut text = fs::read(ledger.chain()).unwrap();
    text.extend(std::iter::repeat_n(b'x', 100_000));
    fs::write(ledger.chain(), &text).unwrap();
    let refused = ledger.issue(claim("b")).await.unwrap_err();
    assert_eq!(refused.code(), "receipts-unusable");
    assert_eq!(fs::read(ledger.chain()).unwrap(), text);
}

#[tokio::test]
async fn i30_a_chain_that_was_shortened_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    for _ in 0..3 {
        ledger.issue(claim("a")).await.unwrap();
    }
    let text = fs::read_to_string(ledger.chain()).unwrap();
    let short: String = text
        .lines()
        .take(2)
        .map(|line| line.to_owned() + "\n")
        .collect();
    let head = verify(text.as_bytes(), ledger.public(), None).unwrap().head;
    let wrong = verify(short.as_bytes(), ledger.public(), Some(head)).unwrap_err();
    assert!(matches!(
        wrong,
        Wrong::Short {
            found: 2,
            expected: 3
        }
    ));
    fs::write(ledger.chain(), short).unwrap();
    let refused = ledger.issue(claim("a")).await.unwrap_err();
    assert!(matches!(
        refused,
        LedgerError::Cut {
            found: 2,
            issued: 3,
            ..
        }
    ));
}

#[tokio::test]
async fn a_chain_that_is_ahead_of_the_state_goes_on() {
    // The process died between the receipt and the state that names it.
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    ledger.issue(claim("a")).await.unwrap();
    let state = State::open(&folder.path().join("state.db")).unwrap();
    state
        .set_receipts_head(mainstay_proof::Head::default())
        .await
        .unwrap();
    ledger.issue(claim("b")).await.unwrap();
    assert_eq!(verified(&ledger), 2);
    assert_eq!(state.receipts_head().unwrap().seq, 2);
}

#[test]
fn a_key_file_without_a_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("receipts")).unwrap();
    fs::write(folder.path().join("receipts/key"), "not a key").unwrap();
    let state = Arc::new(State::open(&folder.path().join("state.db")).unwrap());
    let refused = Ledger::open(&folder.path().join("receipts"), state).unwrap_err();
    assert_eq!(refused.code(), "receipts-key-unusable");
}
