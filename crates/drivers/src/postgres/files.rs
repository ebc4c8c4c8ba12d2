//! The files in a data folder that Mainstay writes: the seal, its lines in `pg_hba.conf`, settings, the floor.
//! Must not know servers or SQL.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{OpenOptionsExt, chown},
    path::{Path, PathBuf},
};

use mainstay_model::Epoch;

use super::programs::Owner;

/// Names the roles that may not connect: `all` while sealed. `pg_hba.conf` refers to it.
const SHUT: &str = "mainstay_shut";
/// Promotes below this epoch are void here.
const FLOOR: &str = "mainstay_floor";
/// The password that the walreceiver uses.
const PASSWORD: &str = "mainstay_pgpass";
/// Overrides every other settings file.
const SETTINGS: &str = "postgresql.auto.conf";
/// Makes the server start as a standby.
const STANDBY: &str = "standby.signal";

const BEGIN: &str =
    "# Mainstay: begin. These lines stay first: the first line that matches decides.";
const END: &str = "# Mainstay: end.";

/// Files that belong to a site rather than to the data: kept when the data is replaced by the other site's.
const OWN: [&str; 8] = [
    "postgresql.conf",
    SETTINGS,
    "pg_hba.conf",
    "pg_ident.conf",
    SHUT,
    FLOOR,
    "server.key",
    "server.crt",
];

/// Whether applications may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// Only Mainstay and replication.
    Shut,
    /// Whoever the site's own rules let in.
    Open,
}

/// A data folder.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) owner: Option<Owner>,
}

impl Folder {
    /// Whether there is a cluster in it.
    pub(super) fn is_cluster(&self) -> bool {
        self.path.join("PG_VERSION").is_file()
    }

    /// Whether it starts as a standby.
    pub(super) fn is_standby(&self) -> bool {
        self.path.join(STANDBY).exists()
    }

    /// The postmaster's process id, if that process is alive.
    pub(super) fn postmaster(&self) -> Option<u32> {
        let text = fs::read_to_string(self.path.join("postmaster.pid")).ok()?;
        let pid: u32 = text.lines().next()?.trim().parse().ok()?;
        // The id may have been given to another process since: it must be a server on this folder.
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        let here = fs::canonicalize(&self.path).ok()?;
        (cwd == here).then_some(pid)
    }

