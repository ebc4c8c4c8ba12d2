//! What every driver needs: where it is, how it says that something failed, the time, its schema.
//! Must not know any kind.

mod cause;
mod durable;
mod environment;
mod home;
mod hooks;
mod http;
mod kept;
mod ownership;
mod program;
mod reconcile;
mod route;
mod saving;
mod schema;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
pub(crate) mod testing_http;
#[cfg(test)]
pub(crate) mod testing_saving;

pub(crate) use crate::support::now;
pub(crate) use cause::{hindered, lasting, passing, refused, unknown, unsupported};
pub(crate) use durable::{Locked, sync_folder, write_durably};
pub(crate) use environment::passed_on;
pub(crate) use home::Home;
pub use home::{NeverQuarantined, Place, Quarantine};
pub(crate) use hooks::Hooks;
pub(crate) use http::{AskError, HttpCall, Wanted, ask, check, complaints, tell, until};
pub(crate) use kept::{Here, Kept};
pub(crate) use ownership::{Asker, Marked, Opening, Replaces, State, owned, owner_of, same};
pub(crate) use program::{Program, RunError, Said, run, run_here, start};
pub(crate) use reconcile::{reconcile, reconciled};
pub(crate) use route::routed;
pub(crate) use saving::{About, Brought, Saves, Saving, Validated, Workshop, bring, failed, find};
pub(crate) use schema::{empty_schema, schema_of};
