//! Runs and their journals: entries are kept as the bytes they were, and come back as a run or as damage.
//! Must not know what an event means.

use std::sync::Arc;

use mainstay_engine::{Entry, Run, RunPhase};
use mainstay_model::{MoveMode, PersonId, Pinned, RunId, Runbook, RunbookHash, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    Change, State, StateError, marks,
    rows::{decode, encode, name, number, unsigned},
};
use crate::{clock, db::DbError};

/// A run to be stored.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its name.
    pub run: RunId,
    /// The run it continues.
    pub parent: Option<RunId>,
    /// Who asked.
    pub by: PersonId,
    /// What it executes.
    pub runbook: Arc<Runbook>,
    /// The hash that pins it.
    pub hash: RunbookHash,
}

/// A stored run, without its journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Its name.
    pub run: RunId,
    /// The run it continues.
    pub parent: Option<RunId>,
    /// Planned, forced or reprotect.
    pub mode: MoveMode,
    /// Who asked.
    pub by: PersonId,
    /// When it was made.
    pub created: Timestamp,
    /// When its journal last grew.
    pub updated: Timestamp,
    /// Where it stands.
    pub phase: RunPhase,
    /// Entries in its journal.
    pub head: u64,
}

const COLUMNS: &str = "run, parent, mode, by, created, updated, phase, head";

struct Raw {
    run: String,
    parent: Option<String>,
    mode: String,
    by: String,
    created: i64,
    updated: i64,
    phase: String,
    head: i64,
}

impl Raw {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            run: row.get(0)?,
            parent: row.get(1)?,
            mode: row.get(2)?,
            by: row.get(3)?,
            created: row.get(4)?,
            updated: row.get(5)?,
            phase: row.get(6)?,
            head: row.get(7)?,
        })
    }

    fn into_row(self) -> Result<RunRow, StateError> {
        Ok(RunRow {
            run: name(&self.run)?,
            parent: self.parent.as_deref().map(name).transpose()?,
            mode: decode("a run's mode", self.mode.as_bytes())?,
            by: name(&self.by)?,
            created: Timestamp(self.created),
            updated: Timestamp(self.updated),
            phase: decode("a run's phase", self.phase.as_bytes())?,
            head: unsigned(self.head),
        })
    }
}

fn text(bytes: Vec<u8>) -> String {
    // serde_json writes UTF-8.
    String::from_utf8(bytes).unwrap_or_default()
}

impl State {
    /// A name for a new run: the time, so that it never repeats, also after the state was lost.
    pub fn new_run_id(&self) -> Result<RunId, StateError> {
        let digits: String = clock::now()
            .to_string()
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        let (day, time) = digits.split_at(digits.len().min(8));
        name(&format!("{day}-{time}"))
    }

