//! The figures as a table of plain text, for a terminal or a log.

use std::fmt::Write as _;

use crate::result::{ActResult, DemoResult};

/// The columns: heading, and the cell of an act.
type Column = (&'static str, fn(&ActResult) -> String);

/// The columns after the act's name, for text and HTML alike.
pub(super) const COLUMNS: [Column; 9] = [
    ("RTO", |act| time(act.rto_s)),
    ("estimate", |act| time(act.rto_estimate_s)),
    ("outage", |act| time(act.client_outage_s)),
    ("noticed", |act| time(act.detected_s)),
    ("acknowledged", |act| count(act.acknowledged)),
    ("lost", |act| count(act.lost)),
    ("true loss", |act| time(act.true_loss_s)),
    ("loss bound", |act| time(act.reported_loss_bound_s)),
    ("steps", |act| count(act.steps)),
];

/// Draws the figures, one line per act and aligned, without colours.
#[must_use]
pub fn table(result: &DemoResult) -> String {
    let headings = std::iter::once("act").chain(COLUMNS.iter().map(|(heading, _)| *heading));
    let mut rows: Vec<Vec<String>> = vec![headings.map(str::to_owned).collect()];
    for act in &result.acts {
        let cells = COLUMNS.iter().map(|(_, cell)| cell(act));
        rows.push(std::iter::once(act.act.to_string()).chain(cells).collect());
    }
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let mut text = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let width = width(column);
            // Writing to a string cannot fail.
            let _ = match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    text
}

/// Seconds as people read them.
pub(super) fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if !seconds.is_finite() => "unbounded".to_owned(),
        Some(seconds) => format!("{seconds:.2} s"),
    }
}

fn count(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Act;

    #[test]
    fn columns_line_up() {
        let mut first = ActResult::new(Act::Switchover);
        (first.rto_s, first.lost, first.acknowledged) = (Some(0.875), Some(0), Some(12345));
        let second = ActResult::new(Act::SiteLoss);
        insta::assert_snapshot!(table(&DemoResult::new("sqlite", vec![first, second])), @r"
        act            RTO  estimate  outage  noticed  acknowledged  lost  true loss  loss bound  steps
        switchover  0.88 s         -       -        -         12345     0          -           -      -
        site-loss        -         -       -        -             -     -          -           -      -
        ");
    }
}
