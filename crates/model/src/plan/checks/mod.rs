//! What no single value can be blamed for: references, order, protection, promises.
//! Must not know how the file was read.

mod kinds;
mod references;

use super::draft::Draft;
use crate::{Diagnostics, Timestamp};

pub(super) use kinds::{kind, promises};

/// Checks the file as a whole, as far as it can be read.
pub(super) fn whole(draft: &Draft<'_>, now: Timestamp, out: &mut Diagnostics) {
    let _ = now;
    references::check(draft, out);
}
