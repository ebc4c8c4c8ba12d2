//! The ownership mark that a store's driver keeps in the database. The service only ever reads it.

use serde::{Deserialize, Serialize};

/// Who may write to this store, as the store itself says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The store's ownership number.
    pub epoch: u64,
    /// The site that owns it at that number.
    pub owner: String,
    /// The run that set the mark.
    pub run: String,
    /// Whether the owner may write.
    pub state: MarkState,
}

/// Whether the owner may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MarkState {
    /// The owner may write.
    Open,
    /// Nobody may write until a newer epoch opens the store.
    Sealed,
    /// This is a copy of another site's store.
    Replica,
}

impl MarkState {
    /// Reads the state as the database spells it.
    pub(crate) fn from_column(text: &str) -> Option<Self> {
        match text {
            "open" => Some(Self::Open),
            "sealed" => Some(Self::Sealed),
            "replica" => Some(Self::Replica),
            _ => None,
        }
    }
}

/// What one look at the mark gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarkReading {
    /// The mark as stored.
    Present(Mark),
    /// The database is there and holds no mark.
    Absent,
    /// The database could not be read, with the reason.
    Unreadable(String),
}

impl Mark {
    /// Builds a mark from a row, or says what is wrong with it.
    pub(crate) fn from_row(
        epoch: i64,
        owner: String,
        run: String,
        state: &str,
    ) -> Result<Self, String> {
        let epoch = u64::try_from(epoch).map_err(|_| "the mark's epoch is negative".to_owned())?;
        let state = MarkState::from_column(state)
            .ok_or_else(|| format!("the mark's state {state:?} is unknown"))?;
        Ok(Self {
            epoch,
            owner,
            run,
            state,
        })
    }
}
