//! Texts with a meaning: lengths of time, amounts of data, points in time. What to write instead of a wrong one.
//! Must not know where they stand.

use serde_json::Number;

use crate::{Moment, Size, Span, diagnostic::code};

/// What the format is, in words that follow "expected" or "is not".
pub(super) fn describe(format: &str) -> Option<&'static str> {
    match format {
        "span" => Some("a length of time"),
        "size" => Some("an amount of data"),
        "moment" => Some("a point in time"),
        _ => None,
    }
}

/// What to write instead of a bare number.
pub(super) fn with_unit(format: &str, number: &Number) -> Option<String> {
    match format {
        "span" => Some(format!("write `{number}s`, `{number}m` or `{number}h`")),
        "size" => Some(format!("write `{number}B`, `{number}KiB` or `{number}MiB`")),
        _ => None,
    }
}

/// What to write instead, if the text is not of that format.
pub(super) fn complain(format: &str, text: &str) -> Option<(&'static str, String)> {
    match format {
        "span" if text.parse::<Span>().is_err() => Some((code::UNIT, span_help(text))),
        "size" if text.parse::<Size>().is_err() => {
            let help = "write a number and a unit, such as `512B`, `64KiB`, `64MiB` or `1GiB`";
            Some((code::UNIT, help.to_owned()))
        }
        "moment" if text.parse::<Moment>().is_err() => {
            let help = "write a day, `2027-12-31`, or a time with its zone, `2027-12-31T18:00:00Z`";
            Some((code::BAD_VALUE, help.to_owned()))
        }
        _ => None,
    }
}

/// A number with a unit in words, or a blank between them, is understood well enough to say what to write.
fn span_help(text: &str) -> String {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_lowercase();
    let known = [
        ("ms", ["ms", "msec", "millisecond"]),
        ("s", ["s", "sec", "second"]),
        ("m", ["m", "min", "minute"]),
        ("h", ["h", "hr", "hour"]),
        ("d", ["d", "day", "days"]),
        ("w", ["w", "week", "weeks"]),
    ];
    let meant = known
        .iter()
        .find(|(_, words)| words.contains(&unit.trim_end_matches('s')));
    match meant.or_else(|| {
        known
            .iter()
            .find(|(_, words)| words.contains(&unit.as_str()))
    }) {
        Some((short, _)) if !number.is_empty() => format!("write `{number}{short}`"),
        _ => "write a number and a unit, such as `500ms`, `90s`, `5m`, `12h` or `14d`".to_owned(),
    }
}
