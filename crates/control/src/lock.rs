//! One mover at a time: an operating-system lock on a file, and an executor epoch that only grows (I20).
//! Must not know what a mover does.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use mainstay_model::{ExecutorEpoch, RunId, Timestamp};
use rustix::{fs::FlockOperation, io::Errno};
use serde::{Deserialize, Serialize};

use crate::{
    clock,
    state::{State, StateError},
};

/// How often a held lock is tried again before it counts as held, and how far apart.
const LOOKS: u32 = 4;
const BETWEEN_LOOKS: Duration = Duration::from_millis(15);

/// Who moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mover {
    /// Its process.
    pub pid: u32,
    /// Since when.
    pub since: Timestamp,
    /// What it executes, once that is known.
    pub run: Option<RunId>,
}

/// Why this process may not move.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process moves.
    #[error("another mover is at work{}", describe(.holder.as_ref()))]
    Held {
        /// Who it is, if it has said so yet.
        holder: Option<Mover>,
    },
    /// The file cannot be used.
    #[error("failed to lock {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The executor epoch cannot be recorded.
    #[error(transparent)]
    State(#[from] StateError),
}

impl LockError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Held { .. } => "another-mover",
            Self::Io { .. } => "lock-unusable",
            Self::State(error) => error.code(),
        }
    }
}

fn describe(holder: Option<&Mover>) -> String {
    let Some(holder) = holder else {
        return String::new();
    };
    let run = holder
        .run
        .as_ref()
        .map_or_else(String::new, |run| format!(", run {run}"));
    format!(": process {}{run}, since {}", holder.pid, holder.since)
}

/// The right to move. Given back when it is dropped, and by the operating system when the process dies.
#[derive(Debug)]
pub struct MoverLock {
    file: File,
    path: PathBuf,
    mover: Mover,
    executor: ExecutorEpoch,
}

impl MoverLock {
    /// Takes the lock, or says who has it. The executor epoch is durable when this returns.
    pub async fn take(path: &Path, state: &State) -> Result<Self, LockError> {
        let io = |source| LockError::Io {
            path: path.to_path_buf(),
            source,
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(io)?;
        let mut looks = 0;
        while let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            match error {
                // It may only be somebody who looks whether it is held.
                Errno::WOULDBLOCK if looks < LOOKS => looks += 1,
                Errno::WOULDBLOCK => {
                    return Err(LockError::Held {
                        holder: read(&mut file),
                    });
                }
                error => return Err(io(error.into())),
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        let mut lock = Self {
            file,
            path: path.to_path_buf(),
            mover: Mover {
                pid: std::process::id(),
                since: clock::now(),
                run: None,
            },
            executor: ExecutorEpoch(0),
        };
        lock.write().map_err(io)?;
        lock.executor = state.next_executor().await?;
        Ok(lock)
    }

    /// Whether somebody holds the lock now. Changes nothing, and keeps nobody from taking it.
    #[must_use]
    pub fn is_held(path: &Path) -> bool {
        let Ok(file) = File::open(path) else {
            return false;
        };
        let looked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared);
        looked == Err(Errno::WOULDBLOCK)
    }

    /// The executor epoch that came with it.
    #[must_use]
    pub fn executor(&self) -> ExecutorEpoch {
        self.executor
    }

    /// Says what is being executed, for whoever is refused meanwhile.
    pub fn executes(&mut self, run: &RunId) -> Result<(), LockError> {
        self.mover.run = Some(run.clone());
        self.write().map_err(|source| LockError::Io {
            path: self.path.clone(),
            source,
        })
    }

    fn write(&mut self) -> std::io::Result<()> {
        let body = serde_json::to_vec(&self.mover)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&body)
    }

    /// Who moves now, if anybody does. Does not take the lock.
    #[must_use]
    pub fn holder(path: &Path) -> Option<Mover> {
        let mut file = OpenOptions::new().read(true).open(path).ok()?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => None,
            Err(_) => read(&mut file),
        }
    }
}

fn read(file: &mut File) -> Option<Mover> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}
