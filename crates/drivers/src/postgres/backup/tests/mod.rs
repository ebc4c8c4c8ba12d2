//! Backups of a real cluster.

mod crashes;
mod fixture;
mod times;
