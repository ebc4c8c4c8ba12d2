//! What the load generator is told when it starts.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How to generate load.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The DNS server to ask.
    pub dns: SocketAddr,
    /// The service's name.
    pub name: String,
    /// The service's port, at every address of the name.
    pub port: u16,
    /// The list of acknowledged writes, appended to.
    pub list: PathBuf,
    /// How many clients write at the same time.
    pub clients: u16,
    /// Most writes per second, over all clients.
    pub rate: u32,
    /// How long to write, in milliseconds; without it, until asked to stop.
    pub duration_ms: Option<u64>,
    /// How many tenants to write for.
    pub tenants: u16,
    /// Longest attachment, in bytes.
    pub attachment_bytes: u32,
    /// Longest wait for an answer, in milliseconds.
    pub timeout_ms: u64,
}
