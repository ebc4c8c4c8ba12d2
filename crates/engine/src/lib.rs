//! The run machine, the journal's rules and the failure detector: pure, with time and answers as inputs.
//! Must not know a clock, a disk, a socket or a driver.

pub mod agent;
mod begin;
pub mod bugs;
pub mod detect;
mod event;
mod illegal;
mod journal;
pub mod lease;
mod machine;
mod pages;
mod run;

pub use begin::{unfinished, unfinished_with};
pub use bugs::Bugs;
pub use event::{
    ActOutcome, Answer, Approval, Created, Effect, Event, Evidence, Limits, Look, ObservedGoals,
    RunPhase, Seq, StepState,
};
pub use illegal::{BadRun, Illegal};
pub use journal::{Damage, Entry, JOURNAL_DOMAIN, JOURNAL_VERSION, Log, read_log, read_log_with};
pub use mainstay_proof::Head;
pub use pages::state_machines;
pub use run::{Run, StepView, may_be_skipped};
