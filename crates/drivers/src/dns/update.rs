//! The one message that changes a route (RFC 2136): its prerequisite is the old epoch record, exactly, and its
//! update replaces the addresses and the epoch record together. Must not know sockets.

use std::{collections::BTreeSet, net::IpAddr};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, AAAA, TXT},
    },
};

use super::record::EpochRecord;

/// Names and time to live of a route's records.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) zone: Name,
    pub(super) name: Name,
    pub(super) epoch: Name,
    pub(super) ttl: u32,
}

impl Names {
    /// The route at `name`, in `zone`.
    pub(super) fn new(zone: &str, name: &str, ttl: u32) -> Result<Self, String> {
        let absolute = |text: &str| -> Result<Name, String> {
            let mut name = Name::from_ascii(text).map_err(|error| error.to_string())?;
            name.set_fqdn(true);
            Ok(name.to_lowercase())
        };
        let (zone, name) = (absolute(zone)?, absolute(name)?);
        let epoch = name
            .prepend_label("_mainstay")
            .map_err(|error| error.to_string())?;
        Ok(Self {
            zone,
            name,
            epoch,
            ttl,
        })
    }
}

/// Builds the update. `old` is the epoch record as the server has it now; none demands that there is none.
pub(super) fn replace(
    names: &Names,
    old: Option<&RData>,
    new: &EpochRecord,
    addresses: &BTreeSet<IpAddr>,
) -> Message {
    let mut message = Message::new(
        Message::query().metadata.id,
        MessageType::Query,
        OpCode::Update,
    );
    let mut zone = Query::query(names.zone.clone(), RecordType::SOA);
    zone.set_query_class(DNSClass::IN);
    message.add_query(zone);
    // The sections of an update have other names: prerequisites stand where answers do, updates where authorities do.
    message.add_answer(match old {
        Some(old) => Record::from_rdata(names.epoch.clone(), 0, old.clone()),
        None => empty(names.epoch.clone(), DNSClass::NONE, RecordType::TXT),
    });
    message.add_authority(empty(names.epoch.clone(), DNSClass::ANY, RecordType::TXT));
    message.add_authority(Record::from_rdata(
        names.epoch.clone(),
        names.ttl,
        RData::TXT(TXT::new(new.to_strings())),
    ));
    for kind in [RecordType::A, RecordType::AAAA] {
        message.add_authority(empty(names.name.clone(), DNSClass::ANY, kind));
    }
    for address in addresses {
        let data = match address {
            IpAddr::V4(address) => RData::A(A(*address)),
            IpAddr::V6(address) => RData::AAAA(AAAA(*address)),
        };
        message.add_authority(Record::from_rdata(names.name.clone(), names.ttl, data));
    }
    message
}

/// "This record set": deleted (class ANY) or demanded to be absent (class NONE).
fn empty(name: Name, class: DNSClass, kind: RecordType) -> Record {
    let mut record = Record::update0(name, 0, kind);
    record.dns_class = class;
    record
}

/// The strings of a TXT record.
pub(super) fn strings(data: &RData) -> Vec<String> {
    match data {
        RData::TXT(text) => text
            .txt_data
            .iter()
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .collect(),
        _ => Vec::new(),
    }
}
