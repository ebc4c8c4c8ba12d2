//! Seal, unseal, promote, demote, catch up: the changes of ownership at this agent's own site.
//! Each checks epochs before it acts and can be repeated. Must not know how a rebuild is done.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use mainstay_driver::{ActError, Handle, Order, Progress};
use mainstay_model::{Epoch, Output, Position, SiteId, Span};
use tokio_postgres::Client;

use super::{
    instance::Instance,
    look::{Look, StoredMark, mark},
    mark as marks,
    server::{StopMode, file_failed},
};
use crate::shared::{lasting, passing};

/// How long an action is waited for before it is polled.
const INLINE: Duration = Duration::from_secs(10);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(15);

/// A position as a step's output.
pub(super) fn at_position(lsn: u64, values: &[(&str, String)]) -> Output {
    Output {
        position: Some(Position::Lsn(lsn)),
        values: values
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// An LSN as PostgreSQL writes it.
pub(super) fn lsn_text(lsn: u64) -> String {
    format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF)
}

impl Instance {
    /// Opens a session here and reads what there is; nothing has been changed when this fails.
    async fn start_here(&self) -> Result<(Client, Look, Option<StoredMark>), ActError> {
        let (client, seen) = self.look_here().await.map_err(ActError::NotDone)?;
        let stored = mark(&client).await.map_err(|e| marks::not_done(&e))?;
        Ok((client, seen, stored))
    }

    /// Refuses an epoch below the mark's, or below the floor.
    fn refuse_stale(&self, epoch: Epoch, stored: Option<&StoredMark>) -> Result<(), ActError> {
        let by_mark = stored.map(|stored| stored.mark.epoch).unwrap_or_default();
        let floor = self.floor();
        let newest = by_mark.max(floor);
        if epoch < newest {
            return Err(ActError::StaleEpoch(newest));
        }
        Ok(())
    }

    /// The lowest epoch that may be promoted here.
    pub(super) fn floor(&self) -> Epoch {
        self.folder().map_or(Epoch(0), |path| {
            super::files::Folder { path, owner: None }.floor()
        })
    }

    /// Refuses application writes here from now on.
    pub(super) async fn seal(&self, order: &Order, epoch: Epoch) -> Result<Progress, ActError> {
        let (mut client, seen, stored) = self.start_here().await?;
        self.refuse_stale(epoch, stored.as_ref())?;
        if seen.recovery {
            // A standby takes no writes; its gate is shut so that it boots sealed after a promote as well.
            let seen = self.shut(&client).await?;
            return Ok(Progress::Done(at_position(seen.lsn, &[])));
        }
        marks::prepare(&mut client, &self.options.app_roles)
            .await
            .map_err(|e| marks::not_done(&e))?;
        let stored = match stored {
            Some(stored) => Some(stored),
            None => mark(&client).await.map_err(|e| marks::not_done(&e))?,
        };
        let seen = self.shut(&client).await?;
        let written = stored
            .and_then(|stored| seen.written_since(&stored))
            .unwrap_or(true);
        let here = &self.home.site;
        marks::seal(&mut client, epoch, here, &order.id.run, written).await?;
        self.remember(epoch);
        // Whoever was let in while the gate closed is in by now, and is shown out: it could only read.
        let seen = self.shut(&client).await?;
        let output = at_position(seen.lsn, &[("lsn", lsn_text(seen.lsn))]);
        Ok(Progress::Done(output))
    }

    /// Takes writes again here, at a new epoch.
    pub(super) async fn unseal(&self, order: &Order, epoch: Epoch) -> Result<Progress, ActError> {
        let (mut client, seen, stored) = self.start_here().await?;
        self.refuse_stale(epoch, stored.as_ref())?;
        if seen.recovery {
            return Err(ActError::NotDone(lasting(
                "postgres-is-standby",
                "the cluster is a standby: it has to be promoted, not unsealed",
            )));
        }
        self.take(&mut client, order, epoch).await
    }

    /// Makes the copy here writable.
    pub(super) async fn promote(&self, order: &Order, epoch: Epoch) -> Result<Progress, ActError> {
        let (mut client, seen, stored) = self.start_here().await?;
        self.refuse_stale(epoch, stored.as_ref())?;
        let taken_by_other = stored.as_ref().is_some_and(|stored| {
            stored.mark.epoch == epoch && stored.mark.owner != self.home.site
        });
        if taken_by_other {
            return Err(ActError::StaleEpoch(epoch));
        }
        if seen.recovery {
            // Shut first: between the promotion and the mark nobody may write.
            self.shut(&client).await?;
            let asked = client.query_one("SELECT pg_promote(false)", &[]).await;
            asked.map_err(|e| marks::unknown(&e))?;
            if !self.left_recovery(&client).await? {
                return Ok(running("waiting for the end of recovery"));
            }
        }
        self.take(&mut client, order, epoch).await
    }

    async fn left_recovery(&self, client: &Client) -> Result<bool, ActError> {
        let deadline = Instant::now() + INLINE;
        while Instant::now() < deadline {
            let row = client
                .query_one("SELECT NOT pg_is_in_recovery()", &[])
                .await;
            let row = row.map_err(|e| marks::unknown(&e))?;
            if row.try_get(0).map_err(|e| marks::unknown(&e))? {
                return Ok(true);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(false)
    }

    /// Writes the mark on condition, then opens the gate; reserves log for the sites that will follow.
    async fn take(
        &self,
        client: &mut Client,
        order: &Order,
        epoch: Epoch,
    ) -> Result<Progress, ActError> {
        marks::prepare(client, &self.options.app_roles)
            .await
            .map_err(|e| marks::unknown(&e))?;
        let here = &self.home.site;
        marks::open(client, epoch, here, &order.id.run).await?;
        self.remember(epoch);
        self.reserve_slots(client).await;
        let seen = self.open(client).await?;
        let output = at_position(
            seen.lsn,
            &[
                ("lsn", lsn_text(seen.lsn)),
                ("timeline", seen.timeline.to_string()),
            ],
        );
        Ok(Progress::Done(output))
    }

    /// Keeps the log that the other sites will need. Without it a rebuild copies everything, so a failure is no error.
    async fn reserve_slots(&self, client: &Client) {
        let create = "SELECT pg_create_physical_replication_slot($1, true)
            WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $2)";
        for site in self.sites.keys().filter(|site| **site != self.home.site) {
            let slot = Self::slot(site);
            if let Err(error) = client.query_opt(create, &[&slot, &slot]).await {
                tracing::warn!(%error, slot, "no replication slot");
            }
        }
    }

    /// Voids a promote: refuses writes here at this epoch, and any later promote below it.
    pub(super) async fn demote(&self, order: &Order, epoch: Epoch) -> Result<Progress, ActError> {
        self.raise_floor(epoch).await?;
        let (client, seen, _) = self.start_here().await.map_err(|error| match error {
            ActError::NotDone(cause) => ActError::Unknown(cause),
            other => other,
        })?;
        if seen.recovery {
            let seen = self.shut(&client).await?;
            return Ok(Progress::Done(at_position(seen.lsn, &[])));
        }
        drop(client);
        self.seal(order, epoch).await
    }

    /// Shuts out every writer below this epoch here, whatever it takes: a server that does not answer is stopped.
    pub(super) async fn fence(&self, order: &Order, below: Epoch) -> Result<Progress, ActError> {
        self.raise_floor(below).await?;
        let sealed = self.seal(order, below).await;
        match sealed {
            Ok(done) => Ok(done),
            Err(ActError::StaleEpoch(newer)) => Err(ActError::StaleEpoch(newer)),
            Err(ActError::NotDone(_) | ActError::Unknown(_)) => {
                let server = self.server().await.map_err(ActError::Unknown)?;
                if !server.folder.is_cluster() {
                    return Ok(Progress::Done(Output::default()));
                }
                server.seal_files().await.map_err(ActError::Unknown)?;
                let stopped = server.stop(StopMode::Immediate).await;
                stopped.map_err(ActError::Unknown)?;
                Ok(Progress::Done(Output::default()))
            }
        }
    }

    /// Keeps the newest epoch that the mark here ever had, for the time when the cluster does not run.
    pub(super) fn remember(&self, epoch: Epoch) {
        if self.remembered() >= epoch {
            return;
        }
        let file = self.state("newest-epoch");
        let write = || -> std::io::Result<()> {
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let new = file.with_extension("new");
            std::fs::write(&new, epoch.to_string())?;
            std::fs::rename(new, &file)
        };
        if let Err(error) = write() {
            tracing::warn!(%error, "the newest epoch is not kept");
        }
    }

    /// The newest epoch that the mark here ever had, as far as this agent knows.
    pub(super) fn remembered(&self) -> Epoch {
        let text = std::fs::read_to_string(self.state("newest-epoch")).unwrap_or_default();
        Epoch(text.trim().parse().unwrap_or(0))
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), ActError> {
        if !self.owns(&self.home.site) {
            return Ok(());
        }
        let server = self.server().await.map_err(ActError::NotDone)?;
        let raised = server.folder.raise_floor(epoch);
        raised.map_err(|e| ActError::NotDone(file_failed(&e)))
    }

    /// Waits until the standby here has replayed what the sealed source had flushed.
    pub(super) async fn catch_up(
        &self,
        order: &Order,
        from: &SiteId,
    ) -> Result<Progress, ActError> {
        let wanted = match wanted(order) {
            Some(lsn) => lsn,
            None => self.flushed_at(from).await?,
        };
        let deadline = Instant::now() + INLINE;
        let (client, mut seen) = self.look_here().await.map_err(ActError::NotDone)?;
        let replayed = "SELECT (coalesce(pg_last_wal_replay_lsn(), '0/0') - '0/0'::pg_lsn)::int8";
        while seen.lsn < wanted && Instant::now() < deadline {
            tokio::time::sleep(PAUSE).await;
            // Nothing is changed by looking, whatever happens to the session.
            let row = client.query_one(replayed, &[]).await;
            let row = row.map_err(|e| marks::not_done(&e))?;
            let lsn: i64 = row.try_get(0).map_err(|e| marks::not_done(&e))?;
            seen.lsn = u64::try_from(lsn).unwrap_or(0);
        }
        if seen.lsn >= wanted {
            let output = at_position(seen.lsn, &[("lsn", lsn_text(seen.lsn))]);
            return Ok(Progress::Done(output));
        }
        Ok(running(&format!("{} bytes behind", wanted - seen.lsn)))
    }

    async fn flushed_at(&self, from: &SiteId) -> Result<u64, ActError> {
        let sample = self
            .ask_source(from)
            .await
            .map_err(|what| ActError::NotDone(passing("store-unreachable", what)))?;
        Ok(sample.flushed)
    }
}

/// The position that an earlier step found, if it was handed over.
fn wanted(order: &Order) -> Option<u64> {
    let positions = order.inputs.iter().map(|input| &input.output.position);
    positions
        .filter_map(|position| match position {
            Some(Position::Lsn(lsn)) => Some(*lsn),
            _ => None,
        })
        .max()
}

/// It goes on at the server; doing it again is how it is polled.
fn running(note: &str) -> Progress {
    Progress::Running {
        handle: Handle("again".to_owned()),
        again_in: Span::from_millis(200),
        note: Some(note.to_owned()),
    }
}
