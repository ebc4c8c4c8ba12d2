//! A server on a restored data folder that nobody else can reach: no network, a socket in a folder of its own, its own
//! access rules and settings. Ended by its id, also when a process that is gone had started it.
//! Must not know what it recovers, or what it is asked.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use mainstay_driver::Cause;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use super::{
    super::{
        programs::{Owner, Programs},
        session::describe,
    },
    leftovers::{Note, note},
    recover::beside,
};
use crate::shared::{lasting, passing};

/// Below this a socket's path would be too long for some servers; the system's own folder for such things.
const SOCKETS: &str = "mainstay-pg-";
const PORT: &str = "5432";
/// How long a server may take to end after it was told to.
const END: Duration = Duration::from_secs(120);
/// Settings of the source that a standby must not have less of, by their names in the control file.
const NEEDED: [(&str, &str); 5] = [
    ("max_connections", "max_connections setting"),
    ("max_worker_processes", "max_worker_processes setting"),
    ("max_wal_senders", "max_wal_senders setting"),
    ("max_prepared_transactions", "max_prepared_xacts setting"),
    ("max_locks_per_transaction", "max_locks_per_xact setting"),
];
/// Settings that a scratch server always has: it reaches nobody, and what is left of a crash is thrown away.
const ALWAYS: [(&str, &str); 19] = [
    ("listen_addresses", ""),
    ("port", PORT),
    ("hot_standby", "on"),
    ("archive_mode", "off"),
    ("primary_conninfo", ""),
    ("primary_slot_name", ""),
    ("synchronous_standby_names", ""),
    ("default_transaction_read_only", "off"),
    ("ssl", "off"),
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    ("log_line_prefix", ""),
    ("lc_messages", "C"),
    ("external_pid_file", ""),
    ("autovacuum", "off"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("max_wal_size", "4GB"),
    ("shared_buffers", "128MB"),
];

/// Where a server works.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) programs: Programs,
    /// The data folder.
    pub(super) data: PathBuf,
    /// A superuser of the restored database.
    pub(super) user: String,
    pub(super) database: String,
    /// Where it is noted that a server runs, for whoever comes after a crash.
    pub(super) notes: PathBuf,
}

/// A server that runs.
pub(super) struct Scratch {
    place: Place,
    child: Child,
    sockets: TempDir,
    log: PathBuf,
    note: Option<Note>,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing of it is kept unless it was stopped in good order.
        let _ = self.end(Signal::QUIT, Duration::from_secs(10));
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Only now is there nothing left to find.
        self.note = None;
    }
}

fn trouble(what: &str, error: &io::Error) -> Cause {
    passing("scratch", format!("{what}: {error}"))
}

impl Place {
    fn owner(&self) -> Option<Owner> {
        self.programs.owner
    }

    fn give(&self, path: &Path) -> io::Result<()> {
        match self.owner() {
            Some(owner) => chown(path, Some(owner.uid), Some(owner.gid)),
            None => Ok(()),
        }
    }

    /// Gives a restored folder and all in it to the user that runs servers.
    pub(super) fn give_all(&self, path: &Path) -> io::Result<()> {
        let meta = fs::symlink_metadata(path)?;
        if self.owner().is_some_and(|owner| owner.uid != meta.uid()) {
            match self.owner() {
                Some(owner) => std::os::unix::fs::lchown(path, Some(owner.uid), Some(owner.gid))?,
                None => return Ok(()),
            }
        }
        if meta.is_dir() {
            for entry in fs::read_dir(path)? {
                self.give_all(&entry?.path())?;
            }
        }
        Ok(())
    }

    /// The folders above must let the server's user through: named here, where the server would only say "denied".
    pub(super) fn reachable(&self) -> Result<(), Cause> {
        let Some(owner) = self.owner() else {
            return Ok(());
        };
        for above in self.data.ancestors().skip(1) {
            let Ok(meta) = fs::metadata(above) else {
                continue;
            };
            let bit = match (meta.uid() == owner.uid, meta.gid() == owner.gid) {
                (true, _) => 0o100,
                (false, true) => 0o010,
                (false, false) => 0o001,
            };
            if meta.mode() & bit == 0 {
                let what = format!(
                    "the user that runs PostgreSQL (number {}) may not enter {}",
                    owner.uid,
                    above.display()
                );
                return Err(lasting("scratch", what));
            }
        }
        Ok(())
    }

    /// What the control file says of the source.
    async fn control(&self) -> Result<Vec<(String, String)>, Cause> {
        let data = self.data.display().to_string();
        let limit = Duration::from_secs(30);
        let text = self
            .programs
            .run("pg_controldata", &[&data], None, limit)
            .await?;
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let lines = lines.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        Ok(lines.collect())
    }

    /// Libraries that the source preloads: its log may need them.
    async fn libraries(&self) -> Option<String> {
        if !self.data.join("postgresql.conf").exists() {
            return None;
        }
        let data = self.data.display().to_string();
        let args = ["-D", &data, "-C", "shared_preload_libraries"];
        let asked = self
            .programs
            .run("postgres", &args, None, Duration::from_secs(20))
            .await;
        asked
            .ok()
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    }

