//! What Mainstay remembers of a system: runs with their journals, placement, epochs, protection, durations.
//! Must not know agents, plans of moves or how a run is executed.

mod commands;
mod error;
mod journal;
mod known;
mod marks;
mod open;
mod points;
mod rows;
mod schema;
mod watching;

pub use commands::Command;
pub use error::StateError;
pub use journal::{NewRun, RunRow};
pub use known::{Known, KnownFence, KnownStore};
pub use marks::{Change, Spent};
pub use open::State;
pub use watching::{Proposal, ProposalState};
