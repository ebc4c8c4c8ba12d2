//! Short ways to say why something did not end well. Every code has a page under `docs/errors/`.
//! Must not know what was to be done.

use mainstay_driver::{ActError, Cause};

/// A cause that may pass by itself.
pub(crate) fn passing(code: &str, what: impl Into<String>) -> Cause {
    Cause::passing(code, what)
}

/// A cause that somebody has to mend.
pub(crate) fn lasting(code: &str, what: impl Into<String>) -> Cause {
    Cause::lasting(code, what)
}

/// Nothing was changed, and trying again is useless until somebody changes something.
pub(crate) fn refused(code: &str, what: impl Into<String>) -> ActError {
    ActError::NotDone(lasting(code, what))
}

/// Nothing was changed, and it may pass by itself.
pub(crate) fn hindered(code: &str, what: impl Into<String>) -> ActError {
    ActError::NotDone(passing(code, what))
}

/// It may have happened; only observing can tell.
pub(crate) fn unknown(code: &str, what: impl Into<String>) -> ActError {
    ActError::Unknown(passing(code, what))
}

/// The refusal of an operation that the kind does not have.
pub(crate) fn unsupported(kind: &str) -> ActError {
    refused("unsupported", format!("a {kind} component cannot do that"))
}
