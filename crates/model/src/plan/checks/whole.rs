//! The order of the checks. Must not know what each of them looks for.

use super::{detection, order, protection, references, sites};
use crate::{
    Diagnostics, Timestamp,
    plan::{draft::Draft, shape::MAX_SITES},
};

/// Checks the file as a whole, as far as it can be read.
pub(in crate::plan) fn whole(draft: &Draft<'_>, now: Timestamp, out: &mut Diagnostics) {
    references::check(draft, out);
    if draft.sites.len() > MAX_SITES {
        return;
    }
    order::check(draft, out);
    sites::check(draft, out);
    protection::check(draft, out);
    detection::check(draft, now, out);
}
