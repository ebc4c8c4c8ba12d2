//! Mainstay's verbs against the demo's world: real processes, real kills, real signals.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod asked;
mod backups;
mod by_hand;
mod crash;
mod support;
