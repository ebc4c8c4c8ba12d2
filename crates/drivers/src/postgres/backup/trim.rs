//! Which part of the stored log nobody needs any more: what lies before every base backup from which a moment within the
//! declared time can still be reached.
//! Must not know when this is asked.

use mainstay_backup::{Repository, RestorePoint, Wholeness};
use mainstay_driver::Cause;
use mainstay_model::{Span, Timestamp};

use super::{base::Base, held::Held, store::Store};
use crate::shared::failed;

/// So many of the newest base backups keep their log whatever any clock says.
const ALWAYS: usize = 2;

/// Forgets groups of log files that no restore within `pitr` needs.
pub(super) fn trim(
    held: &mut Held,
    store: &Store,
    from: &Repository,
    pitr: Span,
) -> Result<(), Cause> {
    let points = RestorePoint::of(from, &store.system, &store.instance.name);
    let points = points.map_err(|error| failed(&error))?;
    let whole = points
        .into_iter()
        .filter(|point| point.snapshot.wholeness() == Wholeness::Whole);
    let bases = whole
        .filter_map(Base::of)
        .filter(|base| base.cluster == held.cluster);
    let mut bases: Vec<(Timestamp, u64)> = bases.map(|base| (base.until, base.start)).collect();
    bases.sort_unstable();
    let now = held.reach.values().map(|reach| reach.taken).max();
    let Some(needed) = needed_from(&bases, now.unwrap_or_default(), pitr) else {
        return Ok(());
    };
    held.forget_before(from, needed)
}

/// The first position that is still needed. Base backups by the moment at which they are consistent, each with where its
/// log begins.
fn needed_from(bases: &[(Timestamp, u64)], now: Timestamp, pitr: Span) -> Option<u64> {
    let span = i64::try_from(pitr.0).unwrap_or(i64::MAX);
    let window = Timestamp(now.0.saturating_sub(span));
    // The window's first moment is reached from the newest base before it.
    let first = bases.iter().rposition(|(until, _)| *until <= window);
    let first = first.unwrap_or(0).min(bases.len().checked_sub(ALWAYS)?);
    bases.get(first..)?.iter().map(|(_, start)| *start).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_of_the_declared_time_stays_in_reach() {
        let bases: Vec<_> = (1..=6)
            .map(|n| (Timestamp(n * 10), n.cast_unsigned() * 100))
            .collect();
        let from = |now, pitr| needed_from(&bases, Timestamp(now), Span(pitr));
        assert_eq!(from(65, 20), Some(400));
        assert_eq!(from(65, 25), Some(400));
        assert_eq!(from(65, 26), Some(300));
        assert_eq!(from(65, 1000), Some(100));
        // A clock that is far ahead takes no log from the newest ones.
        assert_eq!(from(1_000_000, 1), Some(500));
        assert_eq!(
            needed_from(&bases[..1], Timestamp(1_000_000), Span(1)),
            None
        );
        assert_eq!(needed_from(&[], Timestamp(65), Span(1)), None);
    }
}
