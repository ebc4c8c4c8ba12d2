//! The options of a `dns` route, as written in the plan file.
//! Must not know how they are used.

use std::net::IpAddr;

use mainstay_model::{Declared, Secret, Span};
use serde::{Deserialize, Serialize};

/// Options of the route as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsOptions {
    /// The name that clients look up, such as `app.orders.test`.
    pub name: String,
    /// The zone the name is in. By default the name without its first label.
    #[serde(default)]
    pub zone: Option<String>,
    /// The primary name server of the zone, which takes updates: `HOST:PORT`.
    #[serde(default = "local_server")]
    pub server: String,
    /// How long an answer may be cached: whole seconds, at least one.
    #[serde(default = "default_ttl")]
    pub ttl: Span,
    /// The key that signs updates. Without one, updates are not signed.
    #[serde(default)]
    pub tsig: Option<Tsig>,
    /// Who is asked, from outside, whether a change can be seen: `HOST:PORT` of resolvers or of the zone's other
    /// servers. By default the primary itself.
    #[serde(default)]
    pub resolvers: Vec<String>,
}

fn local_server() -> String {
    "127.0.0.1:53".to_owned()
}

fn default_ttl() -> Span {
    Span::from_secs(30)
}

/// The addresses of one site, IPv4 or IPv6 (`to: { prod: ["192.0.2.1"] }`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct DnsTarget(#[schemars(length(min = 1))] pub Vec<IpAddr>);

/// A key shared with the name server (RFC 8945).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tsig {
    /// The key's name at the server.
    pub name: String,
    /// Its hash.
    #[serde(default)]
    pub algorithm: TsigHash,
    /// Where its value is, in base64.
    pub secret: Secret,
}

/// The hashes that are safe and supported.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum TsigHash {
    /// SHA-256.
    #[default]
    HmacSha256,
    /// SHA-384.
    HmacSha384,
    /// SHA-512.
    HmacSha512,
}

impl DnsOptions {
    /// Reads the options of a declared component; they were checked against the schema.
    pub fn of(declared: &Declared) -> Result<Self, serde_json::Error> {
        serde_json::from_value(declared.options.clone())
    }

    /// The TTL in DNS's unit: whole seconds, rounded up, at least one.
    #[must_use]
    pub fn ttl_seconds(&self) -> u32 {
        let seconds = self.ttl.0.div_ceil(1_000_000).max(1);
        // RFC 2181, section 8: a TTL is at most 2^31 - 1.
        u32::try_from(seconds).unwrap_or(i32::MAX as u32)
    }

    /// The zone's name.
    #[must_use]
    pub fn zone_name(&self) -> &str {
        match &self.zone {
            Some(zone) => zone,
            None => self.name.split_once('.').map_or("", |(_, zone)| zone),
        }
    }
}
