//! The generated page `docs/state-machines.md`: what the machines do, asked of the machines themselves.
//! Must not describe anything that was not tried.

mod runs;
mod steps;
mod text;

pub use text::state_machines;
