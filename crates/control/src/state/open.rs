//! Opens the state, and hands out executor epochs.
//! Must not know what runs do.

use std::path::Path;

use mainstay_model::ExecutorEpoch;
use mainstay_proof::Head;

use super::{StateError, rows, schema::SCHEMA};
use crate::db::{Db, SlowSync, Stats};

/// The key under which the end of the chain of receipts is kept.
const RECEIPTS_HEAD: &str = "receipts-head";

/// A system's state: one `SQLite` file, one writer thread.
#[derive(Debug)]
pub struct State {
    pub(super) db: Db,
}

impl State {
    /// Opens or creates the state at this file.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        Self::open_with(path, SlowSync::No)
    }

    /// The same, with commits made slower, to measure.
    pub fn open_with(path: &Path, slow: SlowSync) -> Result<Self, StateError> {
        let db = Db::open(path, SCHEMA, slow)?;
        Ok(Self { db })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.db.path()
    }

    /// What its writer did so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        self.db.stats()
    }

    /// A new executor: its epoch is greater than every one before, and durable when this returns (I20).
    pub async fn next_executor(&self) -> Result<ExecutorEpoch, StateError> {
        let next = self
            .db
            .write(|c| {
                let last = rows::meta(c, "executor")?.unwrap_or_default();
                let next = last.try_into().map_or(0, u64::from_be_bytes) + 1;
                rows::set_meta(c, "executor", &next.to_be_bytes())?;
                Ok(next)
            })
            .await?;
        Ok(ExecutorEpoch(next))
    }

    /// Where the chain of receipts ended when the last one was issued.
    pub fn receipts_head(&self) -> Result<Head, StateError> {
        let stored = self.db.read(|c| rows::meta(c, RECEIPTS_HEAD))?;
        stored.map_or(Ok(Head::default()), |bytes| {
            rows::decode("the head of the receipts", &bytes)
        })
    }

    /// Remembers where the chain of receipts ends. It only grows.
    pub async fn set_receipts_head(&self, head: Head) -> Result<(), StateError> {
        let bytes = rows::encode("the head of the receipts", &head)?;
        Ok(self
            .db
            .write(move |c| rows::set_meta(c, RECEIPTS_HEAD, &bytes))
            .await?)
    }
}
