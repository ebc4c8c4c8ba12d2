//! Names of log files, the numbers behind them, and lines of timelines: which file continues which.
//! Source: PostgreSQL's `xlog_internal.h` and its manual, "Continuous Archiving", "Timelines".
//! Must not know where files are.

use std::collections::BTreeSet;

/// The ending of a file that is still being received.
const PARTIAL: &str = ".partial";
/// The ending of a file that says where a timeline began.
const HISTORY: &str = ".history";
/// Bytes of log that share the first sixteen digits of their files' names.
const LOG: u64 = 1 << 32;

/// One file of the log. The order is by place, then by timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) timeline: u32,
}

/// What a file in a folder of log files is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LogFile {
    /// A whole segment.
    Whole(Segment),
    /// The beginning of one.
    Partial(Segment),
    /// Where this timeline began.
    History(u32),
}

/// How long each file is: a power of two from 1 MiB to 1 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

impl Size {
    /// None if no server has such files.
    pub(super) fn new(bytes: u64) -> Option<Self> {
        ((1 << 20..=1 << 30).contains(&bytes) && bytes.is_power_of_two()).then_some(Self(bytes))
    }

    /// The number of the segment that has the byte at a position.
    pub(super) fn number(self, lsn: u64) -> u64 {
        lsn / self.0
    }

    /// The name of a segment's file.
    pub(super) fn name(self, segment: Segment) -> String {
        let each = LOG / self.0;
        let Segment { timeline, number } = segment;
        format!("{timeline:08X}{:08X}{:08X}", number / each, number % each)
    }

    /// What a name says.
    pub(super) fn parse(self, name: &str) -> Option<LogFile> {
        if let Some(timeline) = name.strip_suffix(HISTORY) {
            return hex(timeline).map(LogFile::History);
        }
        if let Some(name) = name.strip_suffix(PARTIAL) {
            return self.segment(name).map(LogFile::Partial);
        }
        self.segment(name).map(LogFile::Whole)
    }

    fn segment(self, name: &str) -> Option<Segment> {
        if name.len() != 24 || !name.is_ascii() {
            return None;
        }
        let each = LOG / self.0;
        let low = u64::from(hex(&name[16..])?);
        (low < each).then_some(Segment {
            timeline: hex(&name[..8])?,
            number: u64::from(hex(&name[8..16])?) * each + low,
        })
    }

    /// The first position that a segment does not have.
    pub(super) fn end(self, number: u64) -> u64 {
        (number + 1).saturating_mul(self.0)
    }
}

impl LogFile {
    /// Whose log it is part of; a history is part of none.
    pub(super) fn timeline(self) -> Option<u32> {
        match self {
            Self::Whole(segment) | Self::Partial(segment) => Some(segment.timeline),
            Self::History(_) => None,
        }
    }

    /// Files of one group share a snapshot: those with the first sixteen digits in common, and all histories.
    pub(super) fn group(self, size: Size) -> String {
        match self {
            Self::Whole(segment) | Self::Partial(segment) => {
                size.name(segment).get(..16).unwrap_or_default().to_owned()
            }
            Self::History(_) => "history".to_owned(),
        }
    }
}

/// The name of a timeline's history.
pub(super) fn history_name(timeline: u32) -> String {
    format!("{timeline:08X}{HISTORY}")
}

/// The name of a segment that is not whole.
pub(super) fn partial_name(whole: &str) -> String {
    format!("{whole}{PARTIAL}")
}

fn hex(text: &str) -> Option<u32> {
    let digits = text
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
    (text.len() == 8 && digits).then(|| u32::from_str_radix(text, 16).ok())?
}

/// `0/16B3748`, as the server writes positions.
pub(super) fn lsn(text: &str) -> Option<u64> {
    let (high, low) = text.trim().split_once('/')?;
    let part = |text: &str| u64::from_str_radix(text, 16).ok().filter(|n| *n < LOG);
    Some(part(high)? << 32 | part(low)?)
}

/// A timeline and those that it came from, oldest first, each with the position where it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line(Vec<(u32, u64)>);

impl Line {
    /// A timeline's line by its history file; the first timeline has none.
    pub(super) fn read(timeline: u32, history: &str) -> Option<Self> {
        let (mut parts, mut begin) = (Vec::new(), 0);
        for line in history.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            let parent = words.next()?.parse().ok()?;
            parts.push((parent, begin));
            begin = lsn(words.next()?)?;
        }
        parts.push((timeline, begin));
        let rising = parts.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
        rising.then_some(Self(parts))
    }

    /// A timeline of which nothing older is known.
    pub(super) fn alone(timeline: u32) -> Self {
        Self(vec![(timeline, 0)])
    }

    /// The timeline itself.
    pub(super) fn timeline(&self) -> u32 {
        self.0.last().map_or(1, |(timeline, _)| *timeline)
    }

    /// Which timeline's file the server reads at a place: the newest that has it.
    pub(super) fn at(&self, number: u64, size: Size) -> Segment {
        let found = self
            .0
            .iter()
            .rev()
            .find(|(_, begin)| size.number(*begin) <= number);
        Segment {
            timeline: found
                .or(self.0.first())
                .map_or(1, |(timeline, _)| *timeline),
            number,
        }
    }

    /// Whether what a timeline had up to a position is part of this line.
    pub(super) fn has(&self, timeline: u32, up_to: u64) -> bool {
        let Some(place) = self.0.iter().position(|(one, _)| *one == timeline) else {
            return false;
        };
        self.0
            .get(place + 1)
            .is_none_or(|(_, begin)| up_to <= *begin)
    }
}

