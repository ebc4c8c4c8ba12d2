//! Dynamic updates as a pure function: prerequisites, prescan and update of RFC 2136, sections 3.2
//! and 3.4, over one zone value. Whether the sender may update is decided before this is called.

use std::collections::BTreeMap;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{DNSClass, LowerName, RData, Record, RecordType};

use super::persist::can_store;
use super::zone::Zone;

/// The types that the server keeps.
const KEPT: [RecordType; 5] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::TXT,
    RecordType::NS,
    RecordType::SOA,
];

/// What an accepted update did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The zone after it, with a newer serial.
    Changed(Zone),
    /// Everything was so already.
    Unchanged,
}

/// Applies an update to `zone`, or says with which code it is refused.
pub(crate) fn apply(
    zone: &Zone,
    prerequisites: &[Record],
    updates: &[Record],
) -> Result<Outcome, ResponseCode> {
    check_prerequisites(zone, prerequisites)?;
    prescan(zone, updates)?;
    let mut next = zone.clone();
    for record in updates {
        change(&mut next, record);
    }
    if next == *zone {
        return Ok(Outcome::Unchanged);
    }
    renew_serial(zone, &mut next);
    Ok(Outcome::Changed(next))
}

/// RFC 2136, section 3.2.
fn check_prerequisites(zone: &Zone, prerequisites: &[Record]) -> Result<(), ResponseCode> {
    let mut exact: BTreeMap<(LowerName, RecordType), Vec<&RData>> = BTreeMap::new();
    for record in prerequisites {
        let name = LowerName::new(&record.name);
        if record.ttl != 0 {
            return Err(ResponseCode::FormErr);
        }
        if !zone.contains(&name) {
            return Err(ResponseCode::NotZone);
        }
        let kind = record.record_type();
        match record.dns_class {
            DNSClass::ANY | DNSClass::NONE if !is_empty(&record.data) => {
                return Err(ResponseCode::FormErr);
            }
            DNSClass::ANY => match kind {
                RecordType::ANY if !zone.in_use(&name) => return Err(ResponseCode::NXDomain),
                RecordType::ANY => {}
                _ if zone.set(&name, kind).is_none() => return Err(ResponseCode::NXRRSet),
                _ => {}
            },
            DNSClass::NONE => match kind {
                RecordType::ANY if zone.in_use(&name) => return Err(ResponseCode::YXDomain),
                RecordType::ANY => {}
                _ if zone.set(&name, kind).is_some() => return Err(ResponseCode::YXRRSet),
                _ => {}
            },
            DNSClass::IN => exact.entry((name, kind)).or_default().push(&record.data),
            _ => return Err(ResponseCode::FormErr),
        }
    }
    for ((name, kind), wanted) in exact {
        let known = zone.set(&name, kind).map_or(&[][..], |set| &set.data);
        let covers = known.iter().all(|data| wanted.contains(&data));
        if !covers || !wanted.iter().all(|data| known.contains(data)) {
            return Err(ResponseCode::NXRRSet);
        }
    }
    Ok(())
}

/// RFC 2136, section 3.4.1.
fn prescan(zone: &Zone, updates: &[Record]) -> Result<(), ResponseCode> {
    for record in updates {
        if !zone.contains(&LowerName::new(&record.name)) {
            return Err(ResponseCode::NotZone);
        }
        let kind = record.record_type();
        let question_only = matches!(kind, RecordType::AXFR | RecordType::IXFR);
        match record.dns_class {
            DNSClass::IN => {
                if question_only || kind == RecordType::ANY || is_empty(&record.data) {
                    return Err(ResponseCode::FormErr);
                }
                if !KEPT.contains(&kind) || !can_store(&record.name, &record.data) {
                    return Err(ResponseCode::Refused);
                }
            }
            DNSClass::ANY => {
                if record.ttl != 0 || !is_empty(&record.data) || question_only {
                    return Err(ResponseCode::FormErr);
                }
            }
            DNSClass::NONE => {
                if record.ttl != 0 || kind == RecordType::ANY || question_only {
                    return Err(ResponseCode::FormErr);
                }
            }
            _ => return Err(ResponseCode::FormErr),
        }
    }
    Ok(())
}

