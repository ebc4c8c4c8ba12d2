//! `files`: a directory tree. The mark is kept in a folder of its own at the root, which is no part of the data.
//! Must not know what the files are for.

mod copy;
mod driver;
mod kind;
mod observe;
mod options;
mod own;
mod restore;
mod salvage;
mod saves;
mod state;
#[cfg(test)]
mod tests;
mod validate;

pub(crate) use driver::FilesDriver;
pub(crate) use kind::{FilesKind, NAME};
