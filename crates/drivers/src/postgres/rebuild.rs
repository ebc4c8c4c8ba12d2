//! Makes this agent's cluster a standby of another site: rewound where that works, else copied anew. The folder that
//! was there is kept until the copy is proven. A second attempt after a crash carries on. Must not know epochs' rules.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, chown},
    path::PathBuf,
    time::{Duration, Instant},
};

use mainstay_driver::{ActError, Cause, Order};
use mainstay_model::{Output, SiteId};
use tokio_postgres::Client;

use super::{
    files::Folder,
    instance::{Instance, unreachable},
    job::{Notes, state_failed},
    look::mark,
    mark::{failed, not_done},
    moves::{at_position, lsn_text},
    programs,
    server::{READ_ONLY, Server, StopMode, file_failed},
    session::Login,
};
use crate::shared::{lasting, passing};

/// How long a copy of everything may take.
const COPY: Duration = Duration::from_secs(24 * 3600);
/// How long a new standby may take to stream, once it takes connections.
const STREAM: Duration = Duration::from_secs(30);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// The status file of a rebuild in the agent's own state.
pub(super) const STATUS: &str = "rebuild.json";
/// Is there while a rewind has not come to its end: the folder is then neither the old cluster nor the new one.
pub(super) const TORN: &str = "rewinding";

/// What the source is asked before anything is touched.
struct Source {
    site: SiteId,
    login: Login,
    password: Option<String>,
    system: i64,
}

impl Instance {
    /// Whether the rebuild may begin: the source owns the store, and nothing here is newer or open. Says so when
    /// this site follows the source already.
    pub(super) async fn may_rebuild(
        &self,
        order: &Order,
        from: &SiteId,
    ) -> Result<Option<Output>, ActError> {
        let source = self.source(from).await.map_err(ActError::NotDone)?;
        let client = source.login.connect().await;
        let client = client.map_err(|e| ActError::NotDone(unreachable(&e)))?;
        let theirs = mark(&client).await.map_err(|e| not_done(&e))?;
        let Some(theirs) = theirs.filter(|stored| stored.mark.owner == *from) else {
            return Err(ActError::NotDone(lasting(
                "source-not-owner",
                format!(
                    "{from} does not own {}: nothing here is given up for it",
                    self.name
                ),
            )));
        };
        if order
            .fence
            .as_ref()
            .is_some_and(|fence| fence.epoch > theirs.mark.epoch)
        {
            return Err(ActError::NotDone(lasting(
                "source-stale",
                format!("{from} is only at epoch {}", theirs.mark.epoch),
            )));
        }
        let server = self.server().await.map_err(ActError::NotDone)?;
        if server.folder.postmaster().is_none() {
            let newest = self.remembered();
            return if newest > theirs.mark.epoch && server.folder.is_cluster() {
                Err(ActError::StaleEpoch(newest))
            } else {
                Ok(None)
            };
        }
        let Ok((client, seen)) = self.look_here().await else {
            // It does not answer, so it does not serve either; it will be stopped.
            return Ok(None);
        };
        let follows = seen.follows.as_deref().and_then(|to| self.site_of(to));
        if seen.recovery {
            let done = seen.streaming && follows.as_ref() == Some(from);
            return Ok(done.then(|| at_position(seen.lsn, &[("by", "streaming".to_owned())])));
        }
        let ours = mark(&client).await.map_err(|e| not_done(&e))?;
        if let Some(ours) = ours.filter(|ours| ours.mark.epoch > theirs.mark.epoch) {
            return Err(ActError::StaleEpoch(ours.mark.epoch));
        }
        if !seen.sealed() {
            return Err(ActError::NotDone(lasting(
                "store-open",
                format!("{} is open for writes here: seal it first", self.name),
            )));
        }
        Ok(None)
    }

    async fn source(&self, from: &SiteId) -> Result<Source, Cause> {
        let login = self.copier(from).await?;
        let client = login.connect().await.map_err(|e| unreachable(&e))?;
        let row = client
            .query_one(
                "SELECT pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system())",
                &[],
            )
            .await
            .map_err(|e| failed(&e))?;
        if row.try_get(0).map_err(|e| failed(&e))? {
            return Err(passing(
                "source-not-owner",
                format!("{from} is a standby itself"),
            ));
        }
        Ok(Source {
            site: from.clone(),
            password: self.copier_password(from).await?,
            login,
            system: row.try_get(1).map_err(|e| failed(&e))?,
        })
    }