/// One record of RFC 2136, section 3.4.2.
fn change(zone: &mut Zone, record: &Record) {
    let name = LowerName::new(&record.name);
    let at_origin = name == *zone.origin();
    let kept_at_origin = |kind| matches!(kind, RecordType::SOA | RecordType::NS);
    match (record.dns_class, &record.data) {
        (DNSClass::IN, RData::SOA(soa)) => {
            let newer = zone
                .soa()
                .is_some_and(|known| is_newer(soa.serial, known.serial));
            if at_origin && newer {
                zone.set_soa(record.ttl, soa.clone());
            }
        }
        (DNSClass::IN, data) => zone.add(name, record.ttl, data.clone()),
        (DNSClass::ANY, _) => match record.record_type() {
            RecordType::ANY if at_origin => zone.remove_sets(&name, |kind| !kept_at_origin(kind)),
            RecordType::ANY => zone.remove_sets(&name, |_| true),
            kind if at_origin && kept_at_origin(kind) => {}
            kind => zone.remove_sets(&name, |other| other == kind),
        },
        (_, RData::SOA(_)) => {}
        (_, data @ RData::NS(_)) => {
            let last = zone
                .set(&name, RecordType::NS)
                .is_some_and(|set| set.data == [data.clone()]);
            if !(at_origin && last) {
                zone.remove(&name, data);
            }
        }
        (_, data) => zone.remove(&name, data),
    }
}

/// A changed zone gets a newer serial, unless the update brought one (RFC 2136, section 3.6).
fn renew_serial(before: &Zone, after: &mut Zone) {
    let (Some(old), Some(new)) = (before.soa(), after.soa()) else {
        return;
    };
    if new.serial != old.serial {
        return;
    }
    // Zero is skipped: some software reads it as "no serial".
    let serial = new.serial.wrapping_add(1).max(1);
    let soa = with_serial(new, serial);
    let ttl = after
        .set(after.origin(), RecordType::SOA)
        .map_or(0, |set| set.ttl);
    after.set_soa(ttl, soa);
}

fn with_serial(soa: &SOA, serial: u32) -> SOA {
    let mut soa = soa.clone();
    soa.serial = serial;
    soa
}

/// Serial number arithmetic of RFC 1982.
fn is_newer(serial: u32, than: u32) -> bool {
    (1..1 << 31).contains(&serial.wrapping_sub(than))
}

