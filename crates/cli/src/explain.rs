//! The pages under `docs/errors/`, carried in the binary.
//! Must not know which crate a code belongs to.

include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// The page of a code, in any case.
pub(crate) fn page(code: &str) -> Option<&'static str> {
    PAGES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(code))
        .map(|(_, page)| *page)
}

/// Every code that has a page, in order.
pub(crate) fn codes() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|(name, _)| *name)
}
