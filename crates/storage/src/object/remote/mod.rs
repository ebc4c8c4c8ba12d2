//! Containers on other machines: S3, Azure Blob, Google Cloud Storage, and any server with SSH; opened by their address.

mod address;
mod container;
mod contents;
mod fault;
mod open;
mod options;
mod runtime;
mod service;
mod sftp;

pub use container::Remote;
pub use contents::open_contents;
pub use open::open;
pub use options::{Missing, Options, Secret};
