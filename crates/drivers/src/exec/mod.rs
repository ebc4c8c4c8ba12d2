//! `exec`: a team's own programs, run without a shell: they operate a workload, save a store, are a step of a
//! move, or fence a site.
//! Must not know what the programs do.

mod driver;
mod fence;
mod kind;
mod options;
mod saves;
mod store;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;

pub(crate) use driver::ExecDriver;
pub(crate) use kind::{ExecKind, NAME};
pub(crate) use saves::ExecSaves;
