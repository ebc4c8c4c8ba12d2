//! One look at a server: its role, its position, its seal, who is connected, and the ownership mark.
//! Changes nothing. Must not know what the facts are for.

use mainstay_model::{Epoch, Mark, RunId, SiteId};
use tokio_postgres::{Client, Error, error::SqlState};

/// What a server said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a server's own answer to its own question"
)]
pub(super) struct Look {
    /// It follows another server.
    pub(super) recovery: bool,
    /// A primary's flushed position, a standby's replayed one.
    pub(super) lsn: u64,
    /// A standby: how far it has received.
    pub(super) received: Option<u64>,
    /// A standby: the source's time of the last commit it replayed, in microseconds.
    pub(super) replayed_at: Option<i64>,
    /// Every new transaction is read-only.
    pub(super) read_only: bool,
    /// `pg_hba.conf` turns everyone away but Mainstay and replication; none when this cannot be asked.
    pub(super) shut: Option<bool>,
    /// Sessions of others.
    pub(super) sessions: i64,
    /// The next transaction number; 0 in a standby.
    pub(super) next_xid: i64,
    /// Whether a session of others has begun to write.
    pub(super) writing: bool,
    /// Whom a standby follows, as a connection string.
    pub(super) follows: Option<String>,
    /// A standby's receiver streams.
    pub(super) streaming: bool,
    /// Same for all copies of one cluster.
    pub(super) system: i64,
    /// The timeline of the last checkpoint.
    pub(super) timeline: i32,
}

/// The mark as stored, with what only PostgreSQL's needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredMark {
    pub(super) mark: Mark,
    /// Writes are meant to be open at this mark.
    pub(super) open: bool,
    /// The transaction that opened writes.
    pub(super) opened_xid: i64,
    /// Somebody wrote under this mark, as found when it was sealed.
    pub(super) written: bool,
}

const LOOK: &str = "SELECT
  r.recovery,
  (CASE WHEN r.recovery THEN coalesce(pg_last_wal_replay_lsn(), '0/0')
        ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn)::int8 AS lsn,
  (pg_last_wal_receive_lsn() - '0/0'::pg_lsn)::int8 AS received,
  (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::int8 AS replayed_at,
  current_setting('default_transaction_read_only')::bool AS read_only,
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
     AND pid <> pg_backend_pid() AND usename <> ALL ($1)) AS sessions,
  CASE WHEN r.recovery THEN 0
       ELSE pg_snapshot_xmax(pg_current_snapshot())::text::int8 END AS next_xid,
  (SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_xid IS NOT NULL
     AND pid <> pg_backend_pid() AND usename <> ALL ($1)) AS writing,
  CASE WHEN r.recovery THEN current_setting('primary_conninfo', true) END AS follows,
  coalesce((SELECT status = 'streaming' FROM pg_stat_wal_receiver), false) AS streaming,
  (SELECT system_identifier FROM pg_control_system()) AS system,
  (SELECT timeline_id FROM pg_control_checkpoint()) AS timeline
FROM (SELECT pg_is_in_recovery() AS recovery) AS r";

/// The gate is shut when the rules that turn everyone away are in the file, and the file has no error.
const GATE: &str = "SELECT
  count(*) FILTER (WHERE error IS NOT NULL) = 0
  AND count(*) FILTER (WHERE auth_method = 'reject' AND database = '{all}' AND user_name = '{all}'
                       AND type IN ('host', 'local')) >= 2
FROM pg_hba_file_rules";

const MARK: &str = "SELECT epoch, owner, run, state = 'open', opened_xid, written
FROM mainstay.mark WHERE id = 1";

/// Looks. `ours` are the roles whose sessions are not an application's.
pub(super) async fn look(client: &Client, ours: &[String], owned: bool) -> Result<Look, Error> {
    let row = client.query_one(LOOK, &[&ours]).await?;
    let shut = if owned {
        Some(client.query_one(GATE, &[]).await?.try_get(0)?)
    } else {
        None
    };
    let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok(Look {
        recovery: row.try_get("recovery")?,
        lsn: unsigned(row.try_get("lsn")?),
        received: row.try_get::<_, Option<i64>>("received")?.map(unsigned),
        replayed_at: row.try_get("replayed_at")?,
        read_only: row.try_get("read_only")?,
        shut,
        sessions: row.try_get("sessions")?,
        next_xid: row.try_get("next_xid")?,
        writing: row.try_get("writing")?,
        follows: row.try_get::<_, Option<String>>("follows")?,
        streaming: row.try_get("streaming")?,
        system: row.try_get("system")?,
        timeline: row.try_get("timeline")?,
    })
}

impl Look {
    /// Whether applications surely cannot write.
    pub(super) fn sealed(&self) -> bool {
        self.read_only && self.shut != Some(false) && self.sessions == 0
    }

    /// Whether somebody wrote since the mark was opened. A transaction of the server's own (its automatic
    /// analysis) counts too: that errs on the safe side.
    pub(super) fn written_since(&self, stored: &StoredMark) -> Option<bool> {
        match (self.recovery, stored.open) {
            (true, _) => None,
            (false, true) => Some(self.writing || self.next_xid > stored.opened_xid + 1),
            (false, false) => Some(stored.written),
        }
    }
}

/// Reads the mark, if there is one.
pub(super) async fn mark(client: &Client) -> Result<Option<StoredMark>, Error> {
    let row = match client.query_opt(MARK, &[]).await {
        Ok(Some(row)) => row,
        Ok(None) => return Ok(None),
        Err(error) => {
            return match error.code() {
                Some(code)
                    if *code == SqlState::UNDEFINED_TABLE
                        || *code == SqlState::INVALID_SCHEMA_NAME =>
                {
                    Ok(None)
                }
                _ => Err(error),
            };
        }
    };
    let owner: String = row.try_get(1)?;
    let run: String = row.try_get(2)?;
    // An owner that is no site's name was not written by Mainstay.
    let Ok(owner) = SiteId::new(owner) else {
        return Ok(None);
    };
    Ok(Some(StoredMark {
        mark: Mark {
            epoch: Epoch(u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0)),
            owner,
            run: RunId::new(run).ok(),
        },
        open: row.try_get(3)?,
        opened_xid: row.try_get(4)?,
        written: row.try_get(5)?,
    }))
}
