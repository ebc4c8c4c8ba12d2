//! What HAProxy's answers say: each server's weight and state, the epoch record, and the sites' share.
//! Pure; must not know sockets.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_model::{ComponentId, Epoch, SiteId, Weights};

/// The greatest weight that HAProxy knows.
const MOST: u32 = 256;

/// Each bit of a server's administrative state is a kind of drain or maintenance, but for this one: it only remembers
/// that the configuration said `disabled`, and stays when the server is made ready.
const AS_CONFIGURED: u32 = 0x04;

/// One server, from `show servers state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ServerState {
    /// It takes connections (or is not checked).
    pub(super) up: bool,
    /// Its weight; 0 while it is drained or in maintenance.
    pub(super) weight: u32,
}

/// All servers by `BACKEND/SERVER`.
pub(super) type Servers = BTreeMap<String, ServerState>;

/// The servers of each site.
pub(super) type Targets = BTreeMap<SiteId, BTreeSet<String>>;

/// Reads `show servers state`: a version line, a line of column names, a line for each server.
pub(super) fn servers(text: &str) -> Option<Servers> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    if lines.next()?.trim() != "1" {
        return None;
    }
    let columns: Vec<&str> = lines
        .next()?
        .strip_prefix('#')?
        .split_whitespace()
        .collect();
    let column = |name: &str| columns.iter().position(|column| *column == name);
    let (backend, server) = (column("be_name")?, column("srv_name")?);
    let (operation, admin) = (column("srv_op_state")?, column("srv_admin_state")?);
    let weight = column("srv_uweight")?;
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |index: usize| words.get(index)?.parse::<u32>().ok();
            // Operational state 2 is running.
            let admitted = number(admin)? & !AS_CONFIGURED == 0;
            let state = ServerState {
                up: number(operation)? == 2,
                weight: if admitted { number(weight)? } else { 0 },
            };
            Some((
                format!("{}/{}", words.get(backend)?, words.get(server)?),
                state,
            ))
        })
        .collect()
}

/// The process-wide variable that holds a route's record.
pub(super) fn variable(route: &ComponentId) -> String {
    let name: String = route
        .as_str()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    format!("proc.mainstay_{name}")
}

/// The record of the plan that changed the route last: `epoch=7,prod=70,dr=30`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) epoch: Epoch,
    pub(super) weights: Weights,
}

impl Record {
    /// The record as a value without spaces or quotes.
    pub(super) fn to_text(&self) -> String {
        let weights = self.weights.iter().filter(|(_, weight)| **weight > 0);
        let mut text = format!("epoch={}", self.epoch);
        for (site, weight) in weights {
            text = format!("{text},{site}={weight}");
        }
        text
    }

    /// Reads a record; `None` when Mainstay did not write it.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split(',');
        let epoch = Epoch(parts.next()?.strip_prefix("epoch=")?.parse().ok()?);
        let weights = parts
            .map(|part| {
                let (site, weight) = part.split_once('=')?;
                Some((SiteId::new(site).ok()?, weight.parse().ok()?))
            })
            .collect::<Option<_>>()?;
        Some(Self { epoch, weights })
    }

    /// Reads the answer to `get var`: `name: type=str value=<...>`. Nothing is recorded in a process that was
    /// started anew.
    pub(super) fn from_answer(answer: &str) -> Option<Self> {
        let (_, rest) = answer.split_once("value=<")?;
        let (value, _) = rest.rsplit_once('>')?;
        Self::from_text(value)
    }
}

/// The weights in HAProxy's range: as they are when they fit, else in proportion. Sites without traffic are absent.
pub(super) fn scaled(weights: &Weights) -> Weights {
    let greatest = weights.values().copied().max().unwrap_or(0);
    let serving = weights.iter().filter(|(_, weight)| **weight > 0);
    serving
        .map(|(site, weight)| {
            let weight = if greatest <= MOST {
                *weight
            } else {
                let part = u64::from(*weight) * u64::from(MOST) / u64::from(greatest);
                u32::try_from(part).unwrap_or(MOST).max(1)
            };
            (site.clone(), weight)
        })
        .collect()
}

/// Each site's weight, or what does not fit the plan file.
pub(super) fn share(targets: &Targets, servers: &Servers) -> (Weights, Option<String>) {
    let mut weights = Weights::new();
    let mut odd = None;
    for (site, names) in targets {
        let mut seen = BTreeSet::new();
        for name in names {
            match servers.get(name) {
                Some(state) => {
                    seen.insert(state.weight);
                }
                None => odd = Some(format!("there is no server {name}")),
            }
        }
        if seen.len() > 1 {
            odd = Some(format!("the servers of {site} have different weights"));
        }
        if let Some(weight) = seen.last().filter(|weight| **weight > 0) {
            weights.insert(site.clone(), *weight);
        }
    }
    (weights, odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = "1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight
3 app 1 prod1 127.0.0.1 2 8 70 1
3 app 2 prod2 127.0.0.1 0 0 70 1
3 app 3 dr1 127.0.0.1 2 4 30 1

";

    fn targets(prod: &[&str]) -> Targets {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        BTreeMap::from([
            (SiteId::new("prod").unwrap(), set(prod)),
            (SiteId::new("dr").unwrap(), set(&["app/dr1"])),
        ])
    }

    #[test]
    fn states_are_read_by_column_name() {
        let servers = servers(STATE).unwrap();
        let state = |up, weight| ServerState { up, weight };
        assert_eq!(servers["app/prod1"], state(true, 0));
        assert_eq!(servers["app/prod2"], state(false, 70));
        assert_eq!(servers["app/dr1"], state(true, 30));
        assert_eq!(super::servers("2\n# x\n"), None);
    }

    #[test]
    fn a_site_has_one_weight_or_is_odd() {
        let servers = servers(STATE).unwrap();
        let (weights, odd) = share(&targets(&["app/prod2"]), &servers);
        assert_eq!((weights.len(), odd), (2, None));
        let (_, odd) = share(&targets(&["app/prod1", "app/prod2"]), &servers);
        assert!(odd.unwrap().contains("prod"));
        let (weights, odd) = share(&targets(&["app/gone"]), &servers);
        assert_eq!(weights.len(), 1);
        assert!(odd.unwrap().contains("app/gone"));
    }

    #[test]
    fn records_read_as_written_and_weights_fit() {
        let weights: Weights = [("prod", 700), ("dr", 1), ("old", 0)]
            .into_iter()
            .map(|(site, weight)| (SiteId::new(site).unwrap(), weight))
            .collect();
        let record = Record {
            epoch: Epoch(7),
            weights: weights.clone(),
        };
        let answer = format!("proc.x: type=str value=<{}>\n", record.to_text());
        let read = Record::from_answer(&answer).unwrap();
        assert_eq!((read.epoch, read.weights.len()), (Epoch(7), 2));
        assert_eq!(Record::from_answer("Variable not found.\n"), None);
        let fitted: Vec<u32> = scaled(&weights).into_values().collect();
        assert_eq!(fitted, [1, 256]);
    }
}
