//! Computes a runbook from the plan file, what is observed and a target, and proves it safe before anyone sees it.
//! Pure: must not know a clock, a file, a network, any concrete kind, or who executes a runbook.

mod bugs;
mod build;
mod divergence;
mod estimate;
mod gate;
mod graph;
mod loss;
mod observed;
pub mod oracle;
mod plan;
mod proof;
mod refusal;
pub mod render;
mod request;
mod target;
mod topology;

pub use bugs::{ALL_BUGS, Bugs};
pub use divergence::LeftBehind;
pub use estimate::{Forecast, Verdict, forecast};
pub use loss::{accept, loss_bound};
pub use observed::{
    Clocks, Fenced, Measured, Observed, Placement, Protection, SiteAgent, SiteNow, SiteStanding,
    StoreNow,
};
pub use plan::{Planned, plan};
pub use proof::{Proof, Race, prove};
pub use refusal::{Code, Refusal, Refusals};
pub use request::{Divergence, Past, Request, Target};