fn is_empty(data: &RData) -> bool {
    matches!(data, RData::Update0(_))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::rr::Name;
    use hickory_proto::rr::rdata::{A, NS, TXT};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn zone() -> Zone {
        let origin = name("orders.test.");
        let soa = SOA::new(
            name("ns.orders.test."),
            name("root.orders.test."),
            7,
            1,
            1,
            1,
            1,
        );
        let mut zone = Zone::new(LowerName::new(&origin), soa, &[name("ns.orders.test.")], 60);
        zone.add(LowerName::new(&name("app.orders.test.")), 1, a(11));
        zone.add(LowerName::new(&name("app.orders.test.")), 1, a(21));
        zone
    }

    fn a(last: u8) -> RData {
        RData::A(A(Ipv4Addr::new(127, 0, 0, last)))
    }

    fn record(at: &str, class: DNSClass, ttl: u32, data: RData) -> Record {
        let mut record = Record::from_rdata(name(at), ttl, data);
        record.dns_class = class;
        record
    }

    fn bare(at: &str, class: DNSClass, kind: RecordType) -> Record {
        record(at, class, 0, RData::Update0(kind))
    }

    const APP: &str = "app.orders.test.";

    #[test]
    fn each_prerequisite_has_its_code() {
        let none = "none.orders.test.";
        let cases = [
            (
                bare(none, DNSClass::ANY, RecordType::ANY),
                Some(ResponseCode::NXDomain),
            ),
            (bare(APP, DNSClass::ANY, RecordType::ANY), None),
            (
                bare(APP, DNSClass::ANY, RecordType::TXT),
                Some(ResponseCode::NXRRSet),
            ),
            (bare(APP, DNSClass::ANY, RecordType::A), None),
            (
                bare(APP, DNSClass::NONE, RecordType::ANY),
                Some(ResponseCode::YXDomain),
            ),
            (bare(none, DNSClass::NONE, RecordType::ANY), None),
            (
                bare(APP, DNSClass::NONE, RecordType::A),
                Some(ResponseCode::YXRRSet),
            ),
            (bare(APP, DNSClass::NONE, RecordType::TXT), None),
            (
                bare("app.other.test.", DNSClass::ANY, RecordType::A),
                Some(ResponseCode::NotZone),
            ),
            (
                record(APP, DNSClass::ANY, 0, a(11)),
                Some(ResponseCode::FormErr),
            ),
            (
                record(APP, DNSClass::IN, 1, a(11)),
                Some(ResponseCode::FormErr),
            ),
            (
                record(APP, DNSClass::CH, 0, a(11)),
                Some(ResponseCode::FormErr),
            ),
            // A whole set is asked for, and this is only half of it.
            (
                record(APP, DNSClass::IN, 0, a(11)),
                Some(ResponseCode::NXRRSet),
            ),
        ];
        for (prerequisite, expected) in cases {
            let refused = apply(&zone(), std::slice::from_ref(&prerequisite), &[]).err();
            assert_eq!(refused, expected, "{prerequisite}");
        }
        let both = [
            record(APP, DNSClass::IN, 0, a(21)),
            record(APP, DNSClass::IN, 0, a(11)),
        ];
        assert_eq!(apply(&zone(), &both, &[]), Ok(Outcome::Unchanged));
    }

    #[test]
    fn a_bad_record_anywhere_leaves_everything_as_it_was() {
        let good = record(APP, DNSClass::IN, 1, a(31));
        let odd = Name::from_labels([&b"a\tb"[..], b"orders", b"test"]).unwrap();
        let unreadable = Record::from_rdata(odd, 1, a(1));
        for (bad, code) in [
            (
                record("x.other.test.", DNSClass::IN, 1, a(1)),
                ResponseCode::NotZone,
            ),
            (
                bare(APP, DNSClass::IN, RecordType::A),
                ResponseCode::FormErr,
            ),
            (record(APP, DNSClass::ANY, 0, a(1)), ResponseCode::FormErr),
            (
                bare(APP, DNSClass::NONE, RecordType::ANY),
                ResponseCode::FormErr,
            ),
            (record(APP, DNSClass::NONE, 5, a(1)), ResponseCode::FormErr),
            (unreadable.clone(), ResponseCode::Refused),
        ] {
            assert_eq!(apply(&zone(), &[], &[good.clone(), bad]), Err(code));
        }
    }

    fn changed(updates: &[Record]) -> Zone {
        match apply(&zone(), &[], updates) {
            Ok(Outcome::Changed(zone)) => zone,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_set_is_replaced_in_one_update_and_the_serial_grows() {
        let updates = [
            bare(APP, DNSClass::ANY, RecordType::A),
            record("APP.orders.test.", DNSClass::IN, 5, a(12)),
        ];
        let after = changed(&updates);
        let set = after
            .set(&LowerName::new(&name(APP)), RecordType::A)
            .unwrap();
        assert_eq!((set.ttl, &set.data), (5, &vec![a(12)]));
        assert_eq!(after.soa().unwrap().serial, 8);
    }

    #[test]
    fn a_single_record_goes_and_an_absent_one_changes_nothing() {
        let after = changed(&[record(APP, DNSClass::NONE, 0, a(11))]);
        let set = after
            .set(&LowerName::new(&name(APP)), RecordType::A)
            .unwrap();
        assert_eq!(set.data, [a(21)]);
        let absent = record(APP, DNSClass::NONE, 0, a(99));
        assert_eq!(apply(&zone(), &[], &[absent]), Ok(Outcome::Unchanged));
    }

    #[test]
    fn the_zone_never_loses_what_makes_it_one() {
        let origin = "orders.test.";
        let text = record(
            origin,
            DNSClass::IN,
            1,
            RData::TXT(TXT::new(vec!["x".to_owned()])),
        );
        let ns = RData::NS(NS(name("ns.orders.test.")));
        for attack in [
            bare(origin, DNSClass::ANY, RecordType::ANY),
            bare(origin, DNSClass::ANY, RecordType::SOA),
            bare(origin, DNSClass::ANY, RecordType::NS),
            record(origin, DNSClass::NONE, 0, ns.clone()),
        ] {
            let after = changed(&[text.clone(), attack, text.clone()]);
            assert!(after.soa().is_some());
            assert!(after.set(after.origin(), RecordType::NS).is_some());
        }
    }

    #[test]
    fn a_serial_only_moves_forward() {
        let with = |serial| {
            let soa = with_serial(zone().soa().unwrap(), serial);
            record("orders.test.", DNSClass::IN, 60, RData::SOA(soa))
        };
        assert_eq!(apply(&zone(), &[], &[with(7)]), Ok(Outcome::Unchanged));
        assert_eq!(apply(&zone(), &[], &[with(3)]), Ok(Outcome::Unchanged));
        assert_eq!(changed(&[with(100)]).soa().unwrap().serial, 100);
        assert!(is_newer(1, u32::MAX) && !is_newer(u32::MAX, 1));
    }
}
