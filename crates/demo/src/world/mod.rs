//! The demo's world: two sites and a witness as real processes on loopback, and the plan file that declares them.
//!
//! It starts, finds and kills processes, and calls the `mainstay` program like any user would. Everything that
//! Mainstay decides is decided in those processes; nothing here knows how.

mod addresses;
mod hands;
mod parts;
mod plan;
mod process;
mod record;
mod seed;
mod site;
mod up;
mod verb;

pub use addresses::Addresses;
pub use hands::{Living, Presence};
pub use process::Identity;
pub use record::{Database, Password, Started, World};
pub use site::Site;
pub use up::{Clusters, Options, Watch};
pub use verb::{Answer, Verb, Watched};
