//! The options of a `postgres` store, as written in the plan file.
//! Must not know how they are used.

use std::collections::BTreeMap;

use mainstay_model::{Declared, Secret, SiteId, Span};
use serde::{Deserialize, Serialize};

/// The cluster at one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresAt {
    /// Where it is: `postgres://HOST:PORT/DATABASE`, without user and password.
    pub url: String,
    /// Mainstay's own role there: a superuser that no application uses.
    #[serde(default = "mainstay")]
    pub user: String,
    /// Its password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The data folder, when the site's agent owns the cluster: starts, stops, seals and rebuilds it.
    #[serde(default)]
    pub data: Option<String>,
    /// `postgresql.conf`, when it is not in the data folder.
    #[serde(default)]
    pub config: Option<String>,
    /// The folder of PostgreSQL's programs. By default found below `/usr/lib/postgresql` and in `PATH`.
    #[serde(default)]
    pub bin: Option<String>,
    /// The operating system's user that runs the cluster, when the agent is root. By default the data folder's owner.
    #[serde(default)]
    pub run_as: Option<String>,
    /// Where restored copies are proven: a folder that the cluster's user can enter, with room for the whole cluster.
    /// By default beside the data folder, else in the system's folder for temporary files.
    #[serde(default)]
    pub scratch: Option<String>,
    /// The role that copies from this cluster.
    #[serde(default)]
    pub replication: Option<Replication>,
}

fn mainstay() -> String {
    "mainstay".to_owned()
}

/// The role that the other site uses to copy from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replication {
    /// A role with `REPLICATION`, `pg_read_all_data`, `pg_checkpoint` and what `pg_rewind` needs.
    pub user: String,
    /// Its password.
    #[serde(default)]
    pub password: Option<Secret>,
}

/// Options of the store as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresOptions {
    /// The application's roles: they may read the ownership mark and lock it.
    pub app_roles: Vec<String>,
    /// Questions in SQL that a restored copy is asked. Each must answer with a row that does not begin with false, 0 or
    /// null.
    pub checks: Vec<String>,
    /// How often the log is stored although its current file is not full; it is what a lost site can lose of the log.
    pub log_every: Option<Span>,
}

/// The sites' options by name; a site whose options do not parse is absent.
pub(super) fn sites(declared: &Declared) -> BTreeMap<SiteId, PostgresAt> {
    declared
        .at
        .iter()
        .filter_map(|(site, at)| Some((site.clone(), serde_json::from_value(at.clone()).ok()?)))
        .collect()
}

impl PostgresOptions {
    /// Reads the options of a declared component; they were checked against the schema.
    pub fn of(declared: &Declared) -> Result<Self, serde_json::Error> {
        match &declared.options {
            serde_json::Value::Null => Ok(Self::default()),
            options => serde_json::from_value(options.clone()),
        }
    }
}
