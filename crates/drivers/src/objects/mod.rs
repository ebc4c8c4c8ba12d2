//! `objects`: somebody else's container of objects (S3, Azure Blob, Google Cloud Storage, a folder), saved and brought
//! back into a folder.
//! Must not know any other kind.

mod driver;
mod kind;
mod options;
mod saves;
#[cfg(test)]
mod tests;

pub(crate) use driver::ObjectsDriver;
pub(crate) use kind::{NAME, ObjectsKind};
pub(crate) use saves::ObjectsSaves;
