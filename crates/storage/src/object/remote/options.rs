//! What is said about a container beside its address, secrets among it.
//! Must not know plan files: whoever reads one resolves its references and hands the values over.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::super::{Patience, StorageError};

/// A value that nothing prints. It has no trailing line end: files of secrets often have one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a value that was resolved from its reference.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        let mut value = value.into();
        value.truncate(value.trim_end_matches(['\r', '\n']).len());
        Self(value)
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// What happens when a folder, here or on a server, is not there. Buckets are never made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// Opening fails: a disk may not be mounted.
    #[default]
    Refuse,
    /// It is made: this is a new repository. A bucket is tried instead.
    Make,
}

/// Options of one container.
#[derive(Debug, Clone, Default)]
pub struct Options {
    values: BTreeMap<String, String>,
    secrets: BTreeMap<String, Secret>,
    base: PathBuf,
    pub(super) missing: Missing,
    pub(super) limits: Limits,
    pub(super) patience: Patience,
}

/// How long one call may take. Then it is given up, and its connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) call: Duration,
    /// What every MiB of a call may take on top of that.
    pub(super) mebibyte: Duration,
}

impl Default for Limits {
    /// 64 KiB a second is the slowest line that is still used.
    fn default() -> Self {
        Self {
            call: Duration::from_mins(1),
            mebibyte: Duration::from_secs(16),
        }
    }
}

impl Limits {
    /// How long a call that moves so many bytes may take.
    pub(super) fn moving(self, bytes: u64) -> Duration {
        let mebibytes = u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX);
        self.call
            .saturating_add(self.mebibyte.saturating_mul(mebibytes))
    }
}

impl Options {
    /// Sets an option.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.values.insert(name.into(), value.into());
        self
    }

    /// Sets an option whose value is secret.
    #[must_use]
    pub fn with_secret(mut self, name: impl Into<String>, value: Secret) -> Self {
        self.secrets.insert(name.into(), value);
        self
    }

    /// Says where relative paths begin: the plan file's folder.
    #[must_use]
    pub fn relative_to(mut self, base: impl Into<PathBuf>) -> Self {
        self.base = base.into();
        self
    }

    /// Says what happens when the folder is not there.
    #[must_use]
    pub fn missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }

    /// Sets how long one call may take, and what each MiB that it moves may take on top.
    #[must_use]
    pub fn limits(mut self, call: Duration, mebibyte: Duration) -> Self {
        self.limits = Limits { call, mebibyte };
        self
    }

    /// Sets how often and how long calls to a remote container are tried.
    #[must_use]
    pub fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    pub(super) fn secrets(&self) -> Vec<Secret> {
        self.secrets.values().cloned().collect()
    }
}

/// Takes options out one by one, so that what is left over is known to be of no use.
#[derive(Debug)]
pub(super) struct Taking {
    values: BTreeMap<String, String>,
    secrets: BTreeMap<String, Secret>,
    known: Vec<&'static str>,
}

impl Taking {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            values: options.values.clone(),
            secrets: options.secrets.clone(),
            known: Vec::new(),
        }
    }

    pub(super) fn value(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        self.values.remove(name)
    }

    pub(super) fn needed(
        &mut self,
        name: &'static str,
        what: &str,
    ) -> Result<String, StorageError> {
        self.value(name)
            .ok_or_else(|| bad(name, format!("is missing: {what}")))
    }

    pub(super) fn secret(&mut self, name: &'static str) -> Result<Option<Secret>, StorageError> {
        self.known.push(name);
        if self.values.contains_key(name) {
            let why = "is a secret: write { env: NAME } or { file: PATH }";
            return Err(bad(name, why));
        }
        Ok(self.secrets.remove(name))
    }

    /// Refuses what nobody asked for.
    pub(super) fn end(mut self) -> Result<(), StorageError> {
        let left = self.values.keys().chain(self.secrets.keys()).next();
        let Some(name) = left else {
            return Ok(());
        };
        self.known.sort_unstable();
        let why = if self.known.is_empty() {
            "is not known here: this kind of container has no options".to_owned()
        } else {
            format!("is not known here: there are {}", self.known.join(", "))
        };
        Err(bad(name, why))
    }
}

pub(super) fn bad(name: &str, why: impl Into<String>) -> StorageError {
    StorageError::Option {
        name: name.to_owned(),
        why: why.into(),
    }
}
