//! The run machine around the steps: events in, journal entries and effects out.
//! Must not know a clock, a disk, a socket or a driver.

mod apply;
mod effects;
mod enter;
mod people;
mod permit;
mod retreat;
mod schedule;
mod state;
mod view;

#[expect(
    clippy::module_inception,
    reason = "the file holds the type of that name"
)]
mod run;

pub use people::may_be_skipped;
pub use run::Run;
pub use view::StepView;
