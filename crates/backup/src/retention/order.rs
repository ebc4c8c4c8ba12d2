//! Which recorded times can be believed. Must not know a policy.

use super::Point;

/// For each restore point, whether its recorded time fits the order in which they were recorded. The longest run of
/// times that never go back is believed (patience sorting, as for a longest non-decreasing subsequence); what stands
/// against it was recorded by a clock that was wrong at that moment.
pub(super) fn dated(points: &[Point]) -> Vec<bool> {
    // For each length, the run of that length with the smallest last time: the place of its last element.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(points.len());
    for (at, point) in points.iter().enumerate() {
        let length = ends.partition_point(|end| points[*end].recorded <= point.recorded);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(at);
        } else {
            ends[length] = at;
        }
    }
    let mut dated = vec![false; points.len()];
    let mut next = ends.last().copied();
    while let Some(at) = next {
        dated[at] = true;
        next = before[at];
    }
    dated
}
