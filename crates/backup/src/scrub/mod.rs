//! Scrubbing: every pack is read again from time to time, the one that was not for longest first, and what was found is
//! remembered.

mod budget;
mod memory;
mod run;

pub use budget::{Pace, ScrubBudget};
pub use memory::ScrubMemory;
pub use run::{Scrubbed, scrub};
