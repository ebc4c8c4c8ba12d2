//! What Mainstay knows of a restore point, kept as tags of its snapshot: whose it is, which epoch, how far it goes.
//! So a repository explains itself, also to somebody who has nothing else, and stock restic shows and keeps all of it.
//! Must not know kinds, or which restore point is wanted.

use mainstay_model::{ComponentId, Epoch, KindName, Position, SiteId, Timestamp};

use crate::{BackupError, Id, Repository, Snapshot};

/// Before each of the tags.
const PREFIX: &str = "mainstay:";

/// Which part of a store a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holds {
    /// The whole store at one moment.
    Store,
    /// A piece of its log, with which a restore goes on from a whole one.
    Log,
}

/// Whose restore point it is. The order is by time at the source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// Every write acknowledged before this is in it, by the clock of the site. Taken before the first byte was read.
    pub taken: Timestamp,
    /// The declared system.
    pub system: String,
    /// The store.
    pub store: ComponentId,
    /// Its kind.
    pub kind: KindName,
    /// The site that it was read from.
    pub site: SiteId,
    /// The store's epoch then.
    pub epoch: Epoch,
    /// How far it goes, where the kind can say.
    pub position: Option<Position>,
    /// What is in it.
    pub holds: Holds,
}

impl Label {
    /// As tags.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        let tag = |key: &str, value: &dyn std::fmt::Display| format!("{PREFIX}{key}={value}");
        let mut tags = vec![
            tag("system", &self.system),
            tag("store", &self.store),
            tag("kind", &self.kind),
            tag("site", &self.site),
            tag("epoch", &self.epoch.0),
            tag("taken-us", &self.taken.0),
        ];
        tags.extend(self.position.as_ref().map(|position| match position {
            Position::Lsn(lsn) => tag("lsn", lsn),
            Position::Counter(counter) => tag("counter", counter),
            Position::Digest(digest) => tag("digest", digest),
        }));
        if self.holds == Holds::Log {
            tags.push(tag("holds", &"log"));
        }
        tags
    }

    /// From tags; none if they are not Mainstay's, or not whole.
    #[must_use]
    pub fn read(tags: &[String]) -> Option<Self> {
        let get = |key: &str| {
            let mut all = tags.iter().filter_map(|tag| tag.strip_prefix(PREFIX));
            all.find_map(|tag| tag.strip_prefix(key)?.strip_prefix('='))
        };
        let lsn = || Some(Position::Lsn(get("lsn")?.parse().ok()?));
        let counter = || Some(Position::Counter(get("counter")?.parse().ok()?));
        let digest = || Some(Position::Digest(get("digest")?.to_owned()));
        Some(Self {
            taken: Timestamp(get("taken-us")?.parse().ok()?),
            system: get("system")?.to_owned(),
            store: ComponentId::new(get("store")?).ok()?,
            kind: KindName::new(get("kind")?).ok()?,
            site: SiteId::new(get("site")?).ok()?,
            epoch: Epoch(get("epoch")?.parse().ok()?),
            position: lsn().or_else(counter).or_else(digest),
            holds: match get("holds") {
                None => Holds::Store,
                Some("log") => Holds::Log,
                Some(_) => return None,
            },
        })
    }
}

/// A snapshot that Mainstay made of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestorePoint {
    /// The snapshot's id.
    pub id: Id,
    /// Whose it is.
    pub label: Label,
    /// The snapshot.
    pub snapshot: Snapshot,
}

impl RestorePoint {
    /// Every restore point in a repository, in the order of their sources' time. A snapshot that cannot be read is an
    /// error; one that somebody else made is left out.
    pub fn all(repository: &Repository) -> Result<Vec<Self>, BackupError> {
        let labelled = repository
            .snapshots()?
            .into_iter()
            .filter_map(|(id, snapshot)| {
                let label = Label::read(&snapshot.tags)?;
                Some(Self {
                    id,
                    label,
                    snapshot,
                })
            });
        let mut points: Vec<Self> = labelled.collect();
        points.sort_by(|a, b| (&a.label, a.id).cmp(&(&b.label, b.id)));
        Ok(points)
    }

    /// The restore points of one store of a system.
    pub fn of(
        repository: &Repository,
        system: &str,
        store: &ComponentId,
    ) -> Result<Vec<Self>, BackupError> {
        let mut points = Self::all(repository)?;
        points.retain(|point| point.label.system == system && point.label.store == *store);
        Ok(points)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn position() -> impl Strategy<Value = Option<Position>> {
        prop_oneof![
            Just(None),
            any::<u64>().prop_map(|lsn| Some(Position::Lsn(lsn))),
            any::<u64>().prop_map(|counter| Some(Position::Counter(counter))),
            "[0-9a-f]{64}".prop_map(|digest| Some(Position::Digest(digest))),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            taken in any::<i64>(),
            epoch in any::<u64>(),
            position in position(),
            log in any::<bool>(),
            others in prop::collection::vec("[a-z:=]{0,12}", 0..4),
        ) {
            let label = Label {
                taken: Timestamp(taken),
                system: "orders".to_owned(),
                store: ComponentId::new("ledger").unwrap(),
                kind: KindName::new("postgres").unwrap(),
                site: SiteId::new("prod").unwrap(),
                epoch: Epoch(epoch),
                position,
                holds: if log { Holds::Log } else { Holds::Store },
            };
            let mut tags = others;
            tags.extend(label.tags());
            prop_assert_eq!(Label::read(&tags), Some(label));
        }
    }

    #[test]
    fn a_part_of_a_label_is_none() {
        let whole = [
            "mainstay:system=orders",
            "mainstay:store=ledger",
            "mainstay:kind=sqlite",
            "mainstay:site=prod",
            "mainstay:epoch=3",
            "mainstay:taken-us=17",
        ];
        let tags = |without: usize| {
            let kept = whole.iter().enumerate().filter(|(at, _)| *at != without);
            kept.map(|(_, tag)| (*tag).to_owned()).collect::<Vec<_>>()
        };
        assert!(Label::read(&tags(whole.len())).is_some());
        for (without, tag) in whole.iter().enumerate() {
            assert_eq!(Label::read(&tags(without)), None, "{tag}");
        }
    }
}
