//! Locks, as restic has them: a file that says who works on the repository, written anew every few minutes. One lock
//! may exclude all others. Source: restic's design document, "Locks".
//! Must not know what the holder does.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use mainstay_storage::{ObjectName, StorageError};
use serde::{Deserialize, Serialize};

use crate::{BackupError, FileKind, Id, Repository, Time, Who};

/// How often a lock is written anew.
const REFRESH: Duration = Duration::from_secs(5 * 60);
/// A lock that was not written anew for so long is abandoned: restic's rule, so it is ours.
const STALE_SECS: i64 = 30 * 60;
/// A holder that could not write its lock anew for so long stops, before others may take it for abandoned.
const LOST_SECS: i64 = 20 * 60;

/// Whether others may work at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Others may read and add.
    Shared,
    /// Nobody else may do anything: something is going to be deleted.
    Exclusive,
}

/// What a lock file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LockFile {
    pub(crate) time: Time,
    #[serde(default)]
    pub(crate) exclusive: bool,
    #[serde(default)]
    pub(crate) hostname: String,
    #[serde(default)]
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) pid: i32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) uid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) gid: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl LockFile {
    fn new(who: &Who, sharing: Sharing) -> Self {
        Self {
            time: Time::now(),
            exclusive: sharing == Sharing::Exclusive,
            hostname: who.hostname.clone(),
            username: who.username.clone(),
            pid: i32::try_from(std::process::id()).unwrap_or(0),
            uid: who.uid,
            gid: who.gid,
        }
    }

    /// Whether nobody holds it any more. A lock of this machine tells by its process, any lock by its age.
    fn is_stale(&self, who: &Who, now: Time) -> bool {
        if now.secs - self.time.secs > STALE_SECS {
            return true;
        }
        self.hostname == who.hostname && !is_running(self.pid)
    }

    fn holder(&self) -> String {
        let Self {
            pid,
            username,
            hostname,
            ..
        } = self;
        format!("process {pid} of {username} on {hostname}")
    }
}

/// Whether a process of this number exists. One that may not be asked exists.
fn is_running(pid: i32) -> bool {
    match rustix::process::Pid::from_raw(pid) {
        Some(pid) if pid.as_raw_nonzero().get() > 0 => {
            rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
        }
        _ => false,
    }
}

/// A lock that is held. It is given back when it is dropped.
#[derive(Debug)]
pub struct Lock {
    shared: Arc<Shared>,
    refresher: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug)]
struct State {
    /// The file that is the lock now.
    name: ObjectName,
    written: Time,
    lost: Option<String>,
    over: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lock {
    /// Takes a lock, or says who excludes it.
    ///
    /// The file is written first and the others are looked at after that. Of two that do so at once at least one sees
    /// the other, on any container that lists what was written; so nobody waits for a lock to become visible.
    pub fn take(repository: &Repository, sharing: Sharing) -> Result<Self, BackupError> {
        let who = Who::here();
        conflicts(repository, &who, sharing, None)?;
        let file = LockFile::new(&who, sharing);
        let (_, name) = write(repository, &file)?;
        if let Err(error) = conflicts(repository, &who, sharing, Some(&name)) {
            let _ = repository.storage().delete(&[name]);
            return Err(error);
        }
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                name,
                written: file.time,
                lost: None,
                over: false,
            }),
            wake: Condvar::new(),
        });
        let (held, repository) = (Arc::clone(&shared), repository.clone());
        let refresher = std::thread::Builder::new()
            .name("lock".to_owned())
            .spawn(move || refresh(&held, &repository, &who, sharing));
        let refresher = refresher.map_err(|error| BackupError::LockLost {
            why: error.to_string(),
        })?;
        Ok(Self {
            shared,
            refresher: Some(refresher),
        })
    }

    /// Whether the lock is surely still held. Whoever is about to change something asks before.
    pub fn check(&self) -> Result<(), BackupError> {
        let state = self.shared.state();
        let lost = |why: String| Err(BackupError::LockLost { why });
        match &state.lost {
            Some(why) => lost(why.clone()),
            None if Time::now().secs - state.written.secs > LOST_SECS => {
                lost("it could not be written anew for 20 minutes".to_owned())
            }
            None => Ok(()),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.shared.state().over = true;
        self.shared.wake.notify_all();
        if let Some(refresher) = self.refresher.take() {
            // The refresher removes the file; if it panicked, the lock goes stale by itself.
            let _ = refresher.join();
        }
    }
}

fn write(repository: &Repository, file: &LockFile) -> Result<(Id, ObjectName), BackupError> {
    let id = repository.write_json(FileKind::Lock, file)?;
    Ok((id, FileKind::Lock.name(id)?))
}

/// Writes the lock anew until it is given back, then removes it.
fn refresh(shared: &Shared, repository: &Repository, who: &Who, sharing: Sharing) {
    let mut state = shared.state();
    let mut wait = REFRESH;
    while !state.over {
        let waited = shared
            .wake
            .wait_timeout_while(state, wait, |state| !state.over);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if state.over {
            break;
        }
        let old = state.name.clone();
        drop(state);
        let file = LockFile::new(who, sharing);
        // The new one is there before the old one goes, so that there is always one; and if the old one is gone,
        // somebody took it for abandoned.
        let held = is_there(repository, &old);
        let written = held.and_then(|()| write(repository, &file));
        state = shared.state();
        match written {
            Ok((_, name)) => {
                let _ = repository.storage().delete(&[old]);
                (state.name, state.written, wait) = (name, file.time, REFRESH);
            }
            Err(BackupError::LockLost { why }) => state.lost = Some(why),
            Err(_) => wait = REFRESH / 10,
        }
    }
    let _ = repository
        .storage()
        .delete(std::slice::from_ref(&state.name));
}

fn is_there(repository: &Repository, name: &ObjectName) -> Result<(), BackupError> {
    let mut bytes = Vec::new();
    let read = repository
        .storage()
        .read(name, mainstay_storage::Part::Whole, &mut bytes);
    match read {
        Err(StorageError::Absent { .. }) => Err(BackupError::LockLost {
            why: "somebody removed it".to_owned(),
        }),
        read => Ok(read?),
    }
}

/// Fails if another lock excludes this one. Abandoned locks are removed.
fn conflicts(
    repository: &Repository,
    who: &Who,
    sharing: Sharing,
    own: Option<&ObjectName>,
) -> Result<(), BackupError> {
    let now = Time::now();
    for (id, lock) in read_all(repository)? {
        let name = FileKind::Lock.name(id)?;
        if Some(&name) == own {
            continue;
        }
        if lock.is_stale(who, now) {
            repository.storage().delete(&[name])?;
        } else if lock.exclusive || sharing == Sharing::Exclusive {
            return Err(BackupError::Locked {
                holder: lock.holder(),
                since: lock.time.to_string(),
            });
        }
    }
    Ok(())
}

/// Every lock. One that vanishes while it is read was given back; one that is damaged cannot be ignored.
pub(crate) fn read_all(repository: &Repository) -> Result<Vec<(Id, LockFile)>, BackupError> {
    let mut locks = Vec::new();
    for (id, size) in repository.list(FileKind::Lock)? {
        // An empty file is what a full disk leaves of a lock; restic passes it over too.
        if size == 0 {
            continue;
        }
        match repository.read_json(FileKind::Lock, id) {
            Err(BackupError::Storage(StorageError::Absent { .. })) => {}
            lock => locks.push((id, lock?)),
        }
    }
    Ok(locks)
}