    /// The work itself.
    pub(super) async fn rebuild(self, from: SiteId, notes: Notes) -> Result<Output, Cause> {
        let server = self.server().await?;
        let source = self.source(&from).await?;
        end_orphans(&server.folder);
        self.prepare_source(&source).await?;
        let (kept, torn) = (self.state("own-files"), self.state(TORN));
        let mut by = "a new base backup";
        let mut followed = Err("there is nothing to rewind".to_owned());
        if server.folder.is_cluster() {
            notes.say("stopping the old primary");
            server.stop(StopMode::Fast).await?;
            server
                .folder
                .keep_own(&kept)
                .map_err(|e| state_failed(&e))?;
            // A rewind that was cut short leaves a folder that only a new copy mends.
            if !torn.exists() {
                notes.say("rewinding");
                let rewound = self.rewind(&server, &source, &notes).await;
                followed = rewound.map_err(|cause| cause.what);
            }
        }
        let look = match followed {
            Ok(output) => {
                by = "pg_rewind";
                Ok(output)
            }
            Err(why) => {
                tracing::info!(why, "no rewind: a new base backup is taken");
                notes.say(&format!("copying everything ({why})"));
                self.copy_anew(&server, &source, &notes).await
            }
        };
        let mut output = look?;
        output.values.insert("by".to_owned(), by.to_owned());
        let _ = fs::remove_file(torn);
        fs::remove_dir_all(kept)
            .or_else(gone)
            .map_err(|e| state_failed(&e))?;
        Ok(output)
    }

