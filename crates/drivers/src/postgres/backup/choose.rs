//! Which base backup a restore begins with, and which log it needs: decided, or refused, before a byte is fetched.
//! Must not know servers.

use std::fmt;

use mainstay_backup::{Reader, Repository, RestorePoint, Wholeness};
use mainstay_driver::Cause;
use mainstay_model::{Position, RecoveryTarget, Timestamp};

use super::{
    super::moves::lsn_text,
    base::Base,
    held::{Held, Reach},
    segment::{Gap, Line, Segment},
    store::Store,
};
use crate::shared::{failed, lasting};

/// Whether what happened exactly then is part of what is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    With,
    Before,
}

/// Where recovery stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Until {
    /// As soon as the base is consistent.
    Consistent,
    /// The commits up to a moment of the source's clock.
    Time(Timestamp, Side),
    /// The log up to a position.
    Lsn(u64, Side),
    /// A moment that was given a name with `pg_create_restore_point`.
    Name(String),
    /// All that is stored.
    End,
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |side: &Side| match side {
            Side::With => "",
            Side::Before => "just before ",
        };
        match self {
            Self::Consistent => f.write_str("the end of the base backup"),
            Self::Time(time, at) => write!(f, "{}{time}", side(at)),
            Self::Lsn(lsn, at) => write!(f, "{}{}", side(at), lsn_text(*lsn)),
            Self::Name(name) => write!(f, "the moment named {name}"),
            Self::End => f.write_str("the end of the stored log"),
        }
    }
}

impl Until {
    /// What a target asks for; which base it names, if it names one. "Nothing that was written later" is the model's
    /// word for a time; a position is that of the end of what was written, so what begins there is not wanted.
    pub(super) fn of(target: &RecoveryTarget) -> Result<(Self, Option<&str>), Cause> {
        Ok(match target {
            RecoveryTarget::Newest => (Self::End, None),
            RecoveryTarget::Point(id) => (Self::Consistent, Some(id)),
            RecoveryTarget::Time(time) => (Self::Time(*time, Side::With), None),
            RecoveryTarget::Position(Position::Lsn(lsn)) => (Self::Lsn(*lsn, Side::Before), None),
            RecoveryTarget::Named(name) => (Self::Name(name.clone()), None),
            RecoveryTarget::Position(_) => {
                let what = "a position of this kind of store is one of its log, like 0/16B3748";
                return Err(lasting("no-restore-point", what));
            }
        })
    }
}

/// A base and the log from there on.
pub(super) struct Way {
    pub(super) base: Base,
    pub(super) line: Line,
    pub(super) until: Until,
    /// How far the stored log goes on this line.
    pub(super) reach: Reach,
    /// What is missing of it first.
    pub(super) gap: Option<Gap>,
    /// Segments from the base's first on, in the order in which they will be asked for.
    pub(super) segments: Vec<Segment>,
}

/// All that a repository has of a store.
pub(super) struct Stock {
    pub(super) bases: Vec<Base>,
    pub(super) points: Vec<RestorePoint>,
    pub(super) reader: Reader,
}

impl Stock {
    pub(super) fn read(store: &Store, from: &Repository) -> Result<Self, Cause> {
        let points = RestorePoint::of(from, &store.system, &store.instance.name);
        let points = points.map_err(|error| failed(&error))?;
        let whole = |point: &&RestorePoint| point.snapshot.wholeness() == Wholeness::Whole;
        let bases = points.iter().filter(whole).cloned().filter_map(Base::of);
        let mut bases: Vec<Base> = bases.collect();
        bases.sort_by_key(|base| base.until);
        Ok(Self {
            bases,
            points,
            reader: Reader::open(from).map_err(|error| failed(&error))?,
        })
    }

    fn none(&self, store: &Store, until: &Until) -> Cause {
        let range = match (self.bases.first(), self.bases.last()) {
            (Some(first), Some(last)) => {
                format!("base backups go from {} to {}", first.until, last.until)
            }
            _ => "there is no base backup".to_owned(),
        };
        let what = format!(
            "no restore point of {} leads to {until}: {range}",
            store.instance.name
        );
        lasting("no-restore-point", what)
    }

