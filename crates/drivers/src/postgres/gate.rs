//! The gate of a running server: who may connect. Shut, it lets Mainstay and replication in and nobody else, it is
//! kept in the data folder, so it survives a restart, and it is not replicated. Must not know epochs.

use std::time::{Duration, Instant};

use mainstay_driver::{ActError, Cause};
use tokio_postgres::Client;

use super::{
    files::Gate,
    instance::{Instance, unreachable},
    look::{Look, look},
    mark::failed,
    server::{READ_ONLY, file_failed},
};
use crate::shared::passing;

/// How long sessions may take to end. A session that is not over by then makes the outcome unknown.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(15);

/// Sends the server's processes to the files again.
const RELOAD: &str = "SELECT pg_reload_conf()";
const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND usename <> ALL ($1)";

impl Instance {
    /// Looks at this agent's own site through a new session: settings are those of the server after its last reload.
    pub(super) async fn look_here(&self) -> Result<(Client, Look), Cause> {
        let site = &self.home.site;
        let login = self.admin(site).await?;
        let client = login.connect().await.map_err(|e| unreachable(&e))?;
        let seen = look(&client, &self.ours(site), self.owns(site))
            .await
            .map_err(|e| failed(&e))?;
        Ok((client, seen))
    }

    /// Shuts the gate and waits until nobody else is inside. A cluster that the agent does not own is only made
    /// read-only, which a session can undo for itself: that seal is observed, not enforced.
    pub(super) async fn shut(&self, client: &Client) -> Result<Look, ActError> {
        let before = look(
            client,
            &self.ours(&self.home.site),
            self.owns(&self.home.site),
        )
        .await;
        if let Ok(seen) = before
            && seen.sealed()
        {
            return Ok(seen);
        }
        if self.owns(&self.home.site) {
            let server = self.server().await.map_err(ActError::NotDone)?;
            let hba: String = match client.query_one("SHOW hba_file", &[]).await {
                Ok(row) => row.try_get(0).map_err(|e| ActError::NotDone(failed(&e)))?,
                Err(error) => return Err(ActError::NotDone(failed(&error))),
            };
            server
                .folder
                .gate(Gate::Shut)
                .and_then(|()| {
                    let copier = server.copier.as_deref();
                    server.folder.guard(hba.as_ref(), &server.user, copier)
                })
                .map_err(|e| ActError::Unknown(file_failed(&e)))?;
        }
        self.settle(client, Gate::Shut).await
    }

    /// Opens the gate: whoever the site's own rules let in may connect and write.
    pub(super) async fn open(&self, client: &Client) -> Result<Look, ActError> {
        if self.owns(&self.home.site) {
            let server = self.server().await.map_err(ActError::Unknown)?;
            server
                .folder
                .gate(Gate::Open)
                .map_err(|e| ActError::Unknown(file_failed(&e)))?;
        }
        self.settle(client, Gate::Open).await
    }

    /// Makes the server see the files and the setting, and waits until a new session proves it.
    async fn settle(&self, client: &Client, gate: Gate) -> Result<Look, ActError> {
        let unknown = |error: &tokio_postgres::Error| ActError::Unknown(failed(error));
        let setting = match gate {
            Gate::Shut => format!("ALTER SYSTEM SET {READ_ONLY} = on"),
            Gate::Open => format!("ALTER SYSTEM RESET {READ_ONLY}"),
        };
        client
            .batch_execute(&setting)
            .await
            .map_err(|e| unknown(&e))?;
        client
            .query_one(RELOAD, &[])
            .await
            .map_err(|e| unknown(&e))?;
        let ours = self.ours(&self.home.site);
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Only a new session shows what the postmaster has read.
            let (_session, seen) = self.look_here().await.map_err(ActError::Unknown)?;
            match gate {
                Gate::Shut if seen.sealed() => return Ok(seen),
                Gate::Open if !seen.read_only && seen.shut != Some(true) => return Ok(seen),
                Gate::Shut if seen.read_only && seen.shut != Some(false) => {
                    let ended = client.query(END_SESSIONS, &[&ours]).await;
                    ended.map_err(|e| unknown(&e))?;
                }
                _ => {}
            }
            if Instant::now() > deadline {
                return Err(ActError::Unknown(passing(
                    "postgres-gate-stuck",
                    match gate {
                        Gate::Shut => format!("{} sessions do not end", seen.sessions),
                        Gate::Open => "the server does not reload its settings".to_owned(),
                    },
                )));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