    /// Starts a server with further settings.
    pub(super) async fn start(&self, settings: &[(&str, String)]) -> Result<Scratch, Cause> {
        self.reachable()?;
        let control = self.control().await?;
        let sockets = tempfile::Builder::new().prefix(SOCKETS).tempdir();
        let sockets = sockets.map_err(|error| trouble("make a folder for a socket", &error))?;
        let log = self
            .prepare(&sockets)
            .map_err(|error| trouble("prepare a scratch server", &error))?;
        let within = |name: &str| sockets.path().join(name).display().to_string();
        let mut all: Vec<(&str, String)> = vec![
            ("config_file", within("config")),
            ("hba_file", within("hba")),
            ("ident_file", within("ident")),
            (
                "unix_socket_directories",
                sockets.path().display().to_string(),
            ),
        ];
        all.extend(ALWAYS.map(|(name, value)| (name, value.to_owned())));
        for (name, label) in NEEDED {
            let found = control.iter().find(|(known, _)| known == label);
            all.extend(found.map(|(_, value)| (name, value.clone())));
        }
        all.extend(
            self.libraries()
                .await
                .map(|libraries| ("shared_preload_libraries", libraries)),
        );
        all.extend(settings.iter().cloned());
        let mut command = self.programs.command("postgres");
        command.arg("-D").arg(&self.data);
        for (name, value) in all {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let waits = beside(&self.data, ".mainstay-log");
        let noted = note(&self.notes, &self.data, sockets.path(), &waits);
        let noted = noted.map_err(|error| trouble("note a scratch server", &error))?;
        let output = File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
        let (out, err) = output.map_err(|error| trouble("write a scratch server's log", &error))?;
        let child = command
            .stdout(Stdio::from(out))
            .stderr(Stdio::from(err))
            .spawn();
        let child = child.map_err(|error| trouble("run postgres", &error))?;
        Ok(Scratch {
            place: self.clone(),
            child,
            sockets,
            log,
            note: Some(noted),
        })
    }

    fn prepare(&self, sockets: &TempDir) -> io::Result<PathBuf> {
        let folder = sockets.path();
        // Whoever can enter the folder is let in: only this user and the server's can.
        for (name, text) in [
            ("config", ""),
            ("hba", "local all all trust\n"),
            ("ident", ""),
        ] {
            fs::write(folder.join(name), text)?;
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600))?;
            self.give(&folder.join(name))?;
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        self.give(folder)?;
        // A server refuses a folder that others may enter.
        fs::set_permissions(&self.data, fs::Permissions::from_mode(0o700))?;
        Ok(folder.join("log"))
    }
}

impl Scratch {
    /// Where its socket is, for PostgreSQL's own programs.
    pub(super) fn host(&self) -> String {
        self.sockets.path().display().to_string()
    }

    /// Leaves it running, as a process that dies would.
    #[cfg(test)]
    pub(super) fn abandon(mut self) {
        self.note.take().into_iter().for_each(Note::abandon);
        std::mem::forget(self);
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> io::Result<Option<std::process::ExitStatus>> {
        self.child.try_wait()
    }

    /// What it said.
    pub(super) fn said(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// What it said last, for a message.
    pub(super) fn last_words(&self) -> String {
        let said = self.said();
        let grave = |line: &&str| {
            ["FATAL", "PANIC", "ERROR", "HINT"]
                .iter()
                .any(|word| line.contains(word))
        };
        let mut last: Vec<&str> = said.lines().filter(grave).collect();
        if last.is_empty() {
            last = said.lines().collect();
        }
        last[last.len().saturating_sub(3)..].join(" / ")
    }

    /// Connects to a database; the error is the server's own words.
    pub(super) async fn connect(&self, database: &str) -> Result<Client, String> {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(self.sockets.path())
            .port(5432)
            .user(&self.place.user)
            .dbname(database)
            .connect_timeout(Duration::from_secs(10));
        let connected = config.connect(NoTls).await;
        let (client, connection) = connected.map_err(|error| describe(&error))?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(client)
    }

    /// The database of the store.
    pub(super) fn database(&self) -> &str {
        &self.place.database
    }

    /// PostgreSQL's own programs' way in, without the database.
    pub(super) fn arguments(&self) -> [String; 7] {
        let host = self.host();
        let user = self.place.user.clone();
        [
            "-h".into(),
            host,
            "-p".into(),
            PORT.into(),
            "-U".into(),
            user,
            "-w".into(),
        ]
    }

    pub(super) fn programs(&self) -> &Programs {
        &self.place.programs
    }

    /// Stops it in good order: everything is written.
    pub(super) fn stop(mut self) -> Result<(), Cause> {
        let ended = self.end(Signal::INT, END);
        match ended.map_err(|error| trouble("stop a scratch server", &error))? {
            Some(status) if status.success() => Ok(()),
            _ => {
                let what = format!(
                    "a scratch server did not stop in good order: {}",
                    self.last_words()
                );
                Err(passing("scratch", what))
            }
        }
    }

    fn end(
        &mut self,
        signal: Signal,
        within: Duration,
    ) -> io::Result<Option<std::process::ExitStatus>> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(Some(status));
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, signal)?;
        }
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(None)
    }
}
