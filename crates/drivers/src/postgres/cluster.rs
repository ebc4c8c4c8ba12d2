//! Makes real clusters: a primary that Mainstay can operate, and its standby. For the demo, for tests, and as a
//! description of what Mainstay expects of a cluster. Must not know plan files.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, chown},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use mainstay_driver::Cause;
use mainstay_model::{Epoch, RunId, SiteId};

use super::{
    files::{Folder, Gate},
    instance::unreachable,
    mark,
    programs::Programs,
    rebuild::{flushed, make_standby},
    server::{READ_ONLY, Server, StopMode, file_failed},
    session::Login,
};
use crate::shared::passing;

/// A role and its password.
#[derive(Clone)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: String,
}

/// A cluster to be made on this machine. Both sites' specifications have the same roles and database.
#[derive(Clone)]
pub struct ClusterSpec {
    /// The data folder; the folder above it must be one that the cluster's user may enter.
    pub data: PathBuf,
    /// Where it listens.
    pub host: String,
    /// On which port.
    pub port: u16,
    /// The application's database.
    pub database: String,
    /// The folder of PostgreSQL's programs; found when absent.
    pub bin: Option<PathBuf>,
    /// The user that runs it when this process is root; `postgres` when absent.
    pub run_as: Option<String>,
    /// Mainstay's own role, a superuser.
    pub mainstay: Role,
    /// The role that the other site copies with.
    pub replication: Role,
    /// The application's roles; the first owns the database.
    pub apps: Vec<Role>,
}

/// What both sites of a pair need; see `docs/drivers/postgres.md`.
const SETTINGS: &str = "
wal_level = replica
hot_standby = on
# pg_rewind needs one of these, or data checksums.
wal_log_hints = on
max_wal_senders = 10
max_replication_slots = 10
wal_keep_size = 64MB
max_slot_wal_keep_size = 2GB
# A lost peer is noticed, and a returned one found, within seconds.
wal_sender_timeout = 5s
wal_receiver_timeout = 5s
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 200ms
# After a crash or a rewind, one sync of the file system instead of one for each file: seconds less until it is up.
recovery_init_sync_method = syncfs
password_encryption = scram-sha-256
max_connections = 100
shared_buffers = 32MB
unix_socket_directories = ''
";

impl ClusterSpec {
    /// The connection URL without user and password, as a plan file has it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{}:{}/{}", self.host, self.port, self.database)
    }

    async fn server(&self) -> Result<Server, Cause> {
        let programs =
            Programs::find(self.bin.as_deref(), self.run_as.as_deref(), &self.data).await?;
        Ok(Server {
            folder: Folder {
                path: self.data.clone(),
                owner: programs.owner,
            },
            programs,
            config: None,
            port: self.port,
            user: self.mainstay.name.clone(),
            copier: Some(self.replication.name.clone()),
        })
    }

    fn login(&self, role: &Role, database: &str) -> Result<Login, Cause> {
        let url = format!("postgres://{}:{}/{database}", self.host, self.port);
        Login::new(&url, &role.name, Some(&role.password))
            .map_err(|what| passing("options-invalid", what))
    }
}

/// How long a new cluster may take to be as it should.
const READY: Duration = Duration::from_secs(30);

/// Whether PostgreSQL's programs are on this machine; the reason when they are not.
pub async fn available() -> Result<(), Cause> {
    Programs::find(None, None, Path::new("/nonexistent"))
        .await
        .map(|_| ())
}

/// Makes a primary that `site` owns at `epoch`, and leaves it running and open.
pub async fn create_primary(spec: &ClusterSpec, site: &SiteId, epoch: Epoch) -> Result<(), Cause> {
    let server = spec.server().await?;
    make_folder(&server.folder)?;
    let passwords = server.folder.path.with_extension("initial");
    server
        .folder
        .write(&passwords, &format!("{}\n", spec.mainstay.password))
        .map_err(|e| file_failed(&e))?;
    let (data, password) = (
        spec.data.display().to_string(),
        passwords.display().to_string(),
    );
    let user = format!("--username={}", spec.mainstay.name);
    let password = format!("--pwfile={password}");
    let args = [
        "-D",
        &data,
        &user,
        &password,
        "-A",
        "scram-sha-256",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
    ];
    let made = server
        .programs
        .run("initdb", &args, None, Duration::from_secs(120))
        .await;
    let _ = fs::remove_file(passwords);
    made?;
    configure(spec, &server)?;
    server.folder.sync().await.map_err(|e| file_failed(&e))?;
    server.start().await?;
    create_roles(spec).await?;
    open(spec, &server, site, epoch).await
}

