//! The demo's report: a table for the terminal, and one self-contained HTML file with a timeline
//! per act. It draws what it is given and measures nothing.

mod html;
mod scale;
mod story;
mod table;
mod timeline;

pub use html::render;
pub use story::{ActStory, Landmark, LandmarkKind, Outcome, Report, StepSpan};
pub use table::table;
