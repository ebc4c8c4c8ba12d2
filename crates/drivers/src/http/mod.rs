//! `http`: a workload that somebody else runs and that can be asked and told over HTTP; also a team's own step.
//! Must not know what is behind the URLs.

mod driver;
mod kind;
mod options;
#[cfg(test)]
mod tests;

pub(crate) use driver::HttpDriver;
pub(crate) use kind::{HttpKind, NAME};
