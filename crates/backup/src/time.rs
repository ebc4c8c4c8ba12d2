//! Times as the repository writes them: RFC 3339 with nanoseconds.
//! Must not know what happened then.

use std::{
    fmt,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Whole seconds since 1970, rounded down.
    pub secs: i64,
    /// Nanoseconds after them, below 1,000,000,000.
    pub nanos: u32,
}

/// The text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is written like 2026-11-26T04:19:33.5Z")]
pub struct NoTime;

/// The first second of the year 0, and the first after the year 9999: all that RFC 3339 can write.
const SECONDS: std::ops::Range<i64> = -62_167_219_200..253_402_300_800;

const DAY: i64 = 86_400;

impl Time {
    /// 1970.
    pub const EPOCH: Self = Self { secs: 0, nanos: 0 };

    /// Now, by this machine's clock.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since = since.unwrap_or_default();
        Self {
            secs: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanos: since.subsec_nanos(),
        }
    }

    /// A moment from a file system, moved to the nearest one that can be written.
    #[must_use]
    pub fn from_parts(secs: i64, nanos: i64) -> Self {
        if !SECONDS.contains(&secs) {
            return Self {
                secs: secs.clamp(SECONDS.start, SECONDS.end - 1),
                nanos: 0,
            };
        }
        let nanos = u32::try_from(nanos.clamp(0, 999_999_999)).unwrap_or(0);
        Self { secs, nanos }
    }

    /// So many seconds later, or earlier if negative.
    #[must_use]
    pub fn plus_secs(self, secs: i64) -> Self {
        let secs = self.secs.saturating_add(secs);
        Self {
            secs: secs.clamp(SECONDS.start, SECONDS.end - 1),
            ..self
        }
    }

    /// Nanoseconds since 1970.
    #[must_use]
    pub fn as_nanos(self) -> i128 {
        i128::from(self.secs) * 1_000_000_000 + i128::from(self.nanos)
    }

    /// Appends the text, which is ASCII.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let (days, second) = (self.secs.div_euclid(DAY), self.secs.rem_euclid(DAY));
        let (year, month, day) = civil(days);
        digits(out, year, 4);
        for (mark, value) in [(b'-', month), (b'-', day), (b'T', second / 3600)] {
            out.push(mark);
            digits(out, value, 2);
        }
        for value in [second / 60 % 60, second % 60] {
            out.push(b':');
            digits(out, value, 2);
        }
        if self.nanos != 0 {
            out.push(b'.');
            digits(out, i64::from(self.nanos), 9);
            while out.last() == Some(&b'0') {
                out.pop();
            }
        }
        out.push(b'Z');
    }
}

/// Appends a number with so many digits.
fn digits(out: &mut Vec<u8>, mut value: i64, count: usize) {
    let from = out.len();
    out.resize(from + count, b'0');
    for digit in out[from..].iter_mut().rev() {
        *digit += value.rem_euclid(10).to_le_bytes()[0];
        value /= 10;
    }
}

/// The date of a day since 1970. Source: Hinnant, "chrono-compatible low-level date algorithms".
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// The day since 1970 of a date. Same source.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(30);
        self.write(&mut text);
        f.pad(&String::from_utf8_lossy(&text))
    }
}

impl FromStr for Time {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<Self, NoTime> {
        parse(text.as_bytes()).ok_or(NoTime)
    }
}

fn number(text: &[u8]) -> Option<i64> {
    let digits = text.iter().map(|byte| match byte {
        b'0'..=b'9' => Some(i64::from(byte - b'0')),
        _ => None,
    });
    digits
        .into_iter()
        .try_fold(0, |all, digit| Some(all * 10 + digit?))
}

fn parse(text: &[u8]) -> Option<Time> {
    let (date, rest) = text.split_at_checked(19)?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| date[*at] != *mark) {
        return None;
    }
    let part = |from: usize, to: usize| number(&date[from..to]);
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    let (nanos, zone) = match rest.strip_prefix(b".") {
        None => (0, rest),
        Some(rest) => {
            let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let kept = count.min(9);
            let scale = 10_i64.pow(u32::try_from(9 - kept).ok()?);
            (number(&rest[..kept])? * scale, &rest[count..])
        }
    };
    let offset = match zone {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let seconds = number(&[*h1, *h2])? * 3600 + number(&[*m1, *m2])? * 60;
            if *sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    let secs = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset;
    Some(Time::from_parts(secs, nanos))
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_times_read_and_write() {
        for (secs, nanos, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (1_000_000_000, 500_000_000, "2001-09-09T01:46:40.5Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000000001Z"),
            (-62_167_219_200, 0, "0000-01-01T00:00:00Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59Z"),
        ] {
            let time = Time { secs, nanos };
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time));
        }
        let there: Time = "2014-12-22T14:47:59.912418701+01:30".parse().unwrap();
        assert_eq!(there.to_string(), "2014-12-22T13:17:59.912418701Z");
        for bad in [
            "",
            "2014-12-22",
            "2014-12-22T14:47:59",
            "2014-13-22T14:47:59Z",
            "yesterday",
        ] {
            assert!(bad.parse::<Time>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_time_comes_back(secs in SECONDS, nanos in 0_u32..1_000_000_000) {
            let time = Time { secs, nanos };
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }

        #[test]
        fn times_outside_become_the_nearest(secs: i64, nanos: i64) {
            let time = Time::from_parts(secs, nanos);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }
}
