//! Tells drivers whether their site is quarantined. Until the agent knows, it is.
//! Must not know what a driver does with the answer.

use std::sync::{Arc, OnceLock};

use super::ledger::Ledger;

/// A handle that is made before the agent and its drivers, and shared by both.
#[derive(Debug, Clone, Default)]
pub struct Hold(Arc<OnceLock<Arc<Ledger>>>);

impl Hold {
    /// Whether nothing may be started here: the agent has not looked yet, cannot tell, or holds its site back.
    #[must_use]
    pub fn active(&self) -> bool {
        self.0
            .get()
            .is_none_or(|ledger| !matches!(ledger.quarantine(), Ok(None)))
    }

    /// From now on the agent's ledger answers.
    pub(super) fn ask(&self, ledger: Arc<Ledger>) {
        // An agent is started once; a second ledger would be the same file.
        let _ = self.0.set(ledger);
    }
}
