//! What a route's records say: which sites the addresses belong to, and the epoch record beside them.
//! Must not know how records are read or written.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use mainstay_model::{Epoch, SiteId, Weights};

/// The epoch record: a TXT record at `_mainstay.<name>` whose first string is `epoch=N` and whose
/// further strings are `SITE=WEIGHT`. DNS itself has no weights; this is where they are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EpochRecord {
    /// The last plan that changed the route.
    pub epoch: Epoch,
    /// The weights it asked for.
    pub weights: Weights,
}

impl EpochRecord {
    /// The record as strings of a TXT record.
    #[must_use]
    pub fn to_strings(&self) -> Vec<String> {
        let epoch = format!("epoch={}", self.epoch);
        let weights = self.weights.iter().filter(|(_, weight)| **weight > 0);
        std::iter::once(epoch)
            .chain(weights.map(|(site, weight)| format!("{site}={weight}")))
            .collect()
    }

    /// Reads the strings of a TXT record; `None` when Mainstay did not write them.
    #[must_use]
    pub fn from_strings(strings: &[String]) -> Option<Self> {
        let (first, rest) = strings.split_first()?;
        let epoch = Epoch(first.strip_prefix("epoch=")?.parse().ok()?);
        let weights = rest
            .iter()
            .map(|text| {
                let (site, weight) = text.split_once('=')?;
                Some((SiteId::new(site).ok()?, weight.parse().ok()?))
            })
            .collect::<Option<_>>()?;
        Some(Self { epoch, weights })
    }
}

/// The addresses of each site.
pub(super) type Targets = BTreeMap<SiteId, BTreeSet<IpAddr>>;

/// The addresses that belong to the sites with a weight.
pub(super) fn addresses_for(targets: &Targets, weights: &Weights) -> BTreeSet<IpAddr> {
    weights
        .iter()
        .filter(|(_, weight)| **weight > 0)
        .filter_map(|(site, _)| targets.get(site))
        .flatten()
        .copied()
        .collect()
}

/// The addresses seen, as weights for each site.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Sites with at least one of their addresses in the answer.
    pub(super) weights: Weights,
    /// What does not fit the plan file: foreign addresses, sites with only some of theirs.
    pub(super) odd: Option<String>,
}

/// Every site that is in the answer has this weight when nothing says more.
const EVEN: u32 = 100;

/// Says which sites get traffic. The recorded weights are believed when they name exactly these sites.
pub(super) fn share(
    targets: &Targets,
    seen: &BTreeSet<IpAddr>,
    recorded: Option<&EpochRecord>,
) -> Share {
    let present: BTreeSet<&SiteId> = targets
        .iter()
        .filter(|(_, addresses)| !addresses.is_disjoint(seen))
        .map(|(site, _)| site)
        .collect();
    let weights: Weights = match recorded {
        Some(record) if record.weights.keys().collect::<BTreeSet<_>>() == present => {
            record.weights.clone()
        }
        _ => present.iter().map(|site| ((*site).clone(), EVEN)).collect(),
    };
    let whole = addresses_for(targets, &weights);
    let list = |addresses: Vec<&IpAddr>| {
        let words: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        words.join(", ")
    };
    let foreign: Vec<_> = seen.difference(&whole).collect();
    let missing: Vec<_> = whole.difference(seen).collect();
    let odd = match (foreign.is_empty(), missing.is_empty()) {
        (true, true) => None,
        (false, _) => Some(format!("addresses of no declared site: {}", list(foreign))),
        (true, false) => Some(format!("addresses missing: {}", list(missing))),
    };
    Share { weights, odd }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str) -> SiteId {
        SiteId::new(name).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn targets() -> Targets {
        BTreeMap::from([
            (
                site("prod"),
                BTreeSet::from([ip("192.0.2.1"), ip("2001:db8::1")]),
            ),
            (site("dr"), BTreeSet::from([ip("192.0.2.2")])),
        ])
    }

    #[test]
    fn an_epoch_record_reads_as_written() {
        let record = EpochRecord {
            epoch: Epoch(7),
            weights: BTreeMap::from([(site("prod"), 70), (site("dr"), 30)]),
        };
        assert_eq!(
            EpochRecord::from_strings(&record.to_strings()),
            Some(record)
        );
        for foreign in [
            vec![],
            vec!["v=spf1".to_owned()],
            vec!["epoch=x".to_owned()],
        ] {
            assert_eq!(EpochRecord::from_strings(&foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn recorded_weights_are_believed_only_for_the_sites_that_answer() {
        let record = EpochRecord {
            epoch: Epoch(1),
            weights: BTreeMap::from([(site("prod"), 70), (site("dr"), 30)]),
        };
        let all = addresses_for(&targets(), &record.weights);
        assert_eq!(
            share(&targets(), &all, Some(&record)).weights,
            record.weights
        );
        let dr_only = BTreeSet::from([ip("192.0.2.2")]);
        let seen = share(&targets(), &dr_only, Some(&record));
        assert_eq!(seen.weights, BTreeMap::from([(site("dr"), EVEN)]));
        assert_eq!(seen.odd, None);
    }

    #[test]
    fn what_does_not_fit_the_plan_is_said() {
        let half = BTreeSet::from([ip("192.0.2.1")]);
        assert!(share(&targets(), &half, None).odd.is_some());
        let foreign = BTreeSet::from([ip("192.0.2.2"), ip("203.0.113.9")]);
        let seen = share(&targets(), &foreign, None);
        assert!(seen.odd.unwrap().contains("203.0.113.9"));
        assert_eq!(seen.weights, BTreeMap::from([(site("dr"), EVEN)]));
    }
}
