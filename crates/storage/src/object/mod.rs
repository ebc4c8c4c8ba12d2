//! Objects under names: what a repository is kept in, whatever holds it.

mod contents;
mod error;
mod faulty;
mod local;
mod memory;
mod name;
mod patient;
#[cfg(test)]
mod patient_tests;
mod remote;
mod storage;
#[cfg(test)]
mod tests;

pub use contents::{Contents, Found};
pub use error::{Retry, StorageError};
pub use faulty::{Failure, Faulty, FaultyOp};
pub use local::Local;
pub use memory::Memory;
pub use name::ObjectName;
pub use patient::{Pace, Patience, Patient};
pub use remote::{Missing, Options, Remote, Secret, open, open_contents};
pub use storage::{Created, Growing, Object, Part, Storage};
