//! A plan as text: a tree for people, JSON, DOT and Mermaid for other tools. Pure strings, no terminal.

mod graph;
mod json;
mod tree;

pub use graph::{dot, mermaid};
pub use json::json;
pub use tree::{graph, tree};
