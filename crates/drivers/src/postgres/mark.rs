//! The ownership mark in the database itself: its table, and its conditional writes (I2, I3).
//! Must not know files or other sites.

use mainstay_driver::{ActError, Cause};
use mainstay_model::{Epoch, RunId, SiteId};
use tokio_postgres::{Client, Error, Transaction};

use super::{look::mark as read, session::describe};
use crate::shared::passing;

/// The application reads `epoch`, `owner`, `run` and `state`, and may lock the row: its write and a seal cannot
/// then overtake each other. Locking needs a right to update, and a column whose value cannot change is harmless.
const TABLE: &str = "
CREATE SCHEMA IF NOT EXISTS mainstay;
CREATE TABLE IF NOT EXISTS mainstay.mark (
  id integer PRIMARY KEY CHECK (id = 1),
  epoch bigint NOT NULL,
  owner text NOT NULL,
  run text NOT NULL DEFAULT '',
  state text NOT NULL CHECK (state IN ('open', 'sealed')),
  opened_xid bigint NOT NULL,
  written boolean NOT NULL DEFAULT false,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);";

/// Takes the epoch if it is newer than the stored one, or the same owner's again.
const OPEN: &str = "
INSERT INTO mainstay.mark AS m (id, epoch, owner, run, state, opened_xid)
VALUES (1, $1, $2, $3, 'open', pg_current_xact_id()::text::bigint)
ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, owner = excluded.owner, run = excluded.run, state = 'open',
  opened_xid = excluded.opened_xid, written = false, at = clock_timestamp()
WHERE m.epoch < excluded.epoch";

/// Remembers that writes are over, and whether there were any.
const SEAL: &str = "
INSERT INTO mainstay.mark AS m (id, epoch, owner, run, state, opened_xid, written)
VALUES (1, $1, $2, $3, 'sealed', 0, true)
ON CONFLICT (id) DO UPDATE SET epoch = greatest(m.epoch, excluded.epoch), state = 'sealed', at = clock_timestamp(),
  written = m.written OR (m.state = 'open' AND $4)
WHERE m.epoch <= $1";

/// A statement failed: what that means is the caller's to say.
pub(super) fn failed(error: &Error) -> Cause {
    passing("postgres-statement-failed", describe(error))
}

/// A statement failed before anything was changed.
pub(super) fn not_done(error: &Error) -> ActError {
    ActError::NotDone(failed(error))
}

/// A statement failed after something was changed.
pub(super) fn unknown(error: &Error) -> ActError {
    ActError::Unknown(failed(error))
}

/// Begins a transaction that writes although new transactions are read-only by default. It must not wait for a
/// synchronous standby: that standby may be what is lost.
async fn begin(client: &mut Client) -> Result<Transaction<'_>, Error> {
    let transaction = client.build_transaction().read_only(false).start().await?;
    transaction
        .batch_execute("SET LOCAL synchronous_commit = local")
        .await?;
    Ok(transaction)
}

/// Makes sure that the table is there, and that the application may read it.
pub(super) async fn prepare(client: &mut Client, app_roles: &[String]) -> Result<(), Error> {
    let ready = "SELECT to_regclass('mainstay.mark') IS NOT NULL AND NOT EXISTS (
      SELECT FROM pg_roles WHERE rolname = ANY ($1)
        AND NOT (has_schema_privilege(oid, 'mainstay', 'USAGE')))";
    if client.query_one(ready, &[&app_roles]).await?.try_get(0)? {
        return Ok(());
    }
    let transaction = begin(client).await?;
    transaction.batch_execute(TABLE).await?;
    let known = transaction
        .query(
            "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname = ANY ($1)",
            &[&app_roles],
        )
        .await?;
    for row in known {
        let role: String = row.try_get(0)?;
        let grants = format!(
            "GRANT USAGE ON SCHEMA mainstay TO {role};
             GRANT SELECT, UPDATE (id) ON mainstay.mark TO {role};"
        );
        transaction.batch_execute(&grants).await?;
    }
    transaction.commit().await
}

/// Writes the mark that opens the store, unless a newer one is there.
pub(super) async fn open(
    client: &mut Client,
    epoch: Epoch,
    owner: &SiteId,
    run: &RunId,
) -> Result<(), ActError> {
    let number = i64::try_from(epoch.0).unwrap_or(i64::MAX);
    let transaction = begin(client).await.map_err(|e| not_done(&e))?;
    let changed = transaction
        .execute(OPEN, &[&number, &owner.as_str(), &run.as_str()])
        .await
        .map_err(|e| not_done(&e))?;
    transaction.commit().await.map_err(|e| unknown(&e))?;
    if changed == 1 {
        return Ok(());
    }
    match read(client).await.map_err(|e| not_done(&e))? {
        // The same promote again.
        Some(stored)
            if stored.mark.epoch == epoch && stored.mark.owner == *owner && stored.open =>
        {
            Ok(())
        }
        Some(stored) => Err(ActError::StaleEpoch(stored.mark.epoch)),
        None => Err(ActError::NotDone(passing(
            "mark-foreign",
            "the ownership mark is not one that Mainstay wrote",
        ))),
    }
}

/// Writes the mark that seals the store, unless a newer one is there. `written`: whether somebody wrote.
pub(super) async fn seal(
    client: &mut Client,
    epoch: Epoch,
    owner: &SiteId,
    run: &RunId,
    written: bool,
) -> Result<(), ActError> {
    let number = i64::try_from(epoch.0).unwrap_or(i64::MAX);
    let transaction = begin(client).await.map_err(|e| unknown(&e))?;
    let changed = transaction
        .execute(SEAL, &[&number, &owner.as_str(), &run.as_str(), &written])
        .await
        .map_err(|e| unknown(&e))?;
    transaction.commit().await.map_err(|e| unknown(&e))?;
    if changed == 1 {
        return Ok(());
    }
    match read(client).await.map_err(|e| unknown(&e))? {
        Some(stored) => Err(ActError::StaleEpoch(stored.mark.epoch)),
        None => Ok(()),
    }
}
