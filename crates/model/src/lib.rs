//! The plan file and the contract: what is declared, what is observed, what a step is, what a kind promises.
//! Pure: must not know a clock, a file, a network or who executes anything.

mod contract;
mod diagnostic;
mod id;
mod moment;
mod plan;
mod schema;
mod size;
mod time;
mod yaml;

pub use contract::*;
pub use diagnostic::{CODES, Diagnostic, Diagnostics, Place, Severity, Style, codes};
pub use id::*;
pub(crate) use moment::Moment;
pub use plan::*;
pub use size::{Size, SizeError};
pub use time::{Span, SpanError, Timestamp};
pub use yaml::{Entry, MAX_BYTES, Mapping, Node, NodeValue};
