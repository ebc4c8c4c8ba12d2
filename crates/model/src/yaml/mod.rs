//! Bytes to nodes: the part of YAML that a plan file needs, read within a budget.
//! Must not know what the nodes mean.

mod limits;
mod node;
mod read;
mod scalar;
mod text;

pub use limits::MAX_BYTES;
pub use node::{Entry, Mapping, Node, NodeValue};
pub(crate) use read::read;
pub(crate) use text::decode;
