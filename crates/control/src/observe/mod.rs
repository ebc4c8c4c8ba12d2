//! Looks at the whole system through its agents, and at what is remembered, as the planner wants to know it.
//! Must not know what is planned from it.

mod adopt;
mod bring_up;
mod gather;
mod scopes;

pub use adopt::{AdoptError, Adopted, adopt};
pub use bring_up::{Started, bring_up};
pub use gather::{Gathered, gather};
