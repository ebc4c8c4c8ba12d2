//! The pure half of `dns`: its options, its promises, when a route is as wanted.
//! Must not know name servers.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_model::{
    Class, Complaint, Declared, FenceClass, Goal, Idempotence, Kind, KindSchema, LossMode, Sample,
    SealStrength, SiteId, Timestamp, Traits, Tri, Weights,
};

use super::options::{DnsOptions, DnsTarget};
use crate::shared::{routed, schema_of};

/// The key of [`mainstay_model::Facts::extra`] under which addresses that do not fit the plan file are reported.
pub(super) const ODD: &str = "odd-addresses";

/// Routes kept in DNS.
#[derive(Debug, Clone, Copy, Default)]
pub struct DnsKind;

impl Kind for DnsKind {
    fn name(&self) -> &'static str {
        "dns"
    }

    fn classes(&self) -> &'static [Class] {
        &[Class::Route]
    }

    fn schema(&self, _class: Class) -> KindSchema {
        KindSchema {
            at: schema_of::<DnsTarget>(),
            options: schema_of::<DnsOptions>(),
        }
    }

    fn check(&self, declared: &Declared) -> Vec<Complaint> {
        let mut complaints = Vec::new();
        if let Ok(options) = DnsOptions::of(declared) {
            check_names(&options, &mut complaints);
        }
        check_targets(declared, &mut complaints);
        complaints
    }

    fn traits(&self, _declared: &Declared) -> Traits {
        Traits {
            // The name server itself refuses an update whose prerequisite names an older epoch.
            fence: FenceClass::F3,
            loss: LossMode::Disposable,
            seal: SealStrength::Asserted,
            idempotence: Idempotence::Conditional,
        }
    }

    fn holds(&self, goal: &Goal, sample: &Sample, now: Timestamp) -> Tri {
        // DNS has no weights: a site is in the answer, with all of its addresses, or it is not.
        routed(goal, sample, now, ODD, |seen, wanted| {
            serving(seen) == serving(wanted)
        })
    }
}

fn serving(weights: &Weights) -> BTreeSet<&SiteId> {
    weights
        .iter()
        .filter(|(_, weight)| **weight > 0)
        .map(|(site, _)| site)
        .collect()
}

fn complaint(path: &[&str], what: String, help: &str) -> Complaint {
    Complaint {
        path: path.iter().map(|key| (*key).to_owned()).collect(),
        what,
        help: Some(help.to_owned()),
    }
}

fn check_names(options: &DnsOptions, complaints: &mut Vec<Complaint>) {
    let name = options.name.trim_end_matches('.').to_ascii_lowercase();
    let zone = options
        .zone_name()
        .trim_end_matches('.')
        .to_ascii_lowercase();
    if let Err(error) = hickory_proto::rr::Name::from_ascii(&name) {
        complaints.push(complaint(
            &["name"],
            format!("{name:?} is not a DNS name: {error}"),
            "write a name such as app.orders.test",
        ));
    } else if zone.is_empty() {
        complaints.push(complaint(
            &["name"],
            format!("{name:?} is in no zone that could take an update"),
            "write the full name, such as app.orders.test",
        ));
    } else if name != zone && !name.ends_with(&format!(".{zone}")) {
        complaints.push(complaint(
            &["zone"],
            format!("{name:?} is not in the zone {zone:?}"),
            "name the zone that the name is in, or leave it out",
        ));
    }
    let servers = options.resolvers.iter().map(|server| ("resolvers", server));
    for (key, server) in std::iter::once(("server", &options.server)).chain(servers) {
        let port = server
            .rsplit_once(':')
            .map(|(_, port)| port.parse::<u16>().is_ok());
        if port != Some(true) {
            complaints.push(complaint(
                &[key],
                format!("{server:?} names no port"),
                "write HOST:PORT, such as 192.0.2.53:53",
            ));
        }
    }
}

fn check_targets(declared: &Declared, complaints: &mut Vec<Complaint>) {
    let mut owner = BTreeMap::new();
    for (site, at) in &declared.at {
        let DnsTarget(addresses) = match serde_json::from_value(at.clone()) {
            Ok(target) => target,
            Err(error) => {
                complaints.push(complaint(
                    &["to", site.as_str()],
                    format!("{at} is no list of addresses: {error}"),
                    "write IPv4 or IPv6 addresses, such as [\"192.0.2.1\"]",
                ));
                continue;
            }
        };
        if addresses.is_empty() {
            complaints.push(complaint(
                &["to", site.as_str()],
                format!("{site} has no address"),
                "list at least one address",
            ));
        }
        for address in addresses {
            if let Some(other) = owner.insert(address, site).filter(|other| *other != site) {
                complaints.push(complaint(
                    &["to", site.as_str()],
                    format!("{address} is an address of {other} too"),
                    "give each site addresses of its own: they tell which site gets traffic",
                ));
            }
        }
    }
}
