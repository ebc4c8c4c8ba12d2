//! The failure detector: probes in, verdicts out. Must not know a clock, a network, or what is done about a verdict.

mod judge;
mod probe;
mod state;
mod verdict;

pub use judge::detect;
pub use probe::{Answer, Probe, SiteProbe};
pub use state::{DETECT_STATE_VERSION, DetectState, Part, Settings, Watched};
pub use verdict::{Automatic, Stand, Verdict, Vote};
