//! `sqlite`: a database in one file. The mark and the seal are in the database itself; a copy is an online backup.
//! Must not know any application's tables.

mod copy;
mod digest;
mod driver;
mod kind;
mod mark;
mod observe;
mod open;
mod options;
mod own;
mod record;
mod restore;
mod salvage;
mod saves;
#[cfg(test)]
mod tests;

pub(crate) use driver::SqliteDriver;
pub(crate) use kind::{NAME, SqliteKind};