/// Makes a standby of `source`, and leaves it running, sealed, once it streams.
pub async fn create_standby(
    spec: &ClusterSpec,
    source: &ClusterSpec,
    site: &SiteId,
) -> Result<(), Cause> {
    let server = spec.server().await?;
    make_folder(&server.folder)?;
    let login = source.login(&source.replication, &source.database)?;
    let (data, from) = (spec.data.display().to_string(), login.conninfo());
    let slot = super::instance::Instance::slot(site);
    let args = [
        "-D", &data, "-X", "stream", "-c", "fast", "-C", "-S", &slot, "-d", &from, "-w", "-N",
    ];
    let password = Some(source.replication.password.as_str());
    server
        .programs
        .run("pg_basebackup", &args, password, Duration::from_secs(600))
        .await?;
    configure(spec, &server)?;
    server.folder.sync().await.map_err(|e| file_failed(&e))?;
    make_standby(&server, &login, password, &slot)?;
    server.start().await?;
    wait_until_it_follows(spec, &login).await
}

/// Starts a cluster. It boots sealed: only an unseal or a promote at a new epoch opens it.
pub async fn start(spec: &ClusterSpec) -> Result<(), Cause> {
    spec.server().await?.start().await
}

/// Stops a cluster in good order.
pub async fn stop(spec: &ClusterSpec) -> Result<(), Cause> {
    spec.server().await?.stop(StopMode::Fast).await
}

/// Stops a cluster at once, as a crash would: its processes are ended by the id in its own pid file.
pub async fn stop_now(spec: &ClusterSpec) -> Result<(), Cause> {
    spec.server().await?.stop(StopMode::Immediate).await
}

/// The process id of a running cluster's postmaster.
#[must_use]
pub fn postmaster(spec: &ClusterSpec) -> Option<u32> {
    Folder {
        path: spec.data.clone(),
        owner: None,
    }
    .postmaster()
}

fn make_folder(folder: &Folder) -> Result<(), Cause> {
    let make = || -> std::io::Result<()> {
        // Only the data folder itself is private: its user has to get through the folders above.
        if let Some(above) = folder.path.parent() {
            fs::create_dir_all(above)?;
        }
        fs::DirBuilder::new().mode(0o700).create(&folder.path)?;
        if let Some(owner) = folder.owner {
            chown(&folder.path, Some(owner.uid), Some(owner.gid))?;
        }
        Ok(())
    };
    make().map_err(|e| file_failed(&e))
}

/// Writes what both sites share to `postgresql.conf`, and what is this site's own to the settings beside it.
fn configure(spec: &ClusterSpec, server: &Server) -> Result<(), Cause> {
    let folder = &server.folder;
    let write = || -> std::io::Result<()> {
        let path = folder.path.join("postgresql.conf");
        let old = fs::read_to_string(&path)?;
        if !old.ends_with(SETTINGS) {
            folder.write(&path, &format!("{old}{SETTINGS}"))?;
        }
        folder.set("listen_addresses", Some(&spec.host))?;
        folder.set("port", Some(&spec.port.to_string()))
    };
    write().map_err(|e| file_failed(&e))
}

async fn create_roles(spec: &ClusterSpec) -> Result<(), Cause> {
    let ident = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let copier = ident(&spec.replication.name);
    let password = text(&spec.replication.password);
    let mut statements = vec![
        format!("CREATE ROLE {copier} LOGIN REPLICATION PASSWORD {password}"),
        format!("GRANT pg_read_all_data, pg_checkpoint, pg_monitor TO {copier}"),
    ];
    for app in &spec.apps {
        let (name, password) = (ident(&app.name), text(&app.password));
        statements.push(format!("CREATE ROLE {name} LOGIN PASSWORD {password}"));
    }
    let owner = spec.apps.first().unwrap_or(&spec.mainstay);
    let database = ident(&spec.database);
    statements.push(format!(
        "CREATE DATABASE {database} OWNER {}",
        ident(&owner.name)
    ));
    execute(spec, "postgres", &statements).await?;
    // What pg_rewind needs. Rights on functions are kept in each database.
    let grants: Vec<String> = [
        "pg_ls_dir(text, boolean, boolean)",
        "pg_stat_file(text, boolean)",
        "pg_read_binary_file(text)",
        "pg_read_binary_file(text, bigint, bigint, boolean)",
    ]
    .iter()
    .map(|function| format!("GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {copier}"))
    .collect();
    execute(spec, &spec.database, &grants).await
}

