//! A backup: a source's folders and files become trees and blobs, and at the end a snapshot.

mod archive;
mod folder;
mod old;
mod options;
mod queue;
mod reading;
mod run;

pub use archive::{Archive, archive};
pub use options::{BackupOptions, Finished, Parent, Problem};
pub use run::backup;