    /// Stores a new run with its first entries, and what follows for the epochs it was given. Durable on return.
    pub async fn create_run(&self, new: NewRun, entries: Vec<Entry>) -> Result<(), StateError> {
        let runbook = encode("the runbook", &*new.runbook)?;
        if RunbookHash::of(&runbook) != new.hash {
            return Err(StateError::NotStorable {
                what: "the runbook".to_owned(),
                why: "its journal pins another one".to_owned(),
            });
        }
        let mode = text(encode("the mode", &new.runbook.mode)?);
        let phase = text(encode("the phase", &RunPhase::Planned)?);
        self.db
            .write(move |c| {
                let now = clock::now().0;
                c.execute(
                    "INSERT INTO runs (run, parent, mode, by, runbook_hash, created,
                        updated, phase, head, head_hash)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, 0, x'')",
                    params![
                        new.run.as_str(),
                        new.parent.as_ref().map(RunId::as_str),
                        mode,
                        new.by.as_str(),
                        new.hash.0,
                        now,
                        phase
                    ],
                )?;
                c.execute(
                    "INSERT INTO runbooks (run, body) VALUES (?1, ?2)",
                    params![new.run.as_str(), runbook],
                )?;
                marks::grant(c, &new.runbook)?;
                append(c, &new.run, &entries)
            })
            .await?;
        Ok(())
    }

    /// Appends entries and what follows from them in one transaction, and calls `then` once that is durable. An
    /// entry that does not continue the journal refuses the whole append.
    pub fn append(
        &self,
        run: &RunId,
        entries: Vec<Entry>,
        phase: RunPhase,
        changes: Vec<Change>,
        then: impl FnOnce(Result<(), DbError>) + Send + 'static,
    ) {
        let run = run.clone();
        let phase = serde_json::to_string(&phase).unwrap_or_default();
        let work = move |c: &Connection| {
            append(c, &run, &entries)?;
            c.prepare_cached("UPDATE runs SET phase = ?2 WHERE run = ?1")?
                .execute(params![run.as_str(), phase])?;
            for change in &changes {
                marks::apply(c, change)?;
            }
            Ok(())
        };
        self.db.write_then(work, then);
    }

    /// All runs, the newest first.
    pub fn runs(&self) -> Result<Vec<RunRow>, StateError> {
        let raw = self.db.read(|c| {
            let sql = format!("SELECT {COLUMNS} FROM runs ORDER BY created DESC, run DESC");
            let mut rows = c.prepare_cached(&sql)?;
            let found = rows.query_map([], Raw::read)?;
            found.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        raw.into_iter().map(Raw::into_row).collect()
    }

    /// One run.
    pub fn run(&self, run: &RunId) -> Result<RunRow, StateError> {
        let raw = self.db.read(|c| {
            let sql = format!("SELECT {COLUMNS} FROM runs WHERE run = ?1");
            c.prepare_cached(&sql)?
                .query_row([run.as_str()], Raw::read)
                .optional()
        })?;
        raw.ok_or_else(|| StateError::NoRun(run.clone()))?
            .into_row()
    }

    /// The runbook of a run.
    pub fn runbook(&self, run: &RunId) -> Result<Arc<Runbook>, StateError> {
        Ok(self.pinned(run)?.runbook)
    }

    /// The runbook of a run, with the hash of what is stored.
    pub fn pinned(&self, run: &RunId) -> Result<Pinned, StateError> {
        let bytes = self.db.read(|c| {
            c.prepare_cached("SELECT body FROM runbooks WHERE run = ?1")?
                .query_row([run.as_str()], |row| row.get::<_, Vec<u8>>(0))
                .optional()
        })?;
        let bytes = bytes.ok_or_else(|| StateError::NoRun(run.clone()))?;
        Pinned::read(&bytes).map_err(|error| StateError::Unreadable {
            what: format!("the runbook of run {run}"),
            why: error.to_string(),
        })
    }

    /// A run's journal: the bytes of each entry, in order.
    pub fn journal(&self, run: &RunId) -> Result<Vec<Vec<u8>>, StateError> {
        Ok(self.db.read(|c| {
            let mut rows =
                c.prepare_cached("SELECT bytes FROM journal WHERE run = ?1 ORDER BY seq")?;
            let found = rows.query_map([run.as_str()], |row| row.get(0))?;
            found.collect()
        })?)
    }

    /// A run as its journal tells it, checked entry by entry and against where it was left.
    pub fn replay(&self, run: &RunId) -> Result<Run, StateError> {
        let row = self.run(run)?;
        let (runbook, journal) = (self.pinned(run)?, self.journal(run)?);
        let found = journal.len() as u64;
        if found < row.head {
            return Err(StateError::Cut {
                run: run.clone(),
                found,
                head: row.head,
            });
        }
        let entries = journal.iter().map(Vec::as_slice);
        let replayed = Run::replay(runbook, entries).map_err(|damage| StateError::Damaged {
            run: run.clone(),
            damage,
        })?;
        let head = replayed.head();
        let kept = self.db.read(|c| {
            c.prepare_cached("SELECT head_hash FROM runs WHERE run = ?1")?
                .query_row([run.as_str()], |r| r.get::<_, Vec<u8>>(0))
        })?;
        if head.seq != row.head || head.hash.0.as_slice() != kept {
            return Err(StateError::Cut {
                run: run.clone(),
                found: head.seq,
                head: row.head,
            });
        }
        Ok(replayed)
    }
}

/// Entries follow the head that is stored beside the run, without a gap and without a fork.
fn append(c: &Connection, run: &RunId, entries: &[Entry]) -> rusqlite::Result<()> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
        return Ok(());
    };
    for entry in entries {
        c.prepare_cached("INSERT INTO journal (run, seq, bytes) VALUES (?1, ?2, ?3)")?
            .execute(params![run.as_str(), number(entry.seq.0), entry.bytes])?;
    }
    let moved = c
        .prepare_cached(
            "UPDATE runs SET head = ?2, head_hash = ?3, updated = ?4 WHERE run = ?1 AND head = ?5",
        )?
        .execute(params![
            run.as_str(),
            number(last.seq.0),
            last.hash.0.as_slice(),
            clock::now().0,
            number(first.seq.0) - 1
        ])?;
    if moved == 1 {
        Ok(())
    } else {
        Err(rusqlite::Error::StatementChangedRows(moved))
    }
}
