//! What people ask of a run that another process executes: left here, picked up there.
//! Must not know what a run makes of it.

use mainstay_engine::Event;
use mainstay_model::RunId;
use rusqlite::params;

use super::{
    State, StateError,
    rows::{decode, encode, number, unsigned},
};

/// Something that a person asks of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its number.
    pub seq: u64,
    /// The event that it becomes in the run's journal.
    pub event: Event,
}

impl State {
    /// Leaves an event for whoever executes the run.
    pub async fn ask(&self, run: &RunId, event: &Event) -> Result<(), StateError> {
        let (run, body) = (run.clone(), encode("a command", event)?);
        self.db
            .write(move |c| {
                c.execute(
                    "INSERT INTO commands (run, body) VALUES (?1, ?2)",
                    params![run.as_str(), body],
                )
                .map(|_| ())
            })
            .await?;
        Ok(())
    }

    /// What was asked of a run and not yet taken, in order.
    pub fn asked(&self, run: &RunId) -> Result<Vec<Command>, StateError> {
        let rows: Vec<(i64, Vec<u8>)> = self.db.read(|c| {
            let sql = "SELECT seq, body FROM commands WHERE run = ?1 ORDER BY seq";
            let mut rows = c.prepare_cached(sql)?;
            let found = rows.query_map([run.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            found.collect()
        })?;
        let rows = rows.into_iter();
        rows.map(|(seq, body)| {
            Ok(Command {
                seq: unsigned(seq),
                event: decode("a command", &body)?,
            })
        })
        .collect()
    }

    /// The commands up to this one were taken.
    pub async fn taken(&self, run: &RunId, upto: u64) -> Result<(), StateError> {
        let run = run.clone();
        self.db
            .write(move |c| {
                c.execute(
                    "DELETE FROM commands WHERE run = ?1 AND seq <= ?2",
                    params![run.as_str(), number(upto)],
                )
                .map(|_| ())
            })
            .await?;
        Ok(())
    }
}
