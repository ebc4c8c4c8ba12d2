//! The pages under `docs/errors/`, carried in the binary.
//! Must not know which crate a code belongs to.

include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// A code as it is written, and its page.
pub(crate) type Explained = (&'static str, &'static str);

/// The page of a code that was typed, in any case.
pub(crate) fn page(typed: &str) -> Option<Explained> {
    let mut all = all();
    all.find(|(code, _)| code.eq_ignore_ascii_case(typed))
}

/// Every code that has a page, in order.
pub(crate) fn all() -> impl Iterator<Item = Explained> {
    PAGES.iter().copied()
}
