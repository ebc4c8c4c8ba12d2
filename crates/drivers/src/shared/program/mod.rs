//! A team's own program: how it is declared, and how it is run: to its end, or with its output read meanwhile.
//! Must not know why it is run.

mod options;
mod run;
mod stream;

pub(crate) use options::Program;
pub(crate) use run::{RunError, Said, run};
pub(crate) use stream::{run_here, start};
