//! What a proof says: how much was shown, or which two steps could race.
//! Must not know how either was found.

use std::fmt;

use mainstay_model::StepId;
use serde::{Deserialize, Serialize};

/// What was shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Steps looked at.
    pub steps: usize,
    /// Edges looked at.
    pub edges: usize,
    /// Questions of the form "is this surely over before that starts?" that were answered.
    pub questions: u64,
}

/// Why a runbook is not provably safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Race {
    /// The invariant, by its number in the design.
    pub invariant: String,
    /// The step that comes too early, or is wrong by itself.
    pub early: Option<StepId>,
    /// The step that should have been over by then.
    pub late: Option<StepId>,
    /// What is wrong, in words, with the steps' titles.
    pub how: String,
    /// An order that the edges allow and in which it happens: these steps are over when `early` starts, and `late`
    /// is not among them.
    pub order: Vec<StepId>,
}

impl fmt::Display for Race {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.how)
    }
}

impl std::error::Error for Race {}
