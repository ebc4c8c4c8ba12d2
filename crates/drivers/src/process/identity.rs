//! Which process is meant: boot id, process id and start time, so that a reused id is never mistaken for ours.
//! Signals go through a pidfd that was checked after it was opened. Linux only.
//! Must not know why a process is sought.

use std::{fs, io, os::fd::OwnedFd, path::Path};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// The environment variable by which a process and its children are known to be of one instance.
pub(super) const MARK: &str = "MAINSTAY_INSTANCE";

/// A process, beyond the reuse of its id and beyond a reboot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) boot: String,
    pub(super) pid: i32,
    /// Clock ticks since boot when it started (field 22 of `/proc/PID/stat`).
    pub(super) started: u64,
}

/// A living process that can be signalled and waited for.
#[derive(Debug)]
pub(super) struct Living {
    pub(super) pid: i32,
    started: u64,
    fd: OwnedFd,
}

impl Living {
    /// Sends a signal to exactly this process. One that is gone by now needs none.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.fd, signal);
    }

    /// Whether it is over; a zombie is.
    pub(super) fn ended(&self) -> bool {
        stat(self.pid)
            .is_none_or(|seen| seen.started != self.started || matches!(seen.state, 'Z' | 'X'))
    }
}

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy)]
struct Stat {
    state: char,
    group: i32,
    started: u64,
}

/// This boot's id.
pub(super) fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// A name that no other instance ever had.
pub(super) fn fresh_mark() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/uuid")?
        .trim()
        .to_owned())
}

impl Identity {
    /// The identity of a process that was just started and not yet waited for.
    pub(super) fn of(pid: i32) -> io::Result<Self> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "the process is gone");
        Ok(Self {
            boot: boot()?,
            pid,
            started: stat(pid).ok_or_else(gone)?.started,
        })
    }

    /// The process, if it still lives. A zombie does not.
    pub(super) fn living(&self) -> Option<Living> {
        if boot().ok()? != self.boot {
            return None;
        }
        let fd = open(self.pid)?;
        // Looked at after it was opened: the descriptor cannot change to another process.
        let seen = stat(self.pid)?;
        let same = seen.started == self.started && !matches!(seen.state, 'Z' | 'X');
        same.then_some(Living {
            pid: self.pid,
            started: self.started,
            fd,
        })
    }
}

/// Every living process that carries the mark in its environment, and everything in the group of `leader`, which must
/// be known to live: a program may overwrite its environment.
pub(super) fn members(mark: &str, leader: Option<&Living>) -> Vec<Living> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let fd = open(pid)?;
        let seen = stat(pid).filter(|seen| !matches!(seen.state, 'Z' | 'X'))?;
        let ours = leader.is_some_and(|leader| leader.pid == seen.group) || carries(pid, mark);
        let started = seen.started;
        ours.then_some(Living { pid, started, fd })
    })
    .collect()
}

/// The first process of an instance that was started by an agent which then died: it leads its own group.
pub(super) fn find_leader(mark: &str) -> Option<Identity> {
    members(mark, None)
        .into_iter()
        .find(|living| stat(living.pid).is_some_and(|seen| seen.group == living.pid))
        .and_then(|living| Identity::of(living.pid).ok())
}

fn open(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

fn carries(pid: i32, mark: &str) -> bool {
    let wanted = format!("{MARK}={mark}");
    fs::read(Path::new("/proc").join(pid.to_string()).join("environ")).is_ok_and(|environ| {
        environ
            .split(|byte| *byte == 0)
            .any(|one| one == wanted.as_bytes())
    })
}

/// Reads what stands after the program's name, which may itself hold blanks and parentheses.
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        group: fields.get(2)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_more_than_its_id() {
        let me = Identity::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.living().is_some());
        let reused = Identity {
            started: me.started + 1,
            ..me.clone()
        };
        assert!(reused.living().is_none());
        let rebooted = Identity {
            boot: "another".to_owned(),
            ..me
        };
        assert!(rebooted.living().is_none());
    }
}
