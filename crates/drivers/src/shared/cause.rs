//! Short ways to say why an action did not end well.
//! Must not know what the action was.

use mainstay_driver::{ActError, Cause, Retry};

/// Nothing was changed, and trying again is useless until somebody changes something.
pub(crate) fn refused(code: &str, what: impl Into<String>) -> ActError {
    ActError::NotDone(cause(code, what, Retry::Useless))
}

/// Nothing was changed, and it may pass by itself.
pub(crate) fn hindered(code: &str, what: impl Into<String>) -> ActError {
    ActError::NotDone(cause(code, what, Retry::MayHelp))
}

/// It may have happened; only observing can tell.
pub(crate) fn unknown(code: &str, what: impl Into<String>) -> ActError {
    ActError::Unknown(cause(code, what, Retry::MayHelp))
}

fn cause(code: &str, what: impl Into<String>, retry: Retry) -> Cause {
    Cause {
        code: code.to_owned(),
        what: what.into(),
        retry,
    }
}
