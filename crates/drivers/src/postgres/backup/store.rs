//! One store whose backups are made: how its snapshots are labelled, and what its server says before one is made.
//! Must not know how backups are made.

use std::path::{Path, PathBuf};

use mainstay_backup::{BackupOptions, Holds, Label, Parent};
use mainstay_driver::Cause;
use mainstay_model::{Epoch, KindName, Position, Timestamp};
use tokio_postgres::Client;

use super::{
    super::{
        instance::{Instance, unreachable},
        look::mark,
        mark::failed,
    },
    segment::Size,
};
use crate::shared::lasting;

/// Before each of the tags that only this kind has.
const PREFIX: &str = "mainstay:postgres-";

/// A store of a system, as this agent sees it.
#[derive(Debug, Clone)]
pub(in super::super) struct Store {
    pub(in super::super) instance: Instance,
    pub(in super::super) system: String,
}

/// A cluster as it says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Same for all copies of one cluster, and for no other.
    pub(super) cluster: u64,
    pub(super) size: Size,
    pub(super) recovery: bool,
    pub(super) epoch: Epoch,
    /// Whether the ownership mark names this site.
    pub(super) ours: bool,
    /// The server's clock.
    pub(super) clock: Timestamp,
    /// Tablespaces outside the data folder.
    pub(super) tablespaces: i64,
    pub(super) timeline: u32,
}

impl Store {
    /// The label of a snapshot.
    pub(super) fn label(
        &self,
        seen: &Seen,
        taken: Timestamp,
        at: Option<u64>,
        holds: Holds,
    ) -> Label {
        Label {
            taken,
            system: self.system.clone(),
            store: self.instance.name.clone(),
            kind: kind(),
            site: self.instance.home.site.clone(),
            epoch: seen.epoch,
            position: at.map(Position::Lsn),
            holds,
        }
    }

    /// The options of a snapshot; its tags are told at its end.
    pub(super) fn options(&self) -> BackupOptions {
        BackupOptions {
            hostname: Some(format!("{}.{}", self.instance.home.site, self.system)),
            parent: Parent::Nothing,
            ..BackupOptions::default()
        }
    }

    /// Where in a snapshot this store's data folder is.
    pub(super) fn data_path(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Where in a snapshot everything of this store is.
    pub(super) fn path(&self) -> PathBuf {
        Path::new("/").join(self.instance.name.as_str())
    }

    /// Where in a snapshot a group of log files is.
    pub(super) fn log_path(&self, cluster: u64, group: &str) -> PathBuf {
        self.path()
            .join("log")
            .join(cluster.to_string())
            .join(group)
    }

    /// Connects as Mainstay at this agent's site.
    pub(super) async fn connect(&self) -> Result<Client, Cause> {
        let login = self.instance.admin(&self.instance.home.site).await?;
        login.connect().await.map_err(|e| unreachable(&e))
    }

    /// Asks the server here.
    pub(super) async fn look(&self) -> Result<Seen, Cause> {
        self.look_with(&self.connect().await?).await
    }

    /// Asks through an open session.
    pub(super) async fn look_with(&self, client: &Client) -> Result<Seen, Cause> {
        let sql = "SELECT (SELECT system_identifier FROM pg_control_system()),
            (SELECT setting::int8 FROM pg_settings WHERE name = 'wal_segment_size'),
            pg_is_in_recovery(), (extract(epoch FROM clock_timestamp()) * 1000000)::int8,
            (SELECT count(*) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')),
            (SELECT timeline_id FROM pg_control_checkpoint()),
            CASE WHEN pg_is_in_recovery() THEN NULL ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END";
        let row = client.query_one(sql, &[]).await.map_err(|e| failed(&e))?;
        let stored = mark(client).await.map_err(|e| failed(&e))?;
        let mark = stored.map(|stored| stored.mark);
        let number = |at: usize| row.try_get::<_, i64>(at).map_err(|e| failed(&e));
        let bytes = u64::try_from(number(1)?).unwrap_or(0);
        let checkpoint: i32 = row.try_get(5).map_err(|e| failed(&e))?;
        let now: Option<String> = row.try_get(6).map_err(|e| failed(&e))?;
        let now = now.and_then(|text| u32::from_str_radix(&text, 16).ok());
        Ok(Seen {
            cluster: number(0)?.cast_unsigned(),
            size: Size::new(bytes).ok_or_else(|| {
                lasting(
                    "postgres-log-unknown",
                    format!("its log files have {bytes} bytes"),
                )
            })?,
            recovery: row.try_get(2).map_err(|e| failed(&e))?,
            epoch: mark.as_ref().map(|mark| mark.epoch).unwrap_or_default(),
            ours: mark.is_some_and(|mark| mark.owner == self.instance.home.site),
            clock: Timestamp(number(3)?),
            tablespaces: number(4)?,
            timeline: now.unwrap_or(checkpoint.cast_unsigned()),
        })
    }
}

fn kind() -> KindName {
    match KindName::new("postgres") {
        Ok(kind) => kind,
        Err(_) => unreachable!("the kind's own name is a name"),
    }
}

/// A tag that only this kind has.
pub(super) fn tag(key: &str, value: impl std::fmt::Display) -> String {
    format!("{PREFIX}{key}={value}")
}

/// The value of such a tag.
pub(super) fn tagged<'a>(tags: &'a [String], key: &str) -> Option<&'a str> {
    let mut all = tags.iter().filter_map(|tag| tag.strip_prefix(PREFIX));
    all.find_map(|tag| tag.strip_prefix(key)?.strip_prefix('='))
}
