//! `process`: programs that a site's agent runs and supervises. They outlive the agent and any command; a restarted
//! agent finds its own again by boot id, process id and start time, and touches no others.
//! Must not know what the programs do.

mod driver;
mod identity;
mod kind;
mod lifecycle;
mod look;
mod options;
mod record;
mod scheduler;
mod spawn;
mod supervised;
#[cfg(test)]
mod tests;

pub(crate) use driver::ProcessDriver;
pub(crate) use kind::{NAME, ProcessKind};