/// Segments that are not there although later ones are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) first: Segment,
    pub(super) last: Segment,
}

impl Gap {
    /// The files' names, for people.
    pub(super) fn describe(&self, size: Size) -> String {
        if self.first == self.last {
            size.name(self.first)
        } else {
            format!("{} to {}", size.name(self.first), size.name(self.last))
        }
    }
}

/// The gaps of a line from a place on, up to the last segment that is there.
pub(super) fn gaps(line: &Line, from: u64, there: &BTreeSet<Segment>, size: Size) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = Vec::new();
    let last = there
        .iter()
        .rev()
        .find(|one| line.at(one.number, size) == **one);
    for number in from..last.map_or(0, |last| last.number) {
        let wanted = line.at(number, size);
        if there.contains(&wanted) {
            continue;
        }
        match gaps.last_mut() {
            Some(gap) if gap.last.number + 1 == number => gap.last = wanted,
            _ => gaps.push(Gap {
                first: wanted,
                last: wanted,
            }),
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: Size = Size(16 << 20);

    fn segment(timeline: u32, number: u64) -> Segment {
        Segment { number, timeline }
    }

    #[test]
    fn names_are_postgresql_s() {
        assert_eq!(SIZE.name(segment(1, 1)), "000000010000000000000001");
        assert_eq!(SIZE.name(segment(0xA, 0x1FF)), "0000000A00000001000000FF");
        let partial = SIZE.parse("000000010000000000000001.partial");
        assert_eq!(partial, Some(LogFile::Partial(segment(1, 1))));
        assert_eq!(SIZE.parse("0000000B.history"), Some(LogFile::History(11)));
        for bad in [
            "",
            "000000010000000000000100",
            "00000001000000000000000g",
            "b.history",
        ] {
            assert_eq!(SIZE.parse(bad), None, "{bad}");
        }
        assert_eq!(lsn("1/1F"), Some((1 << 32) + 31));
        let group = LogFile::Whole(segment(2, 0x123)).group(SIZE);
        assert_eq!(group, "0000000200000001");
    }

    proptest! {
        #[test]
        fn every_name_comes_back(timeline: u32, number in 0..1_u64 << 40, shift in 20..=30_u32) {
            let size = Size::new(1 << shift).unwrap();
            let one = segment(timeline, number % (LOG / size.0 * LOG));
            prop_assert_eq!(size.parse(&size.name(one)), Some(LogFile::Whole(one)));
        }

        #[test]
        fn no_text_makes_parsing_panic(text in "\\PC{0,40}") {
            let _ = (SIZE.parse(&text), lsn(&text), Line::read(3, &text));
        }
    }

    #[test]
    fn a_line_takes_the_newest_timeline_that_has_a_place() {
        let line = Line::read(3, "1\t0/3000060\tno recovery target\n\n2\t0/7000000\tx\n").unwrap();
        let timelines: Vec<u32> = (1..=8).map(|n| line.at(n, SIZE).timeline).collect();
        assert_eq!(timelines, [1, 1, 2, 2, 2, 2, 3, 3]);
        assert!(line.has(1, 0x300_0060) && !line.has(1, 0x300_0061));
        assert!(line.has(3, u64::MAX) && !line.has(4, 0));
        assert_eq!(line.timeline(), 3);
        assert_eq!(Line::read(2, "2\t0/1\tx"), None);
        assert_eq!(Line::read(1, ""), Some(Line::alone(1)));
    }

    #[test]
    fn gaps_are_found_on_the_line_only() {
        let line = Line::read(2, "1\t0/4000000\tx").unwrap();
        // The old timeline went on after the new one began: that is no part of the line.
        let there = [(1, 1), (1, 3), (2, 6), (1, 4), (1, 9)];
        let there = there
            .map(|(timeline, number)| segment(timeline, number))
            .into();
        let found = gaps(&line, 1, &there, SIZE);
        let named: Vec<String> = found.iter().map(|gap| gap.describe(SIZE)).collect();
        assert_eq!(
            named,
            [
                "000000010000000000000002",
                "000000020000000000000004 to 000000020000000000000005"
            ]
        );
        assert_eq!(gaps(&line, 6, &there, SIZE), []);
    }
}
