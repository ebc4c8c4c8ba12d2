//! Backups of a real cluster.

mod crashes;
mod fixture;
mod moves;
mod orders;
mod times;
