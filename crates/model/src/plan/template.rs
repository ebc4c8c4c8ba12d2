//! The file that `mainstay init` writes. Must not know who writes it.

/// A commented plan file of a small system, which passes `mainstay check`.
#[must_use]
pub fn template() -> &'static str {
    include_str!("template.yaml")
}
