//! Executes runs: one dispatcher puts all events in order, executors only talk to it by messages.
//! Must not decide anything: the engine does.

mod error;
mod follow;
mod hands;
mod notice;
mod queue;
mod start;

pub use error::DispatchError;
pub use hands::Hands;
pub use notice::{Notice, StepNow};
pub use queue::{Attention, Signals};
pub use start::{NewMove, Options, RunHandle, resume, resume_with, start, start_with};
