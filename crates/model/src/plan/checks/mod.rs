//! What no single value can be blamed for: references, order, protection, promises.
//! Must not know how the file was read.

mod detection;
mod kinds;
mod order;
mod protection;
mod references;
mod sites;

use super::{draft::Draft, shape::MAX_SITES};
use crate::{Diagnostics, Timestamp};

pub(super) use kinds::{kind, promises};
use references::section_of;

/// Checks the file as a whole, as far as it can be read.
pub(super) fn whole(draft: &Draft<'_>, now: Timestamp, out: &mut Diagnostics) {
    references::check(draft, out);
    if draft.sites.len() > MAX_SITES {
        return;
    }
    order::check(draft, out);
    sites::check(draft, out);
    protection::check(draft, out);
    detection::check(draft, now, out);
}
