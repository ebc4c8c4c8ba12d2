//! A `SQLite` file with one writer thread and group commit: the ground that state and agents' journals stand on.
//! Must not know what is stored.

mod error;
mod open;
mod writer;

pub use error::DbError;
pub use open::{Schema, SlowSync};
pub use writer::{Db, Stats};
