//! PostgreSQL's own programs: found, and run as the operating system's user that owns the cluster.
//! Must not know what they are run for.

use std::{
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use mainstay_driver::Cause;
use tokio::process::Command;

use crate::shared::{lasting, passing};

/// Where Debian and its descendants keep each version's programs.
const VERSIONS: &str = "/usr/lib/postgresql";

/// A user of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The programs of one version, and who runs them.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    folder: PathBuf,
    /// Whom to become; none when this process is not root and stays who it is.
    pub(super) owner: Option<Owner>,
}

impl Programs {
    /// Finds the programs for a data folder, and the user that runs them.
    pub(super) async fn find(
        bin: Option<&Path>,
        run_as: Option<&str>,
        data: &Path,
    ) -> Result<Self, Cause> {
        let folder = match bin {
            Some(folder) => folder.to_owned(),
            None => find_folder(data).ok_or_else(|| {
                lasting(
                    "postgres-programs-missing",
                    "PostgreSQL's programs were not found: install them, or name their folder as `bin`",
                )
            })?,
        };
        let owner = if rustix::process::geteuid().is_root() {
            Some(match run_as {
                Some(name) => named(name).await?,
                None => owner_of(data).await?,
            })
        } else {
            None
        };
        Ok(Self { folder, owner })
    }

    /// One of the programs that only talk to servers or read files, as this process's own user. It reads no input.
    pub(super) fn client(&self, program: &str) -> std::process::Command {
        let mut command = std::process::Command::new(self.folder.join(program));
        command
            .current_dir("/")
            .env("LC_ALL", "C")
            .env_remove("PGPASSWORD")
            .stdin(Stdio::null());
        command
    }

    /// One of the programs, as the cluster's user.
    pub(super) fn command(&self, program: &str) -> std::process::Command {
        let mut command = self.client(program);
        if let Some(owner) = self.owner {
            command.uid(owner.uid).gid(owner.gid);
        }
        command
    }

    /// Whether a program is there: some are packaged apart.
    pub(super) fn has(&self, program: &str) -> bool {
        self.folder.join(program).is_file()
    }

    /// Runs one program to its end and returns what it printed. The error has its last words.
    pub(super) async fn run(
        &self,
        program: &str,
        args: &[&str],
        password: Option<&str>,
        limit: Duration,
    ) -> Result<String, Cause> {
        let mut command = Command::from(self.command(program));
        command.args(args).kill_on_drop(true);
        if let Some(password) = password {
            command.env("PGPASSWORD", password);
        }
        let failed = |what: String| passing("postgres-program-failed", what);
        let output = match tokio::time::timeout(limit, command.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(failed(format!("cannot run {program}: {error}"))),
            Err(_) => {
                let limit = limit.as_secs();
                return Err(failed(format!("{program} took longer than {limit} s")));
            }
        };
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let words = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = words.lines().rev().take(3).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        Err(failed(format!("{program} failed: {}", last.join(" / "))))
    }
}

/// Ends programs that an agent which is gone had started: of one of these names, and with one of these arguments.
pub(super) fn end_orphans(programs: &[&str], arguments: &[String]) {
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let words: Vec<String> = line
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let program = words.first().and_then(|first| Path::new(first).file_name());
        let named = program.is_some_and(|name| programs.iter().any(|one| name == *one));
        let ours = words.iter().any(|word| arguments.contains(word));
        if let (true, true, Some(pid)) = (named, ours, rustix::process::Pid::from_raw(pid)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn find_folder(data: &Path) -> Option<PathBuf> {
    let has =
        |folder: &PathBuf| folder.join("pg_ctl").is_file() && folder.join("postgres").is_file();
    // A data folder can only be run by its own major version.
    if let Ok(version) = std::fs::read_to_string(data.join("PG_VERSION")) {
        let folder = Path::new(VERSIONS).join(version.trim()).join("bin");
        if has(&folder) {
            return Some(folder);
        }
    }
    let mut installed: Vec<(u32, PathBuf)> = std::fs::read_dir(VERSIONS)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    installed.sort();
    let newest_first = installed.into_iter().rev().map(|(_, folder)| folder);
    let path = std::env::var_os("PATH").unwrap_or_default();
    newest_first.chain(std::env::split_paths(&path)).find(has)
}

/// Looks a user up by name, with the system's own `id`, which knows directories too.
async fn named(name: &str) -> Result<Owner, Cause> {
    let number = async |flag: &str| -> Option<u32> {
        let output = Command::new("id").arg(flag).arg("--").arg(name).output();
        let output = output.await.ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    match (number("-u").await, number("-g").await) {
        (Some(uid), Some(gid)) => Ok(Owner { uid, gid }),
        _ => Err(lasting(
            "os-user-unknown",
            format!("there is no user {name:?} on this machine: see `run_as`"),
        )),
    }
}

/// The owner of the data folder, else Debian's user: PostgreSQL refuses to run as root.
async fn owner_of(data: &Path) -> Result<Owner, Cause> {
    let found = std::fs::metadata(data)
        .ok()
        .filter(|meta| meta.uid() != 0)
        .map(|meta| Owner {
            uid: meta.uid(),
            gid: meta.gid(),
        });
    match found {
        Some(owner) => Ok(owner),
        None => named("postgres").await,
    }
}
