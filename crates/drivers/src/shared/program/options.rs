//! A program as declared. The documentation of the fields is the schema's.
//! Must not know how it is run.

use std::collections::BTreeMap;

use mainstay_model::{Secret, Span};
use schemars::JsonSchema;
use serde::Deserialize;

/// A program. It ends with 0 for "yes" or "done", 1 for "no" or "certainly not done"; anything else, a signal, or no
/// end in time means "unknown".
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Program {
    /// The program and its arguments. There is no shell. A program with a `/` in its name is relative to the plan file.
    pub(crate) command: Vec<String>,
    /// Environment variables. Of the agent's own, only `PATH`, `HOME`, `USER`, `LANG`, `LC_ALL`, `TZ` and `TMPDIR` are
    /// passed on.
    pub(crate) env: BTreeMap<String, String>,
    /// Environment variables whose value is a secret: `{ env: NAME }` or `{ file: PATH }`.
    pub(crate) secret_env: BTreeMap<String, Secret>,
    /// The working directory, relative to the plan file. Default: the plan file's folder.
    pub(crate) dir: Option<String>,
    /// After so long it is killed, with everything that it started, and the outcome is unknown. Default: 60s.
    pub(crate) timeout: Option<Span>,
}
