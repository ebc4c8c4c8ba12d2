//! The imperative shell: `SQLite` state, agents and their client, the dispatcher, observers and the watch.
//! Must not know any concrete driver; it is handed `Kinds` and `Drivers`.

pub mod agent;
pub mod backups;
pub mod client;
pub mod clock;
pub mod db;
mod desk;
pub mod dispatch;
pub mod lock;
pub mod observe;
mod places;
pub mod receipts;
pub mod state;
pub mod watch;
pub mod wire;

pub use desk::{Desk, DeskError, mainstay};
pub use places::{PlaceError, Places};
