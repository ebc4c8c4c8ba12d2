//! The journal's rules: how an entry is framed, how entries hang together, and what counts as damage (I18).
//! Must not know what an event means, nor where entries are kept.
//!
//! An entry is, in this order (numbers are big-endian):
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version of the framing, 1 |
//! | 4 | length of the event, in bytes |
//! | 8 | sequence, from 1 |
//! | 8 | time, in microseconds since 1970 |
//! | length | the event, as JSON |
//! | 32 | hash of the entry before it; zeros for the first |
//! | 32 | hash of this entry: domain tag, previous hash, sequence, and the bytes from the version to the event |

use mainstay_model::Timestamp;
use mainstay_proof::{Broken, Damaged, Hash, Head, Link, link};

use crate::{
    Event, Illegal, Seq,
    bugs::{Bug, Bugs},
};

/// The version of the framing.
pub const JOURNAL_VERSION: u8 = 1;

/// The domain tag of run journals.
pub const JOURNAL_DOMAIN: &str = "mainstay run journal 1";

const HEAD: usize = 1 + 4 + 8 + 8;
const TAIL: usize = 32 + 32;

/// An entry as it is stored. Its bytes are never serialised again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub seq: Seq,
    /// Its hash.
    pub hash: Hash,
    /// The framed bytes.
    pub bytes: Vec<u8>,
}

/// A journal cannot be replayed. Nothing is guessed, nothing reordered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// There are no entries.
    #[error("the journal is empty")]
    Empty,
    /// An entry ends too early or has bytes to spare.
    #[error("entry {entry} is damaged: its length is wrong")]
    Length {
        /// The number that the entry should have.
        entry: u64,
    },
    /// An entry is of a version that this program does not read.
    #[error("entry {entry} has version {found}, and this program reads version {JOURNAL_VERSION}")]
    Version {
        /// The number that the entry should have.
        entry: u64,
        /// The version it has.
        found: u8,
    },
    /// The chain of hashes is broken.
    #[error(transparent)]
    Chain(#[from] Damaged),
    /// An entry is whole, and its event is not one that this program knows.
    #[error("entry {entry} holds no event that this program knows: {why}")]
    Event {
        /// Its number.
        entry: u64,
        /// What the reader said.
        why: String,
    },
    /// An entry is whole, and its event cannot have happened there.
    #[error("entry {entry} cannot have happened: {why}")]
    Refused {
        /// Its number.
        entry: u64,
        /// What the run machine said.
        why: Illegal,
    },
    /// The journal belongs to another runbook, or the runbook was changed (I19).
    #[error("the journal belongs to runbook {journal}, not to {found}")]
    Runbook {
        /// The hash in the journal.
        journal: String,
        /// The hash of the runbook that was given.
        found: String,
    },
}

impl Damage {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "journal-empty",
            Self::Version { .. } => "journal-version",
            Self::Runbook { .. } => "runbook-changed",
            Self::Length { .. } | Self::Chain(_) | Self::Event { .. } | Self::Refused { .. } => {
                "journal-damaged"
            }
        }
    }

    /// The number of the damaged entry, if it is about one.
    #[must_use]
    pub fn entry(&self) -> Option<u64> {
        match self {
            Self::Empty | Self::Runbook { .. } => None,
            Self::Chain(damaged) => Some(damaged.entry),
            Self::Length { entry }
            | Self::Version { entry, .. }
            | Self::Event { entry, .. }
            | Self::Refused { entry, .. } => Some(*entry),
        }
    }
}

/// Frames the event that follows `head`, and moves the head on.
pub(crate) fn frame(head: &mut Head, now: Timestamp, event: &Event) -> Result<Entry, String> {
    let seq = head.seq + 1;
    let mut bytes = Vec::with_capacity(256 + HEAD + TAIL);
    bytes.push(JOURNAL_VERSION);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(&now.0.to_be_bytes());
    serde_json::to_writer(&mut bytes, event).map_err(|error| error.to_string())?;
    let length = u32::try_from(bytes.len() - HEAD).map_err(|_| "too long".to_owned())?;
    bytes[1..5].copy_from_slice(&length.to_be_bytes());
    let hash = link(JOURNAL_DOMAIN, &head.hash, seq, &bytes);
    bytes.extend_from_slice(&head.hash.0);
    bytes.extend_from_slice(&hash.0);
    *head = Head { seq, hash };
    Ok(Entry {
        seq: Seq(seq),
        hash,
        bytes,
    })
}

