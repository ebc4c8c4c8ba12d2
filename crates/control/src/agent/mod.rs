//! The site agent: owns what runs at its site, alone holds its credentials, keeps its own journal, and can fence it.
//! Must not know runs, plans of moves or other sites' insides.

mod backups;
mod copies;
mod error;
mod fencer;
mod grantor;
mod hold;
mod kinds;
mod ledger;
mod orders;
mod probe;
mod routes;
mod serve;
mod site;
mod wake;
mod work;

pub use error::AgentError;
pub use hold::Hold;
pub use kinds::{AgentKind, LeaseKind, with_builtin};
pub use serve::{Agent, Options};
