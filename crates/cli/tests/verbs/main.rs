//! The command line as people type it: exit code, stdout and stderr of every verb, good calls and wrong ones.
//! Nothing here needs an agent; `tests/demo` types the verbs at a running system.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

mod files;
mod moves;
mod receipts;
mod usage;