    /// Writes a file so that a crash leaves the old or the new one, with the cluster's owner.
    pub(super) fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let mut file = fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        if let Some(owner) = self.owner {
            chown(&new, Some(owner.uid), Some(owner.gid))?;
        }
        fs::rename(&new, path)?;
        match path.parent() {
            Some(folder) => fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Shuts or opens the gate; the server sees it when it reloads or starts.
    pub(super) fn gate(&self, gate: Gate) -> io::Result<()> {
        let roles = match gate {
            Gate::Shut => "all\n",
            // Not empty, so that the file can be told from one that was cut short.
            Gate::Open => "\"mainstay: nobody is shut out\"\n",
        };
        self.write(&self.path.join(SHUT), roles)
    }

    /// Puts Mainstay's lines first in `pg_hba.conf`. The site's own lines stay as they are.
    pub(super) fn guard(&self, hba: &Path, user: &str, copier: Option<&str>) -> io::Result<()> {
        let shut = self.path.join(SHUT);
        let mut block = vec![BEGIN.to_owned()];
        for role in std::iter::once(user).chain(copier) {
            block.push(format!("host all \"{role}\" all scram-sha-256"));
        }
        if let Some(role) = copier {
            block.push(format!("host replication \"{role}\" all scram-sha-256"));
        }
        for kind in ["local all @", "host all @"] {
            let address = if kind.starts_with("host") { " all" } else { "" };
            block.push(format!("{kind}\"{}\"{address} reject", shut.display()));
        }
        block.push(END.to_owned());
        let old = fs::read_to_string(hba)?;
        let own = without_block(&old);
        let new = format!("{}\n{own}", block.join("\n"));
        if new == old {
            return Ok(());
        }
        self.write(hba, &new)
    }

    /// Sets or removes a setting while the server is stopped.
    pub(super) fn set(&self, name: &str, value: Option<&str>) -> io::Result<()> {
        let path = self.path.join(SETTINGS);
        let old = fs::read_to_string(&path).unwrap_or_default();
        let mut lines: Vec<String> = old
            .lines()
            .filter(|line| line.split('=').next().map(str::trim) != Some(name))
            .map(str::to_owned)
            .collect();
        if let Some(value) = value {
            let escaped = value.replace('\\', "\\\\").replace('\'', "''");
            lines.push(format!("{name} = '{escaped}'"));
        }
        lines.push(String::new());
        self.write(&path, &lines.join("\n"))
    }

    /// Waits until everything below the folder is on disk. One sync of the file system takes a fraction of the time that
    /// PostgreSQL's programs need to sync some thousand files one by one, so they are told to leave it to this.
    pub(super) async fn sync(&self) -> io::Result<()> {
        let path = self.path.clone();
        let work = move || rustix::fs::syncfs(fs::File::open(path)?).map_err(io::Error::from);
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Makes the next start a standby's, with what it needs to find and to be let in by the primary.
    pub(super) fn make_standby(&self, conninfo: &str, slot: &str) -> io::Result<()> {
        self.set("primary_conninfo", Some(conninfo))?;
        self.set("primary_slot_name", Some(slot))?;
        self.write(&self.path.join(STANDBY), "")
    }

    /// Writes the walreceiver's password file and returns its path.
    pub(super) fn password_file(&self, password: &str) -> io::Result<PathBuf> {
        let path = self.path.join(PASSWORD);
        let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
        self.write(&path, &format!("*:*:*:*:{escaped}\n"))?;
        Ok(path)
    }

    /// The lowest epoch that may be promoted here.
    pub(super) fn floor(&self) -> Epoch {
        let text = fs::read_to_string(self.path.join(FLOOR)).unwrap_or_default();
        Epoch(text.trim().parse().unwrap_or(0))
    }

    /// Raises the floor; it never sinks.
    pub(super) fn raise_floor(&self, epoch: Epoch) -> io::Result<()> {
        if self.floor() >= epoch {
            return Ok(());
        }
        self.write(&self.path.join(FLOOR), &format!("{epoch}\n"))
    }

    /// Copies the site's own files to a folder, unless they are there already.
    pub(super) fn keep_own(&self, to: &Path) -> io::Result<()> {
        if to.exists() {
            return Ok(());
        }
        let partial = to.with_extension("partial");
        let _ = fs::remove_dir_all(&partial);
        fs::create_dir_all(&partial)?;
        for name in OWN {
            let from = self.path.join(name);
            if from.is_file() {
                fs::copy(&from, partial.join(name))?;
            }
        }
        fs::rename(partial, to)
    }

    /// Brings the site's own files back.
    pub(super) fn restore_own(&self, from: &Path) -> io::Result<()> {
        for name in OWN {
            if let Ok(text) = fs::read_to_string(from.join(name)) {
                self.write(&self.path.join(name), &text)?;
            }
        }
        Ok(())
    }
}

fn without_block(text: &str) -> String {
    let mut inside = false;
    let mut own = String::new();
    for line in text.lines() {
        match line {
            BEGIN => inside = true,
            END => inside = false,
            _ if inside => {}
            line => {
                own.push_str(line);
                own.push('\n');
            }
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder {
            path: dir.path().to_owned(),
            owner: None,
        };
        (dir, folder)
    }

    #[test]
    fn guard_lines_come_first_once_and_leave_the_rest() {
        let (_dir, folder) = folder();
        let hba = folder.path.join("pg_hba.conf");
        fs::write(&hba, "# mine\nhost all all all scram-sha-256\n").unwrap();
        folder.guard(&hba, "mainstay", Some("copier")).unwrap();
        let once = fs::read_to_string(&hba).unwrap();
        folder.guard(&hba, "mainstay", Some("copier")).unwrap();
        assert_eq!(fs::read_to_string(&hba).unwrap(), once);
        assert!(once.starts_with(BEGIN));
        assert!(once.ends_with("# mine\nhost all all all scram-sha-256\n"));
        let reject = once.find("reject").unwrap();
        assert!(reject < once.find("# mine").unwrap());
        folder.guard(&hba, "other", None).unwrap();
        let changed = fs::read_to_string(&hba).unwrap();
        assert!(changed.contains("\"other\"") && !changed.contains("copier"));
    }

    #[test]
    fn settings_are_replaced_and_removed() {
        let (_dir, folder) = folder();
        folder.set("port", Some("1")).unwrap();
        folder.set("primary_conninfo", Some("user='x'")).unwrap();
        folder.set("port", Some("2")).unwrap();
        let path = folder.path.join(SETTINGS);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("port = '2'") && !text.contains("port = '1'"));
        assert!(text.contains("primary_conninfo = 'user=''x'''"));
        folder.set("port", None).unwrap();
        assert!(!fs::read_to_string(&path).unwrap().contains("port ="));
    }

    #[test]
    fn the_floor_never_sinks() {
        let (_dir, folder) = folder();
        assert_eq!(folder.floor(), Epoch(0));
        folder.raise_floor(Epoch(5)).unwrap();
        folder.raise_floor(Epoch(3)).unwrap();
        assert_eq!(folder.floor(), Epoch(5));
    }
}
