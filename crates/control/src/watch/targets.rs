//! What an observer looks at: agents, health addresses, and the addresses that components' own options name.
//! Must not know what an answer means.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_engine::detect::{Part, Settings, Watched};
use mainstay_model::{ComponentId, PlanFile, Role, SiteId, Span};
use mainstay_planner::Placement;
use serde_json::Value;

use crate::{places::Places, wire::ProbeTarget};

/// What is asked about a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SiteTargets {
    /// Where its agent answers.
    pub(super) agent: String,
    /// Where the site answers over the network.
    pub(super) health: Option<String>,
    /// Where its components answer; a component with several addresses is well if one of them is.
    pub(super) parts: BTreeMap<ComponentId, Vec<String>>,
}

/// What one observer looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) sites: BTreeMap<SiteId, SiteTargets>,
    /// What it must see to be believed: the other observers, and what the system uses in the world.
    pub(super) controls: Vec<String>,
}

/// The detector's settings for where things are active now.
pub(super) fn settings(plan: &PlanFile, placement: &Placement) -> Option<Settings> {
    let detect = plan.detect.as_ref()?;
    let sites = active_sites(plan, placement);
    let watched = sites.into_iter().map(|site| {
        let parts = parts(plan, placement, &site).into_iter();
        let parts = parts.map(|(name, _)| (name.clone(), part(plan, &name)));
        (
            site.clone(),
            Watched {
                parts: parts.collect(),
            },
        )
    });
    Some(Settings {
        observers: detect.observers.iter().cloned().collect(),
        every: detect.every,
        confirm: detect.confirm,
        cooldown: detect.cooldown,
        act: detect.act.iter().map(|act| act.scenario).collect(),
        sites: watched.collect(),
    })
}

/// What this observer looks at.
pub(super) fn round(
    plan: &PlanFile,
    places: &Places,
    placement: &Placement,
    observer: &SiteId,
) -> Round {
    let sites = active_sites(plan, placement).into_iter();
    let sites = sites.map(|site| {
        let targets = SiteTargets {
            agent: agent(plan, places, &site),
            health: plan.sites.get(&site).and_then(|site| site.health.clone()),
            parts: parts(plan, placement, &site),
        };
        (site, targets)
    });
    let detect = plan.detect.iter();
    let others = detect.flat_map(|detect| &detect.observers);
    let others: Vec<&SiteId> = others.filter(|other| *other != observer).collect();
    // A site that is itself in question proves nothing about the observer; unless there is nobody else to ask.
    let watched = active_sites(plan, placement);
    let beyond = |other: &&SiteId| !watched.contains(*other);
    let nobody = !others.iter().any(beyond);
    let others = others.into_iter().filter(|other| nobody || beyond(other));
    let others = others.map(|other| {
        let health = plan.sites.get(other).and_then(|site| site.health.clone());
        health.unwrap_or_else(|| agent(plan, places, other))
    });
    let externals = plan.externals.values();
    let externals = externals.filter_map(|external| url(external.check.as_ref()?.get("get")?));
    Round {
        sites: sites.collect(),
        controls: others.chain(externals).collect(),
    }
}

impl Round {
    /// As one request to the observer's agent. Names are made so that [`Round`] finds the answers again.
    pub(super) fn targets(&self, timeout: Span) -> Vec<ProbeTarget> {
        let mut targets = Vec::new();
        let mut add = |name: String, address: &String| {
            targets.push(ProbeTarget {
                name,
                address: address.clone(),
                timeout_ms: timeout.0 / 1000,
            });
        };
        for (number, address) in self.controls.iter().enumerate() {
            add(control_name(number), address);
        }
        for (site, about) in &self.sites {
            add(agent_name(site), &about.agent);
            if let Some(health) = &about.health {
                add(health_name(site), health);
            }
            for (component, addresses) in &about.parts {
                for (number, address) in addresses.iter().enumerate() {
                    add(part_name(site, component, number), address);
                }
            }
        }
        targets
    }
}

pub(super) fn control_name(number: usize) -> String {
    format!("control {number}")
}

pub(super) fn agent_name(site: &SiteId) -> String {
    format!("agent {site}")
}

pub(super) fn health_name(site: &SiteId) -> String {
    format!("health {site}")
}

pub(super) fn part_name(site: &SiteId, component: &ComponentId, number: usize) -> String {
    format!("part {site} {component} {number}")
}

fn agent(plan: &PlanFile, places: &Places, site: &SiteId) -> String {
    places
        .agent_socket(plan, site)
        .map_or_else(|_| String::new(), |path| format!("unix:{}", path.display()))
}

/// Data sites at which something is active.
fn active_sites(plan: &PlanFile, placement: &Placement) -> BTreeSet<SiteId> {
    let names = plan.stores.keys().chain(plan.workloads.keys());
    let weights = names.filter_map(|name| at(plan, placement, name));
    let sites = weights.flatten().filter(|(_, weight)| **weight > 0);
    let data = |site: &&SiteId| plan.sites.get(*site).is_some_and(|s| s.role == Role::Data);
    sites.map(|(site, _)| site).filter(data).cloned().collect()
}

fn at<'a>(
    plan: &'a PlanFile,
    placement: &'a Placement,
    name: &ComponentId,
) -> Option<&'a BTreeMap<SiteId, u32>> {
    placement.get(name).or_else(|| plan.placement.get(name))
}

/// The components that are active at a site and name an address of their own there.
fn parts(
    plan: &PlanFile,
    placement: &Placement,
    site: &SiteId,
) -> BTreeMap<ComponentId, Vec<String>> {
    let names = plan.stores.keys().chain(plan.workloads.keys());
    let active = names.filter(|name| {
        let weights = at(plan, placement, name);
        weights.is_some_and(|weights| weights.get(site).is_some_and(|weight| *weight > 0))
    });
    let with_addresses = active.filter_map(|name| {
        let options = plan.declared(name)?.at.get(site)?;
        let mut found = Vec::new();
        if plan.workloads.contains_key(name) {
            ready_addresses(options, &mut found);
        } else {
            found.extend(options.get("url").and_then(server));
        }
        (!found.is_empty()).then(|| (name.clone(), found))
    });
    with_addresses.collect()
}

/// The addresses at which a workload says that it is ready, wherever its kind keeps them.
fn ready_addresses(options: &Value, found: &mut Vec<String>) {
    match options {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.get("get").and_then(url) {
                    Some(address) if name == "ready" => found.push(address),
                    _ => ready_addresses(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| ready_addresses(item, found)),
        _ => {}
    }
}

fn url(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let web = text.starts_with("http://") || text.starts_with("https://");
    web.then(|| text.to_owned())
}

/// A store's server, if its address names one. User names and passwords are left out.
fn server(value: &Value) -> Option<String> {
    let (scheme, rest) = value.as_str()?.split_once("://")?;
    let port = match scheme {
        "postgres" | "postgresql" => "5432",
        "redis" | "rediss" => "6379",
        "mysql" => "3306",
        "amqp" => "5672",
        _ => return None,
    };
    let host = rest.split(['/', '?']).next()?;
    let host = host.rsplit('@').next().filter(|host| !host.is_empty())?;
    let with_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Some(if with_port {
        format!("tcp://{host}")
    } else {
        format!("tcp://{host}:{port}")
    })
}

/// What a component's failure is called.
fn part(plan: &PlanFile, name: &ComponentId) -> Part {
    match plan.stores.get(name) {
        None => Part::Application,
        Some(store) => match store.declared.kind.as_str() {
            "files" | "objects" | "volume" => Part::Storage,
            _ => Part::Database,
        },
    }
}
