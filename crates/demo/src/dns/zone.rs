//! A zone as a value: record sets by name and type, and the answer to a question. Pure; a changed
//! zone is a new value, so that a reader sees either all of an update or nothing of it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};

/// The records of one name and type. Never empty; all share one TTL (RFC 2181, section 5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RrSet {
    pub(crate) ttl: u32,
    pub(crate) data: Vec<RData>,
}

/// A zone. It always has a start of authority and name servers at its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone {
    origin: LowerName,
    sets: BTreeMap<(LowerName, RecordType), RrSet>,
}

/// The answer to a question about a name within the zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Records(Vec<Record>),
    /// The name exists, with other types.
    NoData,
    NoSuchName,
}

impl Zone {
    /// A zone with its two obligatory sets.
    pub(crate) fn new(origin: LowerName, soa: SOA, servers: &[Name], ttl: u32) -> Self {
        let mut sets = BTreeMap::new();
        let key = |kind| (origin.clone(), kind);
        sets.insert(
            key(RecordType::SOA),
            RrSet {
                ttl,
                data: vec![RData::SOA(soa)],
            },
        );
        let data = servers
            .iter()
            .map(|name| RData::NS(hickory_proto::rr::rdata::NS(name.clone())));
        sets.insert(
            key(RecordType::NS),
            RrSet {
                ttl,
                data: data.collect(),
            },
        );
        Self { origin, sets }
    }

    /// A zone from stored sets, if the obligatory ones are among them.
    pub(crate) fn from_sets(
        origin: LowerName,
        sets: BTreeMap<(LowerName, RecordType), RrSet>,
    ) -> Option<Self> {
        let zone = Self { origin, sets };
        let has = |kind| zone.set(&zone.origin, kind).is_some();
        (zone.soa().is_some() && has(RecordType::NS)).then_some(zone)
    }

    pub(crate) fn origin(&self) -> &LowerName {
        &self.origin
    }

    pub(crate) fn contains(&self, name: &LowerName) -> bool {
        self.origin.zone_of(name)
    }

    pub(crate) fn sets(&self) -> &BTreeMap<(LowerName, RecordType), RrSet> {
        &self.sets
    }

    pub(crate) fn set(&self, name: &LowerName, kind: RecordType) -> Option<&RrSet> {
        self.sets.get(&(name.clone(), kind))
    }

    /// Whether any record has exactly this name.
    pub(crate) fn in_use(&self, name: &LowerName) -> bool {
        self.sets.keys().any(|(used, _)| used == name)
    }

    /// The start of authority.
    pub(crate) fn soa(&self) -> Option<&SOA> {
        match self.set(&self.origin, RecordType::SOA)?.data.first()? {
            RData::SOA(soa) => Some(soa),
            _ => None,
        }
    }

    /// The records of the start of authority, for the authority section of a denial.
    pub(crate) fn authority(&self) -> Vec<Record> {
        self.records(&self.origin, RecordType::SOA)
    }

    /// Answers a question about a name within the zone.
    pub(crate) fn answer(&self, name: &LowerName, kind: RecordType) -> Answer {
        let records = match kind {
            RecordType::ANY => self
                .sets
                .keys()
                .filter(|(used, _)| used == name)
                .flat_map(|(used, kind)| self.records(used, *kind))
                .collect(),
            _ => self.records(name, kind),
        };
        if !records.is_empty() {
            return Answer::Records(records);
        }
        // A name exists as well when only names below it have records (RFC 8020).
        let exists = self.sets.keys().any(|(used, _)| name.zone_of(used));
        if exists {
            Answer::NoData
        } else {
            Answer::NoSuchName
        }
    }

    fn records(&self, name: &LowerName, kind: RecordType) -> Vec<Record> {
        let set = self.set(name, kind).into_iter();
        set.flat_map(|set| {
            set.data
                .iter()
                .map(|data| Record::from_rdata(Name::from(name.clone()), set.ttl, data.clone()))
        })
        .collect()
    }

    /// Adds a record; a duplicate only renews the set's TTL.
    pub(crate) fn add(&mut self, name: LowerName, ttl: u32, data: RData) {
        match self.sets.entry((name, data.record_type())) {
            Entry::Vacant(free) => {
                free.insert(RrSet {
                    ttl,
                    data: vec![data],
                });
            }
            Entry::Occupied(mut set) => {
                let set = set.get_mut();
                set.ttl = ttl;
                if !set.data.contains(&data) {
                    set.data.push(data);
                }
            }
        }
    }

    /// Replaces the start of authority.
    pub(crate) fn set_soa(&mut self, ttl: u32, soa: SOA) {
        let key = (self.origin.clone(), RecordType::SOA);
        self.sets.insert(
            key,
            RrSet {
                ttl,
                data: vec![RData::SOA(soa)],
            },
        );
    }

    /// Removes one record.
    pub(crate) fn remove(&mut self, name: &LowerName, data: &RData) {
        let key = (name.clone(), data.record_type());
        if let Entry::Occupied(mut set) = self.sets.entry(key) {
            set.get_mut().data.retain(|known| known != data);
            if set.get().data.is_empty() {
                set.remove();
            }
        }
    }

    /// Removes the sets of `name` that `which` picks by type.
    pub(crate) fn remove_sets(&mut self, name: &LowerName, which: impl Fn(RecordType) -> bool) {
        self.sets
            .retain(|(used, kind), _| used != name || !which(*kind));
    }
}
