//! Mending: what is damaged or missing is taken from another copy of the repository, and where there is none, what can
//! still be read is saved and what is lost is named.

mod plan;
mod run;
mod supply;
mod survey;
mod view;

pub use plan::{MendPlan, Mended, Salvage};
pub use run::{mend, plan_mend};
