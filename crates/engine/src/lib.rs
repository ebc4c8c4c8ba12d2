//! The run machine, the journal's rules and the failure detector: pure, with time and answers as inputs.
//! Must not know a clock, a disk, a socket or a driver.

mod event;

pub use event::{
    ActOutcome, Answer, Approval, Created, Effect, Event, Evidence, Look, ObservedGoals, Outcome,
    Seq, StepState,
};
