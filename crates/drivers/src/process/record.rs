//! What should run and what was started, kept in the state folder, so that a restarted agent finds its own processes.
//! Must not know how a process is started.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::identity::{Identity, find_leader};
use crate::shared::write_durably;

/// The version of the stored form.
const VERSION: u32 = 1;
const NAME: &str = "record.json";

/// The record of one component at one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    pub(super) desired: Desired,
    pub(super) work: Work,
    /// By number; an instance that was never started is absent from the end.
    pub(super) instances: Vec<Started>,
}

/// Whether the instances should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Desired {
    Running,
    Stopped,
}

/// What a scheduler was last told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Work {
    /// Nothing yet: it does what it does when it starts.
    AsStarted,
    Held,
    Released,
}

/// An instance that was, or was about to be, started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Started {
    /// The mark in its environment, stored before it is started; none if it was stopped and nothing is left of it.
    pub(super) mark: Option<String>,
    /// The process, stored once it is known.
    pub(super) process: Option<Identity>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            version: VERSION,
            desired: Desired::Stopped,
            work: Work::AsStarted,
            instances: Vec::new(),
        }
    }
}

impl Record {
    /// Reads the record of a component; none yet is an empty one, an unreadable one is an error.
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        let bytes = match fs::read(folder.join(NAME)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let record: Self = serde_json::from_slice(&bytes)?;
        if record.version == VERSION {
            Ok(record)
        } else {
            let what = format!("the record has version {}", record.version);
            Err(io::Error::new(io::ErrorKind::InvalidData, what))
        }
    }

    /// Stores it durably.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        write_durably(&folder.join(NAME), &serde_json::to_vec(self)?)
    }

    /// The instance of that number, with room made for it.
    pub(super) fn instance(&mut self, number: usize) -> &mut Started {
        if self.instances.len() <= number {
            self.instances.resize_with(number + 1, Started::default);
        }
        &mut self.instances[number]
    }
}

impl Started {
    /// The process, also of an instance whose agent died before it could write it down.
    pub(super) fn identity(&self) -> Option<Identity> {
        match (&self.process, &self.mark) {
            (Some(process), _) => Some(process.clone()),
            (None, Some(mark)) => find_leader(mark),
            (None, None) => None,
        }
    }
}
