//! The decision whether a write is admitted: the mark must name this site as the owner of an open
//! store, and a live lease must cover the mark's epoch. Pure; callers bring the readings.

use super::lease::LeaseHolder;
use super::mark::{MarkReading, MarkState};

/// Why a write is refused. Nothing was acknowledged; whether a write that had begun took effect is
/// unknown to the client, which may safely send the same id again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The store is sealed.
    Sealed,
    /// The store is a copy of another site's.
    Replica,
    /// Another site owns the store.
    NotOwner(String),
    /// No mark exists yet.
    NoMark,
    /// No live lease covers the epoch.
    NoLease,
    /// The database could not be used.
    Database(String),
    /// The attachments' folder could not be used.
    Files(String),
    /// The service is stopping.
    Stopping,
}

impl Refusal {
    /// The stable code in a response body.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Replica => "replica",
            Self::NotOwner(_) => "not-owner",
            Self::NoMark => "no-mark",
            Self::NoLease => "no-lease",
            Self::Database(_) => "database",
            Self::Files(_) => "files",
            Self::Stopping => "stopping",
        }
    }

    /// The particulars, where there are any.
    pub(crate) fn detail(&self) -> Option<&str> {
        match self {
            Self::NotOwner(text) | Self::Database(text) | Self::Files(text) => Some(text),
            Self::Sealed | Self::Replica | Self::NoMark | Self::NoLease | Self::Stopping => None,
        }
    }
}

/// The epoch at which `site` may write, judging by the mark alone.
pub(crate) fn owned_epoch(mark: &MarkReading, site: &str) -> Result<u64, Refusal> {
    let mark = match mark {
        MarkReading::Present(mark) => mark,
        MarkReading::Absent => return Err(Refusal::NoMark),
        MarkReading::Unreadable(why) => return Err(Refusal::Database(why.clone())),
    };
    match mark.state {
        MarkState::Sealed => Err(Refusal::Sealed),
        MarkState::Replica => Err(Refusal::Replica),
        MarkState::Open if mark.owner == site => Ok(mark.epoch),
        MarkState::Open => Err(Refusal::NotOwner(format!("owner is {}", mark.owner))),
    }
}

/// The epoch at which `site` may write now: the mark and the lease agree.
pub(crate) fn admit(mark: &MarkReading, site: &str, lease: &LeaseHolder) -> Result<u64, Refusal> {
    let epoch = owned_epoch(mark, site)?;
    if lease.covers(epoch) {
        Ok(epoch)
    } else {
        Err(Refusal::NoLease)
    }
}
