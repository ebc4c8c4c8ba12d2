//! What an order about backups answers: which restore point, how much, what is missing, which checks passed.
//! Must not know repositories.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{facts::Position, step::Output};
use crate::{Epoch, Timestamp};

/// Under this name it is a value of the output, as JSON.
const KEY: &str = "saved";

/// The answer to a backup, a proof or a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The restore point, by its name in the repository.
    pub point: String,
    /// The hash over everything in it, in hex.
    pub tree: String,
    /// Every write acknowledged before this is in what was saved or brought back, by the clock of the source.
    pub taken: Timestamp,
    /// The store's epoch then.
    pub epoch: Epoch,
    /// How far it goes, where the kind can say.
    pub position: Option<Position>,
    /// Entries in it, folders included.
    pub entries: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes that were added to the repository.
    pub stored: u64,
    /// How many entries could not be read, or did not come back.
    pub missing: u64,
    /// The first of them, each with its reason.
    pub first_missing: Vec<String>,
    /// The checks that passed, by name.
    pub checks: Vec<String>,
}

impl From<Saved> for Output {
    fn from(saved: Saved) -> Self {
        // A struct of numbers and texts always serialises.
        let text = serde_json::to_string(&saved).unwrap_or_default();
        Self {
            position: saved.position,
            values: BTreeMap::from([(KEY.to_owned(), text)]),
        }
    }
}

impl Saved {
    /// What an output says; none if it is no answer to such an order.
    #[must_use]
    pub fn of(output: &Output) -> Option<Self> {
        serde_json::from_str(output.values.get(KEY)?).ok()
    }
}
