//! A cluster that the site's agent owns: started (always sealed), stopped, prepared as a standby.
//! Must not know epochs or other sites.

use std::{
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use mainstay_driver::Cause;

use super::{
    files::{Folder, Gate},
    programs::Programs,
};
use crate::shared::passing;

/// How long a start may take: it includes crash recovery.
const START: Duration = Duration::from_secs(600);
/// How long the processes of a server that was killed may take to go.
const REMAINS: Duration = Duration::from_secs(15);
/// What the server says while they have not.
const LEFT_OVERS: [&str; 2] = [
    "lock file \"postmaster.pid\" already exists",
    "pre-existing shared memory block",
];
/// How long a stop may take.
const STOP: Duration = Duration::from_secs(60);

/// The setting that makes new transactions read-only, beside the gate.
pub(super) const READ_ONLY: &str = "default_transaction_read_only";

/// How a cluster is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopMode {
    /// Sessions are ended, a checkpoint is written, standbys get everything.
    Fast,
    /// At once; the next start recovers.
    Immediate,
}

/// A cluster on this machine.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) folder: Folder,
    pub(super) programs: Programs,
    pub(super) config: Option<PathBuf>,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) copier: Option<String>,
}

/// A file of the data folder could not be written.
pub(super) fn file_failed(error: &io::Error) -> Cause {
    passing(
        "postgres-folder-failed",
        format!("cannot write in the data folder: {error}"),
    )
}

impl Server {
    fn data(&self) -> String {
        self.folder.path.display().to_string()
    }

    /// Where `pg_hba.conf` is, asked of the server's own program: it may be anywhere.
    pub(super) async fn hba(&self) -> Result<PathBuf, Cause> {
        let data = self.data();
        let mut args = vec![
            "-D".to_owned(),
            data,
            "-C".to_owned(),
            "hba_file".to_owned(),
        ];
        if let Some(config) = &self.config {
            args.push(format!("--config-file={}", config.display()));
        }
        // A running server's program still answers: it reads the files only.
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let printed = self
            .programs
            .run("postgres", &args, None, Duration::from_secs(20))
            .await?;
        Ok(PathBuf::from(printed.trim()))
    }

    /// Shuts the gate in the files. A server that starts now lets only Mainstay and replication in.
    pub(super) async fn seal_files(&self) -> Result<(), Cause> {
        self.folder.gate(Gate::Shut).map_err(|e| file_failed(&e))?;
        let hba = self.hba().await?;
        self.folder
            .guard(&hba, &self.user, self.copier.as_deref())
            .map_err(|e| file_failed(&e))
    }

    /// Starts the cluster, sealed, and waits until it takes connections.
    pub(super) async fn start(&self) -> Result<(), Cause> {
        if self.folder.postmaster().is_some() {
            return Ok(());
        }
        self.seal_files().await?;
        self.folder
            .set(READ_ONLY, Some("on"))
            .map_err(|e| file_failed(&e))?;
        let mut options = format!("-p {}", self.port);
        if let Some(config) = &self.config {
            options = format!("{options} -c config_file='{}'", config.display());
        }
        let (data, log) = (self.data(), self.folder.path.join("mainstay.log"));
        let log = log.display().to_string();
        let seconds = START.as_secs().to_string();
        let args = [
            "start", "-D", &data, "-s", "-w", "-t", &seconds, "-l", &log, "-o", &options,
        ];
        let limit = START + Duration::from_secs(10);
        let deadline = Instant::now() + REMAINS;
        loop {
            let cause = match self.programs.run("pg_ctl", &args, None, limit).await {
                Ok(_) => return Ok(()),
                Err(cause) => self.with_log(cause).await,
            };
            let remains = LEFT_OVERS.iter().any(|words| cause.what.contains(words));
            if !remains || Instant::now() > deadline {
                return Err(cause);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Adds the server's last words, which `pg_ctl` does not repeat.
    async fn with_log(&self, mut cause: Cause) -> Cause {
        let log = self.folder.path.join("mainstay.log");
        if let Ok(text) = tokio::fs::read_to_string(log).await {
            let last: Vec<&str> = text.lines().rev().take(3).collect();
            for line in last.into_iter().rev() {
                cause.what.push_str(" / ");
                cause.what.push_str(line);
            }
        }
        cause
    }

    /// Stops the cluster and waits until it is gone.
    pub(super) async fn stop(&self, mode: StopMode) -> Result<(), Cause> {
        if self.folder.postmaster().is_none() {
            return Ok(());
        }
        let word = match mode {
            StopMode::Fast => "fast",
            StopMode::Immediate => "immediate",
        };
        let (data, seconds) = (self.data(), STOP.as_secs().to_string());
        let args = ["stop", "-D", &data, "-s", "-w", "-t", &seconds, "-m", word];
        let limit = STOP + Duration::from_secs(10);
        let stopped = self.programs.run("pg_ctl", &args, None, limit).await;
        match (stopped, self.folder.postmaster()) {
            (Ok(_), _) | (Err(_), None) => Ok(()),
            (Err(cause), Some(_)) => Err(cause),
        }
    }
}
