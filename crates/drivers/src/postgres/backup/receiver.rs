//! `pg_receivewal`: one process that writes the log into a folder as the server writes it, synced at once, and a
//! replication slot that keeps the server from removing what was not received.
//! Must not know repositories.

use std::{
    path::Path,
    process::{Child, Stdio},
};

use mainstay_driver::Cause;
use mainstay_model::{ComponentId, Timestamp};
use tokio_postgres::Client;

use super::{
    super::{mark::failed, programs::end_orphans},
    output::{Words, words},
    store::Store,
    wait::wait,
};
use crate::shared::passing;

/// What the server says when the log that is asked for is gone.
const REMOVED: &str = "has already been removed";
const PROGRAM: &str = "pg_receivewal";

/// A receiver under way.
pub(super) struct Receiver {
    child: Child,
    words: Option<Words>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Why a receiver ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// The server does not have what comes next any more.
    Lost(String),
    /// Anything else: it may work the next time.
    Broken(String),
}

impl Receiver {
    /// Starts one. It takes up where the files in the folder end, else where the slot is.
    pub(super) fn start(store: &Store, spool: &Path) -> Result<Self, Cause> {
        let site = &store.instance.home.site;
        let (login, password, programs) = wait(async {
            let login = store.instance.copier(site).await?;
            let password = store.instance.copier_password(site).await?;
            Ok((login, password, store.instance.programs().await?))
        })?;
        Self::end_orphan(spool);
        let mut command = programs.client(PROGRAM);
        command
            .args([
                "--synchronous",
                "--no-loop",
                "-w",
                "-s",
                "1",
                "-S",
                &slot(&store.instance.name),
            ])
            .args(["-d", &login.conninfo(), "-D"])
            .arg(spool)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(password) = password {
            command.env("PGPASSWORD", password);
        }
        let mut child = command.spawn().map_err(|error| {
            passing(
                "postgres-program-failed",
                format!("cannot run {PROGRAM}: {error}"),
            )
        })?;
        Ok(Self {
            words: child.stderr.take().map(words),
            child,
        })
    }

    /// Ends one that an agent which is gone had started.
    pub(super) fn end_orphan(spool: &Path) {
        end_orphans(&[PROGRAM], &[spool.display().to_string()]);
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<Ended> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => {
                let said = self.words.take().map(Words::last).unwrap_or_default();
                let what = format!("{PROGRAM} ended with {status}: {said}");
                Some(if said.contains(REMOVED) {
                    Ended::Lost(what)
                } else {
                    Ended::Broken(what)
                })
            }
            Err(error) => Some(Ended::Broken(error.to_string())),
        }
    }

    /// Ends it at once: what it has synced stays, and it takes up there.
    pub(super) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    #[cfg(test)]
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// The slot's name.
pub(super) fn slot(store: &ComponentId) -> String {
    let name = store
        .as_str()
        .chars()
        .map(|c| match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => c,
            _ => '_',
        });
    format!("mainstay_log_{}", name.take(45).collect::<String>())
}

/// Whether the slot still keeps what was not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// It was there, and it keeps.
    Kept,
    /// It was made now: what was written before may be gone.
    New,
}

/// Makes sure that there is a slot that keeps the log.
pub(super) async fn prepare_slot(client: &Client, store: &ComponentId) -> Result<Slot, Cause> {
    let name = slot(store);
    let lost = "SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = $1";
    let found = client
        .query_opt(lost, &[&name])
        .await
        .map_err(|e| failed(&e))?;
    let lost: Option<bool> = match found {
        Some(row) => row.try_get(0).map_err(|e| failed(&e))?,
        None => return make_slot(client, &name).await,
    };
    if lost == Some(true) {
        drop_slot(client, store).await?;
        return make_slot(client, &name).await;
    }
    Ok(Slot::Kept)
}

async fn make_slot(client: &Client, name: &str) -> Result<Slot, Cause> {
    let make = "SELECT pg_create_physical_replication_slot($1, true)";
    client
        .query_one(make, &[&name])
        .await
        .map_err(|e| failed(&e))?;
    Ok(Slot::New)
}

/// Removes the slot, so that the server keeps nothing for a receiver that does not come.
pub(super) async fn drop_slot(client: &Client, store: &ComponentId) -> Result<(), Cause> {
    let end = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
        WHERE slot_name = $1 AND NOT active";
    client
        .query(end, &[&slot(store)])
        .await
        .map_err(|e| failed(&e))?;
    Ok(())
}

/// How far the server and the receiver are, seen in one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// The server's clock, before it looked at its log.
    pub(super) clock: Timestamp,
    /// What the server has flushed then: every write acknowledged before is in it.
    pub(super) flushed: u64,
    /// What the receiver has synced, if one is connected.
    pub(super) received: Option<u64>,
}

/// Asks a primary.
pub(super) async fn pace(client: &Client, store: &ComponentId) -> Result<Pace, Cause> {
    let clock = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8";
    let row = client.query_one(clock, &[]).await.map_err(|e| failed(&e))?;
    let clock = Timestamp(row.try_get(0).map_err(|e| failed(&e))?);
    let sql = "SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::int8,
        (SELECT (r.flush_lsn - '0/0'::pg_lsn)::int8 FROM pg_stat_replication r
         JOIN pg_replication_slots s ON s.active_pid = r.pid WHERE s.slot_name = $1)";
    let row = client
        .query_one(sql, &[&slot(store)])
        .await
        .map_err(|e| failed(&e))?;
    let flushed: i64 = row.try_get(0).map_err(|e| failed(&e))?;
    let received: Option<i64> = row.try_get(1).map_err(|e| failed(&e))?;
    let unsigned = |lsn: i64| u64::try_from(lsn).unwrap_or(0);
    Ok(Pace {
        clock,
        flushed: unsigned(flushed),
        received: received.map(unsigned),
    })
}
