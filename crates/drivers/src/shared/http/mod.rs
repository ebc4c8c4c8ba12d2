//! One HTTP request as a plan file declares it, and what its answer must look like. Shared by the kinds that ask over HTTP.
//! Must not know why something is asked.

mod ask;
mod client;
mod expect;
mod options;
mod tell;

pub(crate) use ask::{AskError, ask, check};
pub(crate) use options::{HttpCall, complaints};
pub(crate) use tell::{Wanted, tell, until};
