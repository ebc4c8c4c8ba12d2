//! A team's own steps, anchored before or after a phase.
//! Must not know what they do.

use super::context::Build;

impl Build<'_> {
    /// Puts them in.
    pub(crate) fn team_steps(&mut self) {}
}
