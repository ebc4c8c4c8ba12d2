//! `receipts`: what a person and an auditor see, with and without the system.

use insta::assert_snapshot;

use crate::support::Desk;

/// A chain that was signed by a key that everyone may know.
const CHAIN: &str = include_str!("../../../proof/tests/golden/receipts-2.jsonl");
const KEY: &str = "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c";

#[test]
fn a_system_without_receipts_says_so() {
    let desk = Desk::with_plan();
    assert_snapshot!(desk.says(&["receipts", "list"]), @r"
    exit 0
    --- stdout
    no receipts yet
    ");
    let said = desk.says(&["receipts", "verify"]);
    assert!(said.starts_with("exit 0"), "{said}");
}

#[test]
fn an_auditor_needs_the_chain_and_the_key_alone() {
    let desk = Desk::empty();
    desk.write("chain.jsonl", CHAIN.as_bytes());
    desk.write("key.pub", KEY.as_bytes());
    let offline =
        |key: &str| desk.says(&["receipts", "verify", "--chain", "chain.jsonl", "--key", key]);
    assert_snapshot!(offline(KEY), @r"
    exit 0
    --- stdout
    8 receipts: every one is good
    key  ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c
    head 8 64e6e57e95633d43a704a17bf18ca3bc52b8c880d3d1e267baddea7faddd597f
    ");
    assert_eq!(offline("key.pub"), offline(KEY));
}

#[test]
fn what_was_changed_is_named() {
    let desk = Desk::empty();
    let changed = CHAIN.replacen("lsn 20", "lsn 99", 1);
    desk.write("chain.jsonl", changed.as_bytes());
    assert_snapshot!(desk.says(&["receipts", "verify", "--chain", "chain.jsonl", "--key", KEY]), @r"
    exit 1
    --- stderr
    error[receipt-damaged]: receipt 4 is not good: its bytes are not those that were written
      the chain is chain.jsonl
      no receipt from there on proves anything
    ");
}

#[test]
fn a_shortened_copy_is_found_by_its_number() {
    let desk = Desk::empty();
    let short: String = CHAIN
        .lines()
        .take(3)
        .map(|line| line.to_owned() + "\n")
        .collect();
    desk.write("chain.jsonl", short.as_bytes());
    assert_snapshot!(desk.says(&["receipts", "verify", "--chain", "chain.jsonl", "--key", KEY, "--at-least", "8"]), @r"
    exit 1
    --- stderr
    error[receipts-cut]: the chain ends at receipt 3, and its head names receipt 8
    ");
}

#[test]
fn a_copy_is_verified_with_a_key_that_was_given() {
    let desk = Desk::empty();
    desk.write("chain.jsonl", CHAIN.as_bytes());
    assert_snapshot!(desk.says(&["receipts", "verify", "--chain", "chain.jsonl"]), @r"
    exit 2
    --- stderr
    error: the following required arguments were not provided:
      --key <KEY>

    Usage: mainstay receipts verify --key <KEY> --chain <FILE>

    For more information, try '--help'.
    ");
    assert_snapshot!(desk.says(&["receipts", "verify", "--chain", "chain.jsonl", "--key", "no-such-file"]), @r"
    exit 2
    --- stderr
    error[receipts-key-unusable]: no-such-file is neither a public key nor a file that holds one
    next: take `receipts/key.pub` from the folder of the state
    ");
}
