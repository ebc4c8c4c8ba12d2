//! Two interfaces to what is kept: file trees (listed strictly and in order, hashed, copied and verified, never left),
//! and containers of objects, wherever they are.
//! Must not know stores, sites or epochs.

mod copy;
mod error;
mod hash;
mod manifest;
mod object;
mod scan;
#[cfg(test)]
mod tests;
mod tree;

pub use copy::{Copied, Deletes, Gate, copy, copy_only};
pub use error::TreeError;
pub use hash::Hashes;
pub use manifest::{Content, Item, Lack, Manifest, take};
pub use object::{
    Contents, Created, Failure, Faulty, FaultyOp, Found, Growing, Local, Memory, Missing, Object,
    ObjectName, Options, Pace, Part, Patience, Patient, Remote, Retry, Secret, Storage,
    StorageError, open, open_contents,
};
pub use scan::{Entry, Listing, Node, Stamp, scan};
pub use tree::Tree;
