//! What Mainstay can operate, a module for each kind. Depends on the driver contract, never on who calls it.

pub mod dns;
mod support;

pub use support::Home;
