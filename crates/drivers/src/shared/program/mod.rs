//! A team's own program: how it is declared, and how it is run to its end.
//! Must not know why it is run.

mod options;
mod run;

pub(crate) use options::Program;
pub(crate) use run::{RunError, Said, run};
