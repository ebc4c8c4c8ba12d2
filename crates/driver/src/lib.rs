//! The driver contract's async half: the only way in which Mainstay touches the world.
//! Must not know any concrete driver, nor the order in which steps are taken.

pub mod conformance;
pub mod decorate;
mod driver;
mod now;

pub use driver::{ActError, Cause, Driver, Drivers, Handle, Order, Progress, Retry};
