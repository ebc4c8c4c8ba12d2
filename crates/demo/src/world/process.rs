//! Starts processes that outlive this one, finds them again by a mark in their environment, and kills them by id.
//! A process is never sought by its name. Linux only. Must not know what a process does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// The environment variable that names the world.
pub(crate) const WORLD: &str = "MAINSTAY_DEMO_WORLD";
/// The environment variable that names the site; absent for what belongs to no site.
pub(crate) const SITE: &str = "MAINSTAY_DEMO_SITE";

/// How long the kernel may take to end killed processes.
const DEATH: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(2);

/// A process, beyond the reuse of its id within this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// Its id.
    pub pid: i32,
    /// When it started, in the kernel's ticks since boot.
    pub started: u64,
}

impl Identity {
    /// The process with this id, if it lives. A zombie does not.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let seen = stat(pid)?;
        (!seen.over()).then_some(Self {
            pid,
            started: seen.started,
        })
    }

    /// Whether it still lives.
    #[must_use]
    pub fn lives(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Kills it, if it still is that process.
    pub fn kill(self) {
        if let Some(fd) = self.open() {
            let _ = pidfd_send_signal(&fd, Signal::KILL);
        }
    }

    /// Looked at after it was opened: the descriptor cannot change to another process.
    fn open(self) -> Option<OwnedFd> {
        let fd = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        self.lives().then_some(fd)
    }
}

/// Starts a program that goes on without this one: a process group of its own, output to a file.
pub(super) fn start(mut command: Command, log: &Path) -> io::Result<Identity> {
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let gone = || io::Error::other("it ended at once");
    let found = stat(pid).ok_or_else(gone)?;
    // Somebody has to take note of its end, or it stays behind as a zombie.
    std::thread::spawn(move || child.wait());
    Ok(Identity {
        pid,
        started: found.started,
    })
}

/// Which processes of a world are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which<'a> {
    /// All of them.
    All,
    /// Those of one site.
    At(&'a str),
}

/// Every living process that carries the world's mark, and all that those started: a program may overwrite its
/// environment, as PostgreSQL does.
///
/// `roots` are processes that belong to it without carrying the mark.
pub(super) fn find(token: &str, which: Which<'_>, roots: &[Identity]) -> Vec<Identity> {
    let processes = all();
    let mut found: BTreeSet<i32> = roots.iter().map(|root| root.pid).collect();
    for pid in processes.keys() {
        if marked(*pid, token, which) {
            found.insert(*pid);
        }
    }
    loop {
        let children: Vec<i32> = processes
            .iter()
            .filter(|(pid, seen)| found.contains(&seen.parent) && !found.contains(*pid))
            .filter(|(pid, _)| !marked_otherwise(**pid, which))
            .map(|(pid, _)| *pid)
            .collect();
        if children.is_empty() {
            break;
        }
        found.extend(children);
    }
    let own = i32::try_from(std::process::id()).unwrap_or(-1);
    found.remove(&own);
    found.into_iter().filter_map(Identity::of).collect()
}

/// Kills all that [`find`] finds, at once, until nothing is left. Returns what does not die.
pub(super) fn kill(
    token: &str,
    which: Which<'_>,
    roots: impl Fn() -> Vec<Identity>,
) -> Vec<Identity> {
    let deadline = Instant::now() + DEATH;
    loop {
        let found = find(token, which, &roots());
        if found.is_empty() || Instant::now() > deadline {
            return found;
        }
        // Opened first, then all are hit in one go.
        let open: Vec<OwnedFd> = found.iter().filter_map(|one| one.open()).collect();
        for fd in &open {
            let _ = pidfd_send_signal(fd, Signal::KILL);
        }
        while found.iter().any(|one| one.lives()) && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
    }
}

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy)]
struct Stat {
    state: char,
    parent: i32,
    started: u64,
}

impl Stat {
    fn over(self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// Reads what stands after the program's name, which may itself hold blanks and parentheses.
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

fn all() -> BTreeMap<i32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, stat(pid).filter(|seen| !seen.over())?)))
        .collect()
}

fn environ(pid: i32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/environ")).unwrap_or_default()
}

fn has(environ: &[u8], name: &str, value: &str) -> bool {
    let wanted = format!("{name}={value}");
    environ
        .split(|byte| *byte == 0)
        .any(|one| one == wanted.as_bytes())
}

fn marked(pid: i32, token: &str, which: Which<'_>) -> bool {
    let environ = environ(pid);
    has(&environ, WORLD, token)
        && match which {
            Which::All => true,
            Which::At(site) => has(&environ, SITE, site),
        }
}

/// Whether it says itself that it belongs to another site than the one that is meant.
fn marked_otherwise(pid: i32, which: Which<'_>) -> bool {
    let Which::At(site) = which else {
        return false;
    };
    let environ = environ(pid);
    let prefix = format!("{SITE}=");
    environ
        .split(|byte| *byte == 0)
        .filter_map(|one| one.strip_prefix(prefix.as_bytes()))
        .any(|other| other != site.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(token: &str, site: Option<&str>) -> Identity {
        let mut command = Command::new("sleep");
        command.arg("60").env(WORLD, token);
        if let Some(site) = site {
            command.env(SITE, site);
        }
        start(command, Path::new("/dev/null")).unwrap()
    }

    #[test]
    fn a_site_is_killed_and_nothing_else() {
        let token = format!("test-{}", std::process::id());
        let (a, b, beside) = (
            sleeper(&token, Some("a")),
            sleeper(&token, Some("b")),
            sleeper(&token, None),
        );
        let foreign = sleeper("another-world", Some("a"));
        // The mark is there once the program has replaced the fork.
        let deadline = Instant::now() + Duration::from_secs(10);
        while find(&token, Which::All, &[]).len() < 3 && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        assert_eq!(kill(&token, Which::At("a"), Vec::new), []);
        assert!(!a.lives() && b.lives() && beside.lives() && foreign.lives());
        assert_eq!(kill(&token, Which::All, Vec::new), []);
        assert!(!b.lives() && !beside.lives() && foreign.lives());
        foreign.kill();
    }

    #[test]
    fn a_process_is_known_by_more_than_its_id() {
        let own = i32::try_from(std::process::id()).unwrap();
        let me = Identity::of(own).unwrap();
        assert!(me.lives());
        let reused = Identity {
            started: me.started + 1,
            ..me
        };
        assert!(!reused.lives());
    }
}
