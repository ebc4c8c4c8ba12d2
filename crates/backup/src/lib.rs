//! Backups in the format of restic, version 2: written and restored in parallel, checked, pruned, by an engine of our
//! own. Stock restic reads what is written here, and what it writes is read here.
//! Must not know verbs, terminals, or when a backup is due.

mod backup;
mod check;
mod chunk;
mod codec;
mod config;
mod crypto;
mod declared;
mod error;
mod files;
#[cfg(test)]
mod hostile_tests;
mod id;
mod index;
mod key;
mod layout;
mod lock;
mod mend;
mod mirror;
mod node;
mod pack;
mod point;
mod prune;
mod quote;
mod reader;
mod repository;
mod restore;
pub mod retention;
mod saver;
mod scrub;
mod select;
mod snapshot;
mod source;
mod stream;
mod time;
mod tree;
mod users;

pub use backup::{Archive, BackupOptions, Finished, Parent, Problem, archive, backup};
pub use check::{Affected, Checked, Depth, Finding, Severity, check};
pub use declared::{IfMissing, open_declared};
pub use error::BackupError;
pub use files::Files;
pub use id::{Id, NoId};
pub use index::Index;
pub use key::{KeyFile, Who};
pub use layout::FileKind;
pub use lock::{Lock, Sharing};
pub use mend::{MendPlan, Mended, Salvage, mend, plan_mend};
pub use mirror::{Mirrored, mirror};
pub use node::{Attribute, Kind, Meta};
pub use pack::BlobKind;
pub use point::{Holds, Label, RestorePoint};
pub use prune::{PrunePlan, Pruned, plan_prune, prune};
pub use reader::Reader;
pub use repository::{Format, Repository};
pub use restore::{Existing, Owners, RestoreOptions, Restored, restore};
pub use saver::Stored;
pub use scrub::{Pace, ScrubBudget, ScrubMemory, Scrubbed, scrub};
pub use select::{Patterns, Selected, SelectedFolder, Selection};
pub use snapshot::{INCOMPLETE, Missing, MissingEntry, Snapshot, Wholeness};
pub use source::{Entered, Listed, Progress, Quiet, ShortRead, Source};
pub use stream::{Stream, Watched};
pub use time::{NoTime, Time};
pub use tree::Node;