/// Executes statements that write, on a cluster that boots read-only.
async fn execute(spec: &ClusterSpec, database: &str, statements: &[String]) -> Result<(), Cause> {
    let login = spec.login(&spec.mainstay, database)?;
    let client = login.connect().await.map_err(|e| unreachable(&e))?;
    let writable = format!("SET {READ_ONLY} = off");
    for statement in std::iter::once(&writable).chain(statements) {
        client
            .batch_execute(statement)
            .await
            .map_err(|e| mark::failed(&e))?;
    }
    Ok(())
}

async fn open(
    spec: &ClusterSpec,
    server: &Server,
    site: &SiteId,
    epoch: Epoch,
) -> Result<(), Cause> {
    let login = spec.login(&spec.mainstay, &spec.database)?;
    let mut client = login.connect().await.map_err(|e| unreachable(&e))?;
    let apps: Vec<String> = spec.apps.iter().map(|app| app.name.clone()).collect();
    mark::prepare(&mut client, &apps)
        .await
        .map_err(|e| mark::failed(&e))?;
    let run = RunId::new("init").map_err(|e| passing("driver-fault", e.to_string()))?;
    mark::open(&mut client, epoch, site, &run)
        .await
        .map_err(|e| passing("postgres-statement-failed", e.to_string()))?;
    server
        .folder
        .gate(Gate::Open)
        .map_err(|e| file_failed(&e))?;
    let reset = format!("ALTER SYSTEM RESET {READ_ONLY}");
    for statement in [reset.as_str(), "SELECT pg_reload_conf()"] {
        client
            .batch_execute(statement)
            .await
            .map_err(|e| mark::failed(&e))?;
    }
    let deadline = Instant::now() + READY;
    while !takes_writes(spec).await? {
        pause(deadline).await?;
    }
    Ok(())
}

/// Whether the application is let in and may write.
async fn takes_writes(spec: &ClusterSpec) -> Result<bool, Cause> {
    let role = spec.apps.first().unwrap_or(&spec.mainstay);
    let Ok(client) = spec.login(role, &spec.database)?.connect().await else {
        return Ok(false);
    };
    let sql = format!("SELECT current_setting('{READ_ONLY}') = 'off'");
    let row = client
        .query_one(&sql, &[])
        .await
        .map_err(|e| mark::failed(&e))?;
    row.try_get(0).map_err(|e| mark::failed(&e))
}

/// Waits until the standby has replayed everything that the source has when it begins to stream.
async fn wait_until_it_follows(spec: &ClusterSpec, source: &Login) -> Result<(), Cause> {
    let source = source.connect().await.map_err(|e| unreachable(&e))?;
    let login = spec.login(&spec.mainstay, &spec.database)?;
    let wanted = flushed(&source).await?;
    let deadline = Instant::now() + READY;
    while !follows(&login, wanted).await? {
        pause(deadline).await?;
    }
    Ok(())
}

/// Whether the standby streams and has replayed up to there.
async fn follows(standby: &Login, wanted: u64) -> Result<bool, Cause> {
    let client = standby.connect().await.map_err(|e| unreachable(&e))?;
    let sql = "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')
        AND pg_last_wal_replay_lsn() - '0/0'::pg_lsn >= $1::int8";
    let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
    let row = client.query_one(sql, &[&wanted]).await;
    let row = row.map_err(|e| mark::failed(&e))?;
    let answer: Option<bool> = row.try_get(0).map_err(|e| mark::failed(&e))?;
    Ok(answer == Some(true))
}

async fn pause(deadline: Instant) -> Result<(), Cause> {
    if Instant::now() > deadline {
        return Err(passing(
            "postgres-not-ready",
            "the cluster does not get ready",
        ));
    }
    tokio::time::sleep(Duration::from_millis(30)).await;
    Ok(())
}