/// Checks that a stored entry follows `head`, moves the head on, and reads it.
pub(crate) fn unframe(
    head: &mut Head,
    bytes: &[u8],
    bugs: Bugs,
) -> Result<(Timestamp, Event), Damage> {
    let entry = head.seq + 1;
    if let Some(found) = bytes.first().filter(|found| **found != JOURNAL_VERSION) {
        return Err(Damage::Version {
            entry,
            found: *found,
        });
    }
    let parts = split(bytes).filter(|parts| parts.rest.is_empty());
    let parts = parts.ok_or(Damage::Length { entry })?;
    if bugs.has(Bug::JournalUnchecked) {
        (head.seq, head.hash) = (head.seq + 1, parts.link.hash);
    } else {
        head.follow(JOURNAL_DOMAIN, &parts.link)?;
    }
    let event = serde_json::from_slice(parts.event).map_err(|error| Damage::Event {
        entry,
        why: error.to_string(),
    })?;
    Ok((parts.now, event))
}

struct Parts<'a> {
    now: Timestamp,
    event: &'a [u8],
    link: Link<'a>,
    rest: &'a [u8],
}

fn split(bytes: &[u8]) -> Option<Parts<'_>> {
    let length = u32::from_be_bytes(bytes.get(1..5)?.try_into().ok()?);
    let end = HEAD.checked_add(usize::try_from(length).ok()?)?;
    let tail: &[u8; TAIL] = bytes.get(end..end.checked_add(TAIL)?)?.try_into().ok()?;
    let (mut previous, mut hash) = (Hash::NONE, Hash::NONE);
    previous.0.copy_from_slice(&tail[..32]);
    hash.0.copy_from_slice(&tail[32..]);
    Some(Parts {
        now: Timestamp(i64::from_be_bytes(bytes.get(13..21)?.try_into().ok()?)),
        event: bytes.get(HEAD..end)?,
        link: Link {
            seq: u64::from_be_bytes(bytes.get(5..13)?.try_into().ok()?),
            previous,
            bytes: bytes.get(..end)?,
            hash,
        },
        rest: &bytes[end + TAIL..],
    })
}

/// A byte log of entries, cut where it may be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log<'a> {
    /// The whole entries, in order. They are not yet checked against each other; a replay does that.
    pub entries: Vec<&'a [u8]>,
    /// Where the next entry goes: the length of the bytes, or less if a torn tail has to be cut.
    pub end: usize,
}

/// Splits a byte log into entries. A torn tail is cut if the durable head lies before it: such an entry was never
/// confirmed to anyone. Anything else that is torn is damage (I18).
pub fn read_log(bytes: &[u8], durable: Seq) -> Result<Log<'_>, Damage> {
    read_log_with(bytes, durable, Bugs::NONE)
}

/// The same, with planted bugs.
pub fn read_log_with(bytes: &[u8], durable: Seq, bugs: Bugs) -> Result<Log<'_>, Damage> {
    let durable = if bugs.has(Bug::JournalCutsAnything) {
        Seq(0)
    } else {
        durable
    };
    let (mut entries, mut head, mut at) = (Vec::new(), Head::default(), 0);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let whole = match split(rest) {
            Some(parts) if rest[0] == JOURNAL_VERSION => {
                let mut next = head;
                let follows = next.follow(JOURNAL_DOMAIN, &parts.link);
                follows.map(|()| (next, rest.len() - parts.rest.len()))
            }
            _ => Err(Damaged {
                entry: head.seq + 1,
                what: Broken::Missing,
            }),
        };
        match whole {
            Ok((next, length)) => {
                entries.push(&rest[..length]);
                (head, at) = (next, at + length);
            }
            Err(_) if head.seq >= durable.0 => break,
            Err(damaged) => return Err(damaged.into()),
        }
    }
    if head.seq < durable.0 {
        return Err(Damage::Chain(Damaged {
            entry: head.seq + 1,
            what: Broken::Missing,
        }));
    }
    Ok(Log { entries, end: at })
}
