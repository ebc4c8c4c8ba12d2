//! The demo's application: a small multi-tenant order service over a database and a file tree.
//!
//! It is what Mainstay protects, so it must not know Mainstay: it reads the ownership mark that a
//! driver keeps at its store, asks a grantor for a lease, and refuses every write without both.

mod api;
mod attachments;
mod database;
mod gate;
mod ids;
mod lease;
mod mark;
mod options;
mod postgres;
mod reconcile;
mod run;
mod sqlite;
mod verify;
mod writer;

pub use database::{StoredOrder, destroy, init, stored_orders};
pub use ids::{BadId, OrderId, Tenant, tenant_name};
pub use mark::{Mark, MarkReading, MarkState};
pub use options::{DatabaseUrl, LeaseOptions, Options};
pub use reconcile::{ReconcileOptions, Reconciliation, Skew, reconcile};
pub use run::{OrderService, run};
pub use verify::Verification;
