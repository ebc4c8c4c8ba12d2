//! The options of an `haproxy` route, as written in the plan file.
//! Must not know how they are used.

use mainstay_model::{Declared, Span};
use serde::{Deserialize, Serialize};

/// Options of the route as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HaproxyOptions {
    /// The runtime API of each HAProxy process in front of the sites, at level `admin`: `unix:PATH` or `tcp:HOST:PORT`.
    #[schemars(length(min = 1))]
    pub sockets: Vec<String>,
    /// How long requests in flight may take to end when a site is taken out.
    #[serde(default = "default_grace")]
    pub grace: Span,
    /// What becomes of connections to a site that was taken out.
    #[serde(default)]
    pub sessions: Sessions,
}

fn default_grace() -> Span {
    Span::from_secs(5)
}

/// What becomes of connections to a site that gets no traffic any more.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Sessions {
    /// They end by themselves.
    #[default]
    Keep,
    /// They are cut once the new site has taken over, or once the grace is over: for databases and other long connections.
    Cut,
}

/// The servers of one site: `BACKEND/SERVER`, as in HAProxy's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct HaproxyTarget(#[schemars(length(min = 1))] pub Vec<String>);

impl HaproxyOptions {
    /// Reads the options of a declared component; they were checked against the schema.
    pub fn of(declared: &Declared) -> Result<Self, serde_json::Error> {
        serde_json::from_value(declared.options.clone())
    }
}
