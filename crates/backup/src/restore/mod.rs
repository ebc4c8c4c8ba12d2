//! A restore: a snapshot's folders and files come back below one folder, in parallel, past every error, never outside.

mod existing;
mod fetch;
mod options;
mod plan;
mod run;
mod settle;
mod target;

pub use options::{Existing, Owners, RestoreOptions, Restored};
pub use run::restore;
pub(crate) use target::write_sparse;
