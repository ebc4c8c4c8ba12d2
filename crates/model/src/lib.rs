//! The plan file and the contract: what is declared, what is observed, what a step is, what a kind promises.
//! Pure: must not know a clock, a file, a network or who executes anything.

mod contract;
mod id;
mod plan;
mod time;

pub use contract::*;
pub use id::*;
pub use plan::*;
pub use time::{Span, SpanError, Timestamp};