    /// The ways to a target, the best first; an error if there is none or the log does not go there.
    pub(super) fn ways(
        &self,
        store: &Store,
        until: &Until,
        named: Option<&str>,
    ) -> Result<Vec<(Way, Held)>, Cause> {
        let fits = |base: &&Base| match (named, until) {
            (Some(id), _) => !id.is_empty() && base.point.id.to_string().starts_with(id),
            (None, Until::Time(time, _)) => base.until <= *time,
            (None, Until::Lsn(lsn, _)) => base.end <= *lsn,
            (None, _) => true,
        };
        let bases: Vec<&Base> = self.bases.iter().rev().filter(fits).collect();
        // A name that fits several names none.
        let bases = if named.is_some() && bases.len() > 1 {
            Vec::new()
        } else {
            bases
        };
        let newest = bases.first().ok_or_else(|| self.none(store, until))?;
        let held =
            |base: &Base| Held::of(store, &self.points, &self.reader, base.cluster, base.size);
        if let Until::Name(_) = until {
            let ways = bases.iter().map(|base| {
                let held = held(base)?;
                Ok((self.way(base, &held, until)?, held))
            });
            return ways.collect();
        }
        let first = held(newest)?;
        let line = self.newest_line(&first, newest)?;
        // A base of a line that was left is only taken when there is no other.
        let on_line = |base: &&&Base| {
            base.cluster == newest.cluster
                && line
                    .as_ref()
                    .is_some_and(|line| line.has(base.timeline, base.end))
        };
        let base = bases.iter().find(on_line).unwrap_or(newest);
        Ok(vec![(self.way(base, &first, until)?, first)])
    }

    /// The newest line whose history is known.
    fn newest_line(&self, held: &Held, base: &Base) -> Result<Option<Line>, Cause> {
        let newest = held.newest_timeline().unwrap_or(1).max(base.timeline);
        for timeline in (1..=newest).rev() {
            if let Some(line) = held.line(&self.reader, timeline)? {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// How it goes from a base to a target.
    fn way(&self, base: &Base, held: &Held, until: &Until) -> Result<Way, Cause> {
        let newest = held.newest_timeline().unwrap_or(1).max(base.timeline);
        let mut line = Line::alone(base.timeline);
        for timeline in (base.timeline..=newest).rev() {
            let found = held.line(&self.reader, timeline)?;
            if let Some(found) = found.filter(|line| line.has(base.timeline, base.end)) {
                line = found;
                break;
            }
        }
        let begun = held.begun();
        let on_line = |one: &&Segment| line.at(one.number, base.size) == **one;
        let last = begun.iter().rev().find(on_line).map(|one| one.number);
        // The segment in which the base ends came with the base.
        let next = base.size.end(base.size.number(base.end));
        let gap = held.gaps(&line, next).first().copied();
        let reach = held
            .reach
            .get(&line.timeline())
            .copied()
            .unwrap_or_default();
        let until = checked(until, base, reach, gap)?;
        let first = base.size.number(base.start);
        let end = gap
            .map(|gap| gap.first.number)
            .or(last.map(|last| last + 1));
        let segments = (first..end.unwrap_or(first)).map(|number| line.at(number, base.size));
        Ok(Way {
            segments: segments.collect(),
            base: base.clone(),
            line,
            until,
            reach,
            gap,
        })
    }
}

/// Refuses what the stored log does not lead to. Without any log the base itself is all there is.
fn checked(until: &Until, base: &Base, reach: Reach, gap: Option<Gap>) -> Result<Until, Cause> {
    let in_gap = |gap: &Gap| gap_refused(until, gap, base);
    let after = |end: String| {
        let what = format!("{until} is after the end of what is stored: the log goes to {end}");
        Err(lasting("target-after-end", what))
    };
    let no_log = reach == Reach::default();
    match (until, gap) {
        // `Consistent` needs no log, and falls through.
        (Until::End | Until::Time(..), None) if no_log => return Ok(Until::Consistent),
        (Until::End, Some(gap)) => return Err(in_gap(&gap)),
        (Until::Lsn(lsn, _), Some(gap)) if *lsn > gap.first.number * base.size.0 => {
            return Err(in_gap(&gap));
        }
        (Until::Time(time, _), _) if *time > reach.taken => return after(reach.taken.to_string()),
        (Until::Lsn(lsn, _), _) if *lsn > reach.lsn.max(base.end) => {
            return after(lsn_text(reach.lsn));
        }
        _ => {}
    }
    Ok(until.clone())
}

/// The refusal that names what is missing.
pub(super) fn gap_refused(until: &Until, gap: &Gap, base: &Base) -> Cause {
    let what = format!(
        "{until} cannot be reached from the base backup of {}: {} of the log is missing",
        base.until,
        gap.describe(base.size)
    );
    lasting("log-gap", what)
}