    /// The new primary must have said in a checkpoint that it is on a new timeline, and must keep the log we need.
    async fn prepare_source(&self, source: &Source) -> Result<(), Cause> {
        let client = source.login.connect().await.map_err(|e| unreachable(&e))?;
        client
            .batch_execute("CHECKPOINT")
            .await
            .map_err(|e| failed(&e))?;
        let slot = Self::slot(&self.home.site);
        let create = "SELECT pg_create_physical_replication_slot($1, true)
            WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $2)";
        client
            .query_opt(create, &[&slot, &slot])
            .await
            .map_err(|e| failed(&e))?;
        Ok(())
    }

    async fn rewind(
        &self,
        server: &Server,
        source: &Source,
        notes: &Notes,
    ) -> Result<Output, Cause> {
        let torn = self.state(TORN);
        fs::write(&torn, "").map_err(|e| state_failed(&e))?;
        let data = server.folder.path.display().to_string();
        let to = format!(
            "{} dbname='{}'",
            source.login.conninfo(),
            source.login.database()
        );
        let mut args = vec!["-D", &data, "--no-sync", "--source-server", &to];
        let config = server
            .config
            .as_ref()
            .map(|path| format!("--config-file={}", path.display()));
        args.extend(config.as_deref());
        let password = source.password.as_deref();
        let rewound = server
            .programs
            .run("pg_rewind", &args, password, COPY)
            .await;
        // Its files are the source's now, the settings and the open gate included.
        server
            .folder
            .restore_own(&self.state("own-files"))
            .map_err(|e| file_failed(&e))?;
        rewound?;
        server.folder.sync().await.map_err(|e| file_failed(&e))?;
        self.follow(server, source, notes).await
    }

    async fn copy_anew(
        &self,
        server: &Server,
        source: &Source,
        notes: &Notes,
    ) -> Result<Output, Cause> {
        let data = &server.folder.path;
        let beside = |suffix: &str| {
            let mut path = data.as_os_str().to_owned();
            path.push(suffix);
            PathBuf::from(path)
        };
        let (new, old) = (beside(".mainstay-new"), beside(".mainstay-old"));
        let folder_failed = |e: io::Error| file_failed(&e);
        fs::remove_dir_all(&new)
            .or_else(gone)
            .map_err(folder_failed)?;
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&new)
            .map_err(folder_failed)?;
        if let Some(owner) = server.folder.owner {
            chown(&new, Some(owner.uid), Some(owner.gid)).map_err(folder_failed)?;
        }
        let (into, slot) = (new.display().to_string(), Self::slot(&self.home.site));
        let from = source.login.conninfo();
        let args = [
            "-D", &into, "-X", "stream", "-c", "fast", "-S", &slot, "-d", &from, "-w", "-N",
        ];
        let password = source.password.as_deref();
        server
            .programs
            .run("pg_basebackup", &args, password, COPY)
            .await?;
        server.stop(StopMode::Immediate).await?;
        // The first folder that was replaced is the one worth keeping.
        if data.exists() {
            if old.exists() {
                fs::remove_dir_all(data).map_err(folder_failed)?;
            } else {
                fs::rename(data, &old).map_err(folder_failed)?;
            }
        }
        fs::rename(&new, data).map_err(folder_failed)?;
        server
            .folder
            .restore_own(&self.state("own-files"))
            .and_then(|()| self.settings_of_its_own(server))
            .map_err(folder_failed)?;
        server.folder.sync().await.map_err(folder_failed)?;
        let output = self.follow(server, source, notes).await?;
        fs::remove_dir_all(&old)
            .or_else(gone)
            .map_err(folder_failed)?;
        Ok(output)
    }

    /// A site that had no settings yet got the source's with the copy: it must not listen at the source's address.
    pub(super) fn settings_of_its_own(&self, server: &Server) -> io::Result<()> {
        if self.state("own-files").exists() {
            return Ok(());
        }
        let at = self.sites.get(&self.home.site);
        let here = at.and_then(|at| Login::new(&at.url, &at.user, None).ok());
        if let Some((host, port)) = here.map(|login| login.address()) {
            server.folder.set("listen_addresses", Some(&host))?;
            server.folder.set("port", Some(&port.to_string()))?;
        }
        Ok(())
    }

    /// Starts as a standby and proves that it follows: it streams, and has replayed what the source had after that.
    async fn follow(
        &self,
        server: &Server,
        source: &Source,
        notes: &Notes,
    ) -> Result<Output, Cause> {
        notes.say("starting as a standby");
        make_standby(
            server,
            &source.login,
            source.password.as_deref(),
            &Self::slot(&self.home.site),
        )?;
        server.start().await?;
        let client = source.login.connect().await.map_err(|e| unreachable(&e))?;
        let deadline = Instant::now() + STREAM;
        let mut wanted = None;
        loop {
            let (here, seen) = self.look_here().await?;
            if !seen.recovery || seen.system != source.system {
                return Err(passing(
                    "postgres-wrong-copy",
                    "it does not follow the source",
                ));
            }
            if seen.streaming && wanted.is_none() {
                wanted = Some(flushed(&client).await?);
            }
            if let Some(lsn) = wanted.filter(|lsn| seen.lsn >= *lsn) {
                drop_old_slots(&here).await;
                let site = source.site.to_string();
                let values = [("lsn", lsn_text(lsn)), ("source", site)];
                return Ok(at_position(lsn, &values));
            }
            // Once it streams, catching up may take as long as it takes.
            if wanted.is_none() && Instant::now() > deadline {
                return Err(passing(
                    "postgres-not-streaming",
                    "the new standby does not stream",
                ));
            }
            if let Some(lsn) = wanted {
                notes.say(&format!("{} bytes to replay", lsn - seen.lsn));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Turns a stopped cluster into a standby of `source`.
pub(super) fn make_standby(
    server: &Server,
    source: &Login,
    password: Option<&str>,
    slot: &str,
) -> Result<(), Cause> {
    let prepare = || -> io::Result<()> {
        let mut conninfo = source.conninfo();
        if let Some(password) = password {
            let file = server.folder.password_file(password)?;
            conninfo = format!("{conninfo} passfile='{}'", file.display());
        }
        server.folder.set(READ_ONLY, Some("on"))?;
        server.folder.make_standby(&conninfo, slot)
    };
    prepare().map_err(|e| file_failed(&e))
}

/// The source's flushed position.
pub(super) async fn flushed(client: &Client) -> Result<u64, Cause> {
    let sql = "SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::int8";
    let row = client.query_one(sql, &[]).await.map_err(|e| failed(&e))?;
    let lsn: i64 = row.try_get(0).map_err(|e| failed(&e))?;
    Ok(u64::try_from(lsn).unwrap_or(0))
}

/// Slots from the time when this site was the primary would keep log for ever.
async fn drop_old_slots(client: &Client) {
    let sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
        WHERE NOT active AND slot_type = 'physical' AND starts_with(slot_name, 'mainstay_')";
    if let Err(error) = client.query(sql, &[]).await {
        tracing::warn!(%error, "old replication slots stay");
    }
}

/// Ends a rewind or a copy that an agent which is gone had started on this folder.
fn end_orphans(folder: &Folder) {
    let data = folder.path.display().to_string();
    let new = format!("{data}.mainstay-new");
    programs::end_orphans(&["pg_rewind", "pg_basebackup"], &[data, new]);
}

/// What is not there need not be removed.
pub(super) fn gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}
