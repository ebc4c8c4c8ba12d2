//! The safety proof (B2): for every order that a runbook's edges allow, the invariants hold, or two steps are named
//! that could race. Works from the runbook alone and trusts nobody who built it.

mod accepted;
mod meaning;
mod order;
mod prove;
mod race;
mod reprotect;
mod retreat;
mod routes;
mod schedulers;
mod stores;

pub(crate) use meaning::{Act, Reading, Shut, acts, is_final_shift, undo_acts};
pub use prove::prove;
pub use race::{Proof, Race};
