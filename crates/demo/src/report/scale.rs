//! The geometry of a timeline: time to horizontal places, ticks at round values, and labels in
//! rows where they do not collide. Pure arithmetic; it draws nothing.

use crate::load::Window;

/// The picture's width, in user units.
pub(super) const WIDTH: f64 = 1000.0;
/// Room for the names of steps on the left.
pub(super) const GUTTER: f64 = 230.0;
/// Room on the right.
const MARGIN: f64 = 16.0;
/// An average character's width at the labels' size.
const CHARACTER: f64 = 6.0;

/// Maps moments to horizontal places.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    window: Window,
}

impl Scale {
    pub(super) fn new(window: Window) -> Self {
        Self { window }
    }

    /// The length of the time shown, in seconds, never zero.
    pub(super) fn seconds(&self) -> f64 {
        seconds_between(self.window.from_us, self.window.to_us).max(0.001)
    }

    /// The place of a moment, kept within the plot.
    pub(super) fn x(&self, at_us: u64) -> f64 {
        let offset = seconds_between(self.window.from_us, at_us);
        let share = (offset / self.seconds()).clamp(0.0, 1.0);
        GUTTER + share * (WIDTH - GUTTER - MARGIN)
    }

    /// Ticks at round times relative to `zero_us`: place and seconds.
    pub(super) fn ticks(&self, zero_us: u64) -> Vec<(f64, f64)> {
        let steps = [
            0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0,
        ];
        let step = steps
            .into_iter()
            .find(|step| self.seconds() / step <= 14.0)
            .unwrap_or(600.0);
        let first = (seconds_between(zero_us, self.window.from_us) / step).ceil();
        let last = seconds_between(zero_us, self.window.to_us);
        let offset = seconds_between(self.window.from_us, zero_us);
        let mut ticks = Vec::new();
        let mut number = first;
        while number * step <= last && ticks.len() < 64 {
            let at = number * step;
            let share = (offset + at) / self.seconds();
            ticks.push((GUTTER + share * (WIDTH - GUTTER - MARGIN), at));
            number += 1.0;
        }
        ticks
    }
}

/// Rows for labels that start at the given places, so that none covers another.
pub(super) fn rows(labels: &[(f64, usize)]) -> Vec<usize> {
    let mut ends: Vec<f64> = Vec::new();
    let mut rows = Vec::with_capacity(labels.len());
    for (x, characters) in labels {
        let row = ends.iter().position(|end| end <= x).unwrap_or(ends.len());
        let end = x + text_width(*characters) + 12.0;
        match ends.get_mut(row) {
            Some(known) => *known = end,
            None => ends.push(end),
        }
        rows.push(row);
    }
    rows
}

/// The width that a text of so many characters takes.
pub(super) fn text_width(characters: usize) -> f64 {
    f64::from(u32::try_from(characters).unwrap_or(u32::MAX)) * CHARACTER
}

/// Seconds from one moment to another, negative when it is earlier.
pub(super) fn seconds_between(from_us: u64, to_us: u64) -> f64 {
    let span = crate::load::seconds(from_us.abs_diff(to_us));
    if to_us < from_us { -span } else { span }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_stay_within_the_plot_and_ticks_are_round() {
        let scale = Scale::new(Window {
            from_us: 10_000_000,
            to_us: 14_000_000,
        });
        assert!((scale.x(0) - GUTTER).abs() < 1e-9);
        assert!((scale.x(u64::MAX) - (WIDTH - MARGIN)).abs() < 1e-9);
        let ticks = scale.ticks(11_000_000);
        let times: Vec<f64> = ticks.iter().map(|(_, at)| *at).collect();
        assert_eq!(times, [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]);
        assert!((ticks[2].0 - scale.x(11_000_000)).abs() < 1e-9);
    }

    #[test]
    fn colliding_labels_get_rows_of_their_own() {
        assert_eq!(
            rows(&[(0.0, 10), (20.0, 5), (100.0, 5), (101.0, 5)]),
            [0, 1, 0, 1]
        );
        assert_eq!(rows(&[]), [] as [usize; 0]);
    }
}
