//! An agent's own journal: each effect by its id, floors, executors, what is supervised, what is held back.
//! Must not know drivers; it decides only what may be started and remembers what became of it.

use std::{collections::BTreeMap, path::Path};

use mainstay_driver::{ActError, Order, Progress};
use mainstay_engine::{
    Bugs,
    agent::{self, Admission, Change},
    lease::LeaseRecord,
};
use mainstay_model::{
    ComponentId, Direction, EffectId, Epoch, ExecutorEpoch, RepositoryId, Timestamp,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    clock,
    db::{Db, DbError, Schema, SlowSync},
    wire::{BackupReport, Held, LogEntry, Reply},
};

const SCHEMA: Schema = Schema {
    application: 0x4d53_4147,
    migrations: &["
        CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE effects (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            effect BLOB NOT NULL,
            body BLOB NOT NULL,
            started INTEGER NOT NULL,
            reply BLOB,
            ended INTEGER);
        CREATE TABLE floors (store TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE owned (store TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE supervised (component TEXT PRIMARY KEY) WITHOUT ROWID;
        CREATE TABLE leases (version INTEGER PRIMARY KEY, body BLOB NOT NULL);
        CREATE TABLE held (store TEXT PRIMARY KEY, since INTEGER NOT NULL, why TEXT NOT NULL) WITHOUT ROWID;
    ", "
        CREATE TABLE backups (
            store TEXT NOT NULL,
            repository TEXT NOT NULL,
            report BLOB NOT NULL,
            PRIMARY KEY (store, repository)) WITHOUT ROWID;
    "],
};

/// The row in `held` that stands for the whole site.
const WHOLE_SITE: &str = "";

/// What the journal says about an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Recorded {
    /// Its intent, and no answer.
    Started,
    /// Its latest answer.
    Answered(Reply),
}

/// An agent's journal.
#[derive(Debug)]
pub(super) struct Ledger {
    db: Db,
}

impl Ledger {
    pub(super) fn open(path: &Path) -> Result<Self, DbError> {
        Db::open(path, SCHEMA, SlowSync::No).map(|db| Self { db })
    }

    /// Records the intent, unless something forbids it. One durable write.
    pub(super) async fn admit(
        &self,
        order: &Order,
        needs: Vec<ComponentId>,
    ) -> Result<Admission<Recorded, Held>, DbError> {
        let order = order.clone();
        self.db
            .write(move |c| {
                let asked = asked(&order);
                let floor = match agent::token(&asked) {
                    Some((store, _)) => epoch_in(c, "floors", &store)?,
                    None => Epoch(0),
                };
                let mut back = None;
                for store in needs {
                    if let Some(held) = held(c, store.as_str())? {
                        back.get_or_insert((store, held));
                    }
                }
                let known = agent::Known {
                    recorded: recorded(c, &order.id)?,
                    latest: latest(c, &order.id)?,
                    executor: executor(c)?,
                    floor,
                    held: back,
                };
                let admission = agent::admit(&asked, known, Bugs::NONE);
                if let Admission::New(changes) = &admission {
                    remember(c, changes)?;
                    intend(c, &order)?;
                }
                Ok(admission)
            })
            .await
    }

    /// Records what became of an effect, and what follows from it.
    pub(super) async fn answer(&self, order: &Order, reply: &Reply) -> Result<(), DbError> {
        let (order, reply) = (order.clone(), reply.clone());
        let body = serde_json::to_vec(&reply).unwrap_or_default();
        self.db
            .write(move |c| {
                answered(c, &order, &body)?;
                match &reply {
                    Reply::Progress(Progress::Done(_)) => {
                        remember(c, &agent::done(&order.action))?;
                    }
                    Reply::Error(ActError::StaleEpoch(epoch)) => {
                        if let Some((store, _)) = agent::token(&asked(&order)) {
                            raise(c, "floors", &store, *epoch)?;
                        }
                    }
                    _ => {}
                }
                Ok(())
            })
            .await
    }

    /// What is known of an effect. One that was never ordered is barred: from here on its answer is `never`.
    pub(super) async fn recorded_or_barred(
        &self,
        order: &Order,
        never: Reply,
    ) -> Result<Recorded, DbError> {
        if let Some(known) = self.db.read(|c| recorded(c, &order.id))? {
            return Ok(known);
        }
        let order = order.clone();
        let reply = serde_json::to_vec(&never).unwrap_or_default();
        self.db
            .write(move |c| {
                // It may have come in since.
                if let Some(known) = recorded(c, &order.id)? {
                    return Ok(known);
                }
                intend(c, &order)?;
                answered(c, &order, &reply)?;
                Ok(Recorded::Answered(never))
            })
            .await
    }

    /// From here on older executors are refused.
    pub(super) async fn heard_of(&self, newer: ExecutorEpoch) -> Result<(), DbError> {
        if self.executor()? >= newer {
            return Ok(());
        }
        self.db.write(move |c| set_executor(c, newer)).await
    }

    pub(super) fn executor(&self) -> Result<ExecutorEpoch, DbError> {
        self.db.read(executor)
    }

    pub(super) fn floor(&self, store: &ComponentId) -> Result<Epoch, DbError> {
        self.db.read(|c| epoch_in(c, "floors", store))
    }

    pub(super) async fn raise_floor(
        &self,
        store: &ComponentId,
        epoch: Epoch,
    ) -> Result<(), DbError> {
        let store = store.clone();
        self.db
            .write(move |c| raise(c, "floors", &store, epoch))
            .await
    }

    pub(super) fn floors(&self) -> Result<BTreeMap<ComponentId, Epoch>, DbError> {
        self.db.read(|c| epochs(c, "floors"))
    }

    /// How the backups of a store to a repository stand.
    pub(super) fn backup(
        &self,
        store: &ComponentId,
        to: &RepositoryId,
    ) -> Result<BackupReport, DbError> {
        let all = self.backups()?;
        let one = all.get(store).and_then(|reports| reports.get(to));
        Ok(one.cloned().unwrap_or_default())
    }

    pub(super) fn backups(
        &self,
    ) -> Result<BTreeMap<ComponentId, BTreeMap<RepositoryId, BackupReport>>, DbError> {
        self.db.read(|c| {
            let mut rows = c.prepare_cached("SELECT store, repository, report FROM backups")?;
            let mut rows = rows.query([])?;
            let mut all: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
            while let Some(row) = rows.next()? {
                let (store, to): (String, String) = (row.get(0)?, row.get(1)?);
                let report: Vec<u8> = row.get(2)?;
                // One that cannot be read counts as none: the backup is made again.
                if let (Ok(store), Ok(to), Ok(report)) = (
                    ComponentId::new(store),
                    RepositoryId::new(to),
                    serde_json::from_slice(&report),
                ) {
                    all.entry(store).or_default().insert(to, report);
                }
            }
            Ok(all)
        })
    }

    pub(super) async fn set_backup(
        &self,
        store: &ComponentId,
        to: &RepositoryId,
        report: &BackupReport,
    ) -> Result<(), DbError> {
        let key = (store.to_string(), to.to_string());
        let body = serde_json::to_vec(report).unwrap_or_default();
        self.db
            .write(move |c| {
                let sql = "INSERT OR REPLACE INTO backups (store, repository, report)
                           VALUES (?1, ?2, ?3)";
                c.execute(sql, params![key.0, key.1, body])?;
                Ok(())
            })
            .await
    }

    /// Stores that this site opened last, with the epoch.
    pub(super) fn owned(&self) -> Result<BTreeMap<ComponentId, Epoch>, DbError> {
        self.db.read(|c| epochs(c, "owned"))
    }

    /// Workloads that were started here and not stopped.
    pub(super) fn supervised(&self) -> Result<Vec<ComponentId>, DbError> {
        self.db.read(|c| {
            let mut rows =
                c.prepare_cached("SELECT component FROM supervised ORDER BY component")?;
            let names = rows.query_map([], |row| row.get::<_, String>(0))?;
            Ok(names
                .filter_map(|name| ComponentId::new(name.ok()?).ok())
                .collect())
        })
    }

    /// Holds back these stores and the site, if that is not so yet.
    pub(super) async fn hold(&self, stores: Vec<ComponentId>, why: &str) -> Result<(), DbError> {
        let why = why.to_owned();
        self.db
            .write(move |c| {
                let names = stores.iter().map(ComponentId::as_str);
                for name in names.chain([WHOLE_SITE]) {
                    c.prepare_cached(
                        "INSERT INTO held (store, since, why) VALUES (?1, ?2, ?3)
                         ON CONFLICT (store) DO NOTHING",
                    )?
                    .execute(params![name, clock::now().0, why])?;
                }
                for store in &stores {
                    c.prepare_cached("DELETE FROM owned WHERE store = ?1")?
                        .execute([store.as_str()])?;
                }
                Ok(())
            })
            .await
    }

    pub(super) async fn stopped(&self, workloads: Vec<ComponentId>) -> Result<(), DbError> {
        self.db
            .write(move |c| {
                for name in workloads {
                    unsupervise(&name, c)?;
                }
                Ok(())
            })
            .await
    }

    pub(super) fn quarantine(&self) -> Result<Option<Held>, DbError> {
        self.db.read(|c| held(c, WHOLE_SITE))
    }

    pub(super) fn held(&self) -> Result<BTreeMap<ComponentId, Held>, DbError> {
        self.db.read(|c| {
            let mut rows = c.prepare_cached("SELECT store, since, why FROM held")?;
            let found = rows.query_map([], |row| {
                let since = Timestamp(row.get(1)?);
                let why = row.get(2)?;
                Ok((row.get::<_, String>(0)?, Held { since, why }))
            })?;
            let named = found.filter_map(|row| {
                let (name, held) = row.ok()?;
                Some((ComponentId::new(name).ok()?, held))
            });
            Ok(named.collect())
        })
    }

    /// What the grantor must not forget.
    pub(super) fn leases(&self) -> Result<Option<LeaseRecord>, DbError> {
        self.db.read(|c| {
            c.prepare_cached("SELECT body FROM leases")?
                .query_row([], |row| decode(0, &row.get::<_, Vec<u8>>(0)?))
                .optional()
        })
    }

    pub(super) async fn keep_leases(&self, record: &LeaseRecord) -> Result<(), DbError> {
        let (version, body) = (
            record.version,
            serde_json::to_vec(record).unwrap_or_default(),
        );
        self.db
            .write(move |c| {
                c.prepare_cached("INSERT OR REPLACE INTO leases (version, body) VALUES (?1, ?2)")?
                    .execute(params![version, body])
                    .map(|_| ())
            })
            .await
    }

    pub(super) fn log(&self, after: u64) -> Result<Vec<LogEntry>, DbError> {
        self.db.read(|c| {
            let mut rows = c.prepare_cached(
                "SELECT seq, body, started, reply, ended FROM effects WHERE seq > ?1 ORDER BY seq LIMIT 1000",
            )?;
            let found = rows.query_map([i64::try_from(after).unwrap_or(i64::MAX)], |row| {
                let order: Order = decode(1, &row.get::<_, Vec<u8>>(1)?)?;
                let reply: Option<Vec<u8>> = row.get(3)?;
                Ok(LogEntry {
                    seq: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
                    id: order.id.clone(),
                    order,
                    started: Timestamp(row.get(2)?),
                    reply: reply.map(|bytes| decode(3, &bytes)).transpose()?,
                    ended: row.get::<_, Option<i64>>(4)?.map(Timestamp),
                })
            })?;
            found.collect()
        })
    }
}

/// The order as the rules look at it.
pub(super) fn asked(order: &Order) -> agent::Asked<'_> {
    agent::Asked {
        id: &order.id,
        action: &order.action,
        fence: order.fence.as_ref(),
    }
}

fn intend(c: &Connection, order: &Order) -> rusqlite::Result<()> {
    let body = serde_json::to_vec(order).unwrap_or_default();
    let effect = serde_json::to_vec(&order.id).unwrap_or_default();
    c.prepare_cached("INSERT INTO effects (id, effect, body, started) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![order.id.to_string(), effect, body, clock::now().0])
        .map(|_| ())
}

fn answered(c: &Connection, order: &Order, reply: &[u8]) -> rusqlite::Result<()> {
    c.prepare_cached("UPDATE effects SET reply = ?2, ended = ?3 WHERE id = ?1")?
        .execute(params![order.id.to_string(), reply, clock::now().0])
        .map(|_| ())
}

fn remember(c: &Connection, changes: &[Change]) -> rusqlite::Result<()> {
    for change in changes {
        match change {
            Change::Floor(store, epoch) => raise(c, "floors", store, *epoch)?,
            Change::Executor(executor) => set_executor(c, *executor)?,
            Change::Supervised(name) => {
                c.prepare_cached("INSERT OR IGNORE INTO supervised (component) VALUES (?1)")?
                    .execute([name.as_str()])?;
            }
            Change::Unsupervised(name) => unsupervise(name, c)?,
            Change::Owned(store, epoch) => raise(c, "owned", store, *epoch)?,
            Change::Disowned(store) => forget("owned", store, c)?,
            Change::Freed(store) => forget("held", store, c)?,
            Change::FreedSite => {
                c.prepare_cached(
                    "DELETE FROM held WHERE store = ''
                     AND NOT EXISTS (SELECT 1 FROM held WHERE store <> '')",
                )?
                .execute([])?;
            }
        }
    }
    Ok(())
}

fn unsupervise(name: &ComponentId, c: &Connection) -> rusqlite::Result<()> {
    c.prepare_cached("DELETE FROM supervised WHERE component = ?1")?
        .execute([name.as_str()])
        .map(|_| ())
}

fn forget(table: &str, name: &ComponentId, c: &Connection) -> rusqlite::Result<()> {
    c.prepare_cached(&format!("DELETE FROM {table} WHERE store = ?1"))?
        .execute([name.as_str()])
        .map(|_| ())
}

/// A whole number that came from an epoch.
fn number(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}

fn decode<T: serde::de::DeserializeOwned>(column: usize, bytes: &[u8]) -> rusqlite::Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Blob,
            Box::new(error),
        )
    })
}

