//! What is wrong with a plan file, where, and what to write instead.
//! Must not know YAML, schemas or the checks that find the problems.

mod codes;
mod list;
mod place;
mod quote;
mod render;

pub(crate) use codes::code;
pub use codes::{CODES, codes};
pub use list::{Diagnostic, Diagnostics, Severity};
pub use place::Place;
pub(crate) use quote::{nearest, one_of, quote};
pub use render::Style;
