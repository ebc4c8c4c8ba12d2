//! The acts that are played on the demo's world, and what is measured of each.
//!
//! An act only types what people can type, reads what clients saw, and compares the list of acknowledged writes with
//! what survived. It decides nothing that Mainstay decides, and holds no figure of its own.

mod crash;
mod home;
mod kept;
mod mistake;
mod play;
mod runs;
mod site_loss;
mod stage;
mod switchover;

pub use play::play;
pub use stage::Say;