fn recorded(c: &Connection, id: &EffectId) -> rusqlite::Result<Option<Recorded>> {
    c.prepare_cached("SELECT reply FROM effects WHERE id = ?1")?
        .query_row([id.to_string()], |row| row.get::<_, Option<Vec<u8>>>(0))
        .optional()?
        .map(|reply| match reply {
            None => Ok(Recorded::Started),
            Some(bytes) => decode(0, &bytes).map(Recorded::Answered),
        })
        .transpose()
}

/// The latest order about the same step of the same run: their names begin alike.
fn latest(c: &Connection, id: &EffectId) -> rusqlite::Result<Option<(Direction, u32)>> {
    let step = format!("{}/{}", id.run, id.step.0);
    let mut rows =
        c.prepare_cached("SELECT effect FROM effects WHERE id > ?1 || '/' AND id < ?1 || '0'")?;
    let known = rows.query_map([step], |row| {
        decode::<EffectId>(0, &row.get::<_, Vec<u8>>(0)?)
    })?;
    let mut latest = None;
    for known in known {
        let known = known?;
        let age = agent::age(known.direction, known.attempt);
        if latest.is_none_or(|(direction, attempt)| agent::age(direction, attempt) < age) {
            latest = Some((known.direction, known.attempt));
        }
    }
    Ok(latest)
}

