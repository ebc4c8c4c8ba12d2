//! When restore points were first seen, and when chores were done last.
//! Must not know what is in a repository.

use std::collections::BTreeMap;

use mainstay_model::{RepositoryId, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::{State, StateError};

impl State {
    /// When each of these restore points was first seen: now, if never before. Those of the repository that are not
    /// among them are gone, and forgotten.
    pub async fn see_points(
        &self,
        repository: &RepositoryId,
        ids: Vec<String>,
        now: Timestamp,
    ) -> Result<BTreeMap<String, Timestamp>, StateError> {
        let known = self.points(repository)?;
        if known.len() == ids.len() && ids.iter().all(|id| known.contains_key(id)) {
            return Ok(known);
        }
        let name = repository.to_string();
        let write = move |c: &rusqlite::Connection| {
            for gone in known.keys().filter(|id| !ids.contains(id)) {
                let sql = "DELETE FROM restore_points WHERE repository = ?1 AND id = ?2";
                c.execute(sql, params![name, gone])?;
            }
            let sql = "INSERT OR IGNORE INTO restore_points (repository, id, recorded) VALUES (?1, ?2, ?3)";
            for id in &ids {
                c.execute(sql, params![name, id, now.0])?;
            }
            Ok(())
        };
        self.db.write(write).await?;
        self.points(repository)
    }

    fn points(&self, repository: &RepositoryId) -> Result<BTreeMap<String, Timestamp>, StateError> {
        let read = |c: &rusqlite::Connection| {
            let sql = "SELECT id, recorded FROM restore_points WHERE repository = ?1";
            let mut rows = c.prepare_cached(sql)?;
            let found = rows.query_map([repository.as_str()], |row| {
                Ok((row.get::<_, String>(0)?, Timestamp(row.get(1)?)))
            })?;
            found.collect()
        };
        Ok(self.db.read(read)?)
    }

    /// When a chore was done last.
    pub fn chore(&self, what: &str) -> Result<Option<Timestamp>, StateError> {
        let read = |c: &rusqlite::Connection| {
            let sql = "SELECT at FROM chores WHERE what = ?1";
            let at = c.query_row(sql, [what], |row| row.get(0)).optional()?;
            Ok(at.map(Timestamp))
        };
        Ok(self.db.read(read)?)
    }

    /// Remembers that a chore was done.
    pub async fn set_chore(&self, what: &str, at: Timestamp) -> Result<(), StateError> {
        let what = what.to_owned();
        let write = move |c: &rusqlite::Connection| {
            let sql = "INSERT OR REPLACE INTO chores (what, at) VALUES (?1, ?2)";
            c.execute(sql, params![what, at.0]).map(|_| ())
        };
        Ok(self.db.write(write).await?)
    }
}
