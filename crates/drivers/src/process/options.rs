//! What a plan file says about a `process` workload at one site. The documentation of the fields is the schema's.
//! Must not know how they are used.

use std::collections::BTreeMap;

use mainstay_model::{Secret, Span};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::shared::{HttpCall, Program};

/// A program at one site, run once or several times.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProcessAt {
    /// The program and its arguments. There is no shell. A program with a `/` in its name is relative to the plan file.
    pub(crate) command: Vec<String>,
    /// How many instances of the same command run. Default: 1. Use `instances` where they differ.
    #[serde(default)]
    pub(crate) replicas: Option<u32>,
    /// The instances, each with what it has of its own.
    #[serde(default)]
    pub(crate) instances: Vec<Instance>,
    /// Environment variables. Of the agent's own, only `PATH`, `HOME`, `USER`, `LANG`, `LC_ALL`, `TZ` and `TMPDIR` are passed on.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Environment variables whose value is a secret: `{ env: NAME }` or `{ file: PATH }`.
    #[serde(default)]
    pub(crate) secret_env: BTreeMap<String, Secret>,
    /// The working directory, relative to the plan file. Default: the plan file's folder.
    #[serde(default)]
    pub(crate) dir: Option<String>,
    /// What every instance answers once it is ready; an instance may have its own. Without it, running is ready.
    #[serde(default)]
    pub(crate) ready: Option<HttpCall>,
    /// How long an instance may take to become ready. Default: 30s.
    #[serde(default)]
    pub(crate) ready_within: Option<Span>,
    /// How it is stopped.
    #[serde(default)]
    pub(crate) stop: Stop,
    /// The application's own read-only check. Without it, being ready is enough.
    #[serde(default)]
    pub(crate) verify: Option<HttpCall>,
    /// The program that compares the stores of a group that names this workload as its `check`. It runs to its end
    /// right after they were promoted, before any instance is started. With `MAINSTAY_SKEW=refused` in its environment
    /// it ends with 1 if anything does not fit together; with `reported` it records that as lost, so that `verify`
    /// accepts exactly that. What it prints goes into the run's record.
    #[serde(default)]
    pub(crate) reconcile: Option<Program>,
    /// Where the deployed version can be seen.
    #[serde(default)]
    pub(crate) version: Option<Version>,
    /// For a scheduler: the request that makes it start no new work.
    #[serde(default)]
    pub(crate) hold: Option<HttpCall>,
    /// For a scheduler: the request that lets it work again.
    #[serde(default)]
    pub(crate) release: Option<HttpCall>,
    /// For a scheduler: the expected answer means that it is held.
    #[serde(default)]
    pub(crate) held: Option<HttpCall>,
}

/// One instance of the program.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Instance {
    /// Arguments after those of the command.
    pub(crate) args: Vec<String>,
    /// Environment variables beside or instead of the common ones.
    pub(crate) env: BTreeMap<String, String>,
    /// What this instance answers once it is ready.
    pub(crate) ready: Option<HttpCall>,
}

/// How a process is asked to end, and how long it may take.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Stop {
    /// The signal that asks it to end.
    pub(crate) signal: StopSignal,
    /// How long it may take before it is killed. Default: the workload's `grace`, else 10s.
    pub(crate) grace: Option<Span>,
}

/// A signal that asks a process to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum StopSignal {
    /// SIGTERM.
    #[default]
    Term,
    /// SIGINT.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGHUP.
    Hup,
    /// SIGKILL: it is given no chance to clean up.
    Kill,
}

/// Where a version can be seen. Give `get` or `command`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Version {
    /// Ask this URL; the version is the answer's text, or its field.
    pub(crate) get: Option<String>,
    /// The field of a JSON answer that holds the version. Default: `version`.
    pub(crate) field: Option<String>,
    /// Run this program; the version is the first line that it prints.
    pub(crate) command: Vec<String>,
}

impl ProcessAt {
    /// The instances, in order. Never empty.
    pub(crate) fn instances(&self) -> Vec<Instance> {
        if self.instances.is_empty() {
            vec![Instance::default(); self.replicas.unwrap_or(1) as usize]
        } else {
            self.instances.clone()
        }
    }

    /// What the instance answers once it is ready, if that can be asked.
    pub(crate) fn ready_of<'a>(&'a self, instance: &'a Instance) -> Option<&'a HttpCall> {
        instance.ready.as_ref().or(self.ready.as_ref())
    }
}