fn executor(c: &Connection) -> rusqlite::Result<ExecutorEpoch> {
    let found = c
        .prepare_cached("SELECT value FROM meta WHERE key = 'executor'")?
        .query_row([], |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(ExecutorEpoch(
        u64::try_from(found.unwrap_or(0)).unwrap_or(0),
    ))
}

fn set_executor(c: &Connection, newer: ExecutorEpoch) -> rusqlite::Result<()> {
    c.prepare_cached(
        "INSERT INTO meta (key, value) VALUES ('executor', ?1)
         ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
    )?
    .execute([number(newer.0)])
    .map(|_| ())
}

fn epoch_in(c: &Connection, table: &str, store: &ComponentId) -> rusqlite::Result<Epoch> {
    let found = c
        .prepare_cached(&format!("SELECT epoch FROM {table} WHERE store = ?1"))?
        .query_row([store.as_str()], |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(Epoch(u64::try_from(found.unwrap_or(0)).unwrap_or(0)))
}

fn epochs(c: &Connection, table: &str) -> rusqlite::Result<BTreeMap<ComponentId, Epoch>> {
    let mut rows = c.prepare_cached(&format!("SELECT store, epoch FROM {table}"))?;
    let found = rows.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    })?;
    let named = found.filter_map(|row| {
        let (name, epoch) = row.ok()?;
        let epoch = Epoch(u64::try_from(epoch).unwrap_or(0));
        Some((ComponentId::new(name).ok()?, epoch))
    });
    Ok(named.collect())
}

/// Floors and owned epochs only ever grow.
fn raise(c: &Connection, table: &str, store: &ComponentId, epoch: Epoch) -> rusqlite::Result<()> {
    c.prepare_cached(&format!(
        "INSERT INTO {table} (store, epoch) VALUES (?1, ?2)
         ON CONFLICT (store) DO UPDATE SET epoch = max(epoch, excluded.epoch)"
    ))?
    .execute(params![store.as_str(), number(epoch.0)])
    .map(|_| ())
}

fn held(c: &Connection, name: &str) -> rusqlite::Result<Option<Held>> {
    c.prepare_cached("SELECT since, why FROM held WHERE store = ?1")?
        .query_row([name], |row| {
            Ok(Held {
                since: Timestamp(row.get(0)?),
                why: row.get(1)?,
            })
        })
        .optional()
}
