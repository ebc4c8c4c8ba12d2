//! A folder on a server that is reached with the program `ssh`, as a container.

mod container;
mod files;
mod folder;
mod link;

pub(super) use container::Server;
