//! Which restore points stay and which may go (I24). Pure: restore points and policy in, a reasoned verdict for each out.
//! Must not know a repository, a clock or who asks.
//!
//! Three dangers shape the rules. *A flood*: somebody, or a loop, writes a thousand restore points so that a count pushes
//! the good ones out. So counts count slots of time, never restore points, and within a slot the best proven one stays.
//! *A lying clock*: the time a client wrote into a snapshot is never used, only the time at which Mainstay recorded it;
//! age is measured from the newest complete restore point, so that nothing expires while backups fail, and a gap between two
//! of them ages what is older by a few intervals at most, so that a clock that jumps ahead expires nothing either; and a
//! recorded time that contradicts its neighbours takes its restore point out of every rule that could remove it. *A hollow copy*: what
//! is incomplete or unproven never pushes out what is proven, and the last proven one always stays.

mod calendar;
mod order;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use mainstay_model::{Keep, Span, Timestamp};
use mainstay_proof::Level;

use calendar::Calendar;

/// A gap between two restore points ages what is older by at most so many intervals of the schedule.
const GAP: u64 = 3;

/// Whether everything that should be in a restore point is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whole {
    /// Yes.
    Complete,
    /// Something could not be read; it is listed with the restore point.
    Incomplete,
}

/// A restore point as retention sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Its name in the repository.
    pub id: String,
    /// When Mainstay recorded it, by its own clock. Never the time that the client wrote into it.
    pub recorded: Timestamp,
    /// Whether all of it is there.
    pub whole: Whole,
    /// How far it has been proven; none if nobody has looked since it was written.
    pub proven: Option<Level>,
}

/// Why a restore point stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// There is no policy: everything stays.
    NoPolicy,
    /// It is the newest one.
    Newest,
    /// It is the newest one that was proven as far as it.
    LastProven,
    /// It is younger than `within`.
    Within,
    /// It stands for one of the last slots of the schedule.
    Last,
    /// It stands for an hour.
    Hourly,
    /// It stands for a day.
    Daily,
    /// It stands for a week.
    Weekly,
    /// It stands for a month.
    Monthly,
    /// It stands for a year.
    Yearly,
    /// The time at which it was recorded contradicts its neighbours: a person decides.
    TimeInDoubt,
    /// It is incomplete, and no complete one is newer.
    NothingBetter,
    /// Restores to a moment within `pitr` may begin with it.
    Pitr,
    /// It is a piece of a log: its kind trims that.
    Log,
}

/// What becomes of one restore point.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    /// Its name.
    pub id: String,
    /// Why it stays; empty if it may go.
    pub stays: Vec<Reason>,
}

/// The verdict for each restore point of one store in one repository, in the order of `points`, which is the order in
/// which they were recorded. `every` is the schedule: the slots that `last` counts.
#[must_use]
pub fn retain(points: &[Point], keep: &Keep, every: Span) -> Vec<Verdict> {
    let mut reasons: Vec<Vec<Reason>> = vec![Vec::new(); points.len()];
    let dated = order::dated(points);
    for (at, dated) in dated.iter().enumerate() {
        if !dated {
            reasons[at].push(Reason::TimeInDoubt);
        }
    }
    let counted: Vec<usize> = (0..points.len())
        .filter(|at| dated[*at] && points[*at].whole == Whole::Complete)
        .collect();
    if is_empty(keep) {
        for reasons in &mut reasons {
            reasons.push(Reason::NoPolicy);
        }
    } else {
        if let Some(within) = keep.within {
            young(points, &counted, within, every, &mut reasons);
        }
        slots(points, &counted, keep, every, &mut reasons);
    }
    never_removed(points, &counted, &mut reasons);
    let verdicts = points.iter().zip(reasons);
    verdicts
        .map(|(point, mut stays)| {
            stays.sort_unstable();
            stays.dedup();
            Verdict {
                id: point.id.clone(),
                stays,
            }
        })
        .collect()
}

fn is_empty(keep: &Keep) -> bool {
    *keep == Keep::default()
}

/// What is younger than `within`, measured from the newest complete restore point.
fn young(
    points: &[Point],
    counted: &[usize],
    within: Span,
    every: Span,
    reasons: &mut [Vec<Reason>],
) {
    let most = every.0.saturating_mul(GAP);
    let mut age = 0_u64;
    // What was recorded before the next younger complete one is as old as that one, plus the gap.
    let mut younger: Option<usize> = None;
    for at in counted.iter().rev() {
        if let Some(younger) = younger {
            let gap = points[younger].recorded.since(points[*at].recorded);
            age = age.saturating_add(gap.0.min(most));
        }
        let until = younger.unwrap_or(points.len());
        if age <= within.0 {
            for reasons in &mut reasons[*at..until] {
                reasons.push(Reason::Within);
            }
        }
        younger = Some(*at);
    }
}

/// The best of each of the last so many slots of time.
fn slots(
    points: &[Point],
    counted: &[usize],
    keep: &Keep,
    every: Span,
    reasons: &mut [Vec<Reason>],
) {
    let rules = [
        (keep.last, Calendar::Schedule(every), Reason::Last),
        (keep.hourly, Calendar::Hour, Reason::Hourly),
        (keep.daily, Calendar::Day, Reason::Daily),
        (keep.weekly, Calendar::Week, Reason::Weekly),
        (keep.monthly, Calendar::Month, Reason::Monthly),
        (keep.yearly, Calendar::Year, Reason::Yearly),
    ];
    for (count, calendar, reason) in rules {
        let Some(count) = count else { continue };
        let mut best: BTreeMap<i64, usize> = BTreeMap::new();
        for at in counted {
            let slot = best
                .entry(calendar.slot(points[*at].recorded))
                .or_insert(*at);
            // The latest of the best proven ones stands for the slot.
            if points[*at].proven >= points[*slot].proven {
                *slot = *at;
            }
        }
        for at in best.values().rev().take(count as usize) {
            reasons[*at].push(reason);
        }
    }
}

/// What no policy removes.
fn never_removed(points: &[Point], counted: &[usize], reasons: &mut [Vec<Reason>]) {
    if let Some(newest) = counted.last() {
        reasons[*newest].push(Reason::Newest);
    }
    for level in [Level::ReadBack, Level::Restored, Level::Checked] {
        let last = counted
            .iter()
            .rev()
            .find(|at| points[**at].proven >= Some(level));
        if let Some(last) = last {
            reasons[*last].push(Reason::LastProven);
        }
    }
    let complete = |point: &Point| point.whole == Whole::Complete;
    let after = points.iter().rposition(complete).map_or(0, |at| at + 1);
    for reasons in &mut reasons[after..] {
        reasons.push(Reason::NothingBetter);
    }
}
