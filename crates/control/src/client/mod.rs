//! Talks to agents.
//! Must not know what is asked or why.

mod agent;
mod error;
mod http;
mod remote;

pub use agent::AgentClient;
pub use error::ClientError;
pub use http::web;
pub use remote::Remote;
