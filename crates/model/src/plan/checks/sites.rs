//! Sites, failure domains and who is placed where. Must not know stores' copies or kinds' promises.

use std::collections::BTreeMap;

use crate::{
    ComponentId, Diagnostics, Place, SiteId,
    diagnostic::{code, one_of, quote},
    plan::{
        defaults,
        draft::Draft,
        file::{Role, Writers},
        shape::PlacementShape,
    },
};

/// Checks where things are.
pub(super) fn check(draft: &Draft<'_>, out: &mut Diagnostics) {
    second_site(draft, out);
    domains(draft, out);
    for (section, field) in [("stores", "at"), ("workloads", "at"), ("routes", "to")] {
        for entry in super::section_of(draft.root, section) {
            for site in entry.value.get(field).map_or(&[][..], crate::Node::entries) {
                if role(draft, &site.key) == Some(Role::Witness) {
                    let message = format!(
                        "{} is a witness: it holds no data and serves nothing",
                        quote(&site.key)
                    );
                    let help = "declare the component at data sites only";
                    out.error(code::AT_WITNESS, site.key_place, message, help.to_owned());
                }
            }
        }
    }
    placement(draft, out);
    one_site(draft, out);
}

pub(super) fn role(draft: &Draft<'_>, site: &str) -> Option<Role> {
    Some(draft.sites.get(site)?.value.as_ref()?.role)
}

pub(super) fn domain<'a>(draft: &'a Draft<'_>, site: &str) -> Option<&'a str> {
    Some(draft.sites.get(site)?.value.as_ref()?.domain.as_str())
}

/// A system can move only where there is somewhere to go.
fn second_site(draft: &Draft<'_>, out: &mut Diagnostics) {
    let Some(entry) = draft.root.entry("sites") else {
        return;
    };
    if draft.sites.values().any(|site| site.value.is_none()) {
        return;
    }
    let data = draft
        .sites
        .keys()
        .filter(|site| role(draft, site) == Some(Role::Data))
        .count();
    if data < 2 {
        let message = match data {
            0 => "there is no site that holds data",
            _ => "there is only one site that holds data: nothing can move",
        };
        let help = "declare the site that takes over, even if it is empty until then";
        out.error(
            code::NO_SECOND_SITE,
            entry.key_place,
            message,
            help.to_owned(),
        );
    }
}

/// Sites in one failure domain fall together; a witness among them falls with the site it should judge.
fn domains(draft: &Draft<'_>, out: &mut Diagnostics) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for entry in super::section_of(draft.root, "sites") {
        let Some(domain) = domain(draft, &entry.key) else {
            continue;
        };
        if let Some(other) = seen.get(domain) {
            let place = draft.root.place_at(&["sites", &entry.key, "domain"]);
            let message = format!(
                "{} is in the failure domain {} too: {} and {} fall together",
                quote(&entry.key),
                quote(domain),
                quote(other),
                quote(&entry.key)
            );
            let help = "put them into different regions, zones or buildings, and name those";
            let roles = [role(draft, &entry.key), role(draft, other)];
            if roles.contains(&Some(Role::Witness)) {
                // A witness beside a data site still helps when another one fails.
                out.warning(code::ONE_DOMAIN, place, message, help.to_owned());
            } else {
                out.error(code::ONE_DOMAIN, place, message, help.to_owned());
            }
        } else {
            seen.insert(domain, &entry.key);
        }
    }
}

/// A component that can be active somewhere.
struct Placed<'a> {
    section: &'a str,
    name: &'a str,
    key: Place,
    at: Vec<&'a SiteId>,
    writers: Writers,
}

fn placed<'a>(draft: &'a Draft<'_>) -> Vec<Placed<'a>> {
    let mut all = Vec::new();
    for (name, item) in &draft.stores {
        let key = item.entry.key_place;
        all.extend(item.value.as_ref().map(|store| Placed {
            section: "stores",
            name,
            key,
            at: store.at.keys().collect(),
            writers: store.writers.unwrap_or(Writers::One),
        }));
    }
    for (name, item) in &draft.workloads {
        let key = item.entry.key_place;
        all.extend(item.value.as_ref().map(|workload| Placed {
            section: "workloads",
            name,
            key,
            at: workload.at.keys().collect(),
            writers: Writers::Many,
        }));
    }
    for (name, item) in &draft.routes {
        let key = item.entry.key_place;
        all.extend(item.value.as_ref().map(|route| Placed {
            section: "routes",
            name,
            key,
            at: route.to.keys().collect(),
            writers: Writers::Many,
        }));
    }
    all
}

fn placement(draft: &Draft<'_>, out: &mut Diagnostics) {
    if draft.placement.values().any(|item| item.value.is_none()) {
        return;
    }
    let effective = defaults::placement(draft);
    for component in placed(draft) {
        let Ok(id) = ComponentId::new(component.name) else {
            continue;
        };
        let own = draft.placement.get(component.name);
        let place = own.map_or(component.key, |own| own.entry.value.place);
        let here = || one_of(component.at.iter().map(|site| site.as_str()));
        if component.name == "default" {
            let message =
                "a component cannot be called `default`: `placement` has another use for that name";
            out.error(code::PLACEMENT, component.key, message, None);
        }
        for site in own
            .and_then(|own| own.value.as_ref())
            .map(sites)
            .into_iter()
            .flatten()
        {
            if !component.at.contains(&site) && draft.sites.contains_key(site.as_str()) {
                let message = format!(
                    "{} is placed at {}, where it is not declared",
                    quote(component.name),
                    quote(site.as_str())
                );
                let help = format!("it is declared at {}", here());
                out.error(code::PLACEMENT, place, message, help);
            }
        }
        let active = effective.get(&id).map_or(0, BTreeMap::len);
        if active == 0 && component.section != "routes" {
            let message = format!("it is not said where {} is active", quote(component.name));
            let help = format!(
                "write `placement: {{ {}: SITE }}` with {}",
                component.name,
                here()
            );
            out.error(code::PLACEMENT, place, message, help);
        } else if active > 1 && component.writers == Writers::One {
            let message = format!(
                "{} has one writer and cannot be active at {active} sites",
                quote(component.name)
            );
            let help =
                "name one site, or write `writers: many` if the store resolves conflicts itself";
            out.error(code::PLACEMENT, place, message, help.to_owned());
        }
    }
}

fn sites(placement: &PlacementShape) -> Vec<&SiteId> {
    match placement {
        PlacementShape::Site(site) => vec![site],
        PlacementShape::Weights(weights) => weights.keys().collect(),
    }
}

/// What is declared at one site only stays behind in every move.
fn one_site(draft: &Draft<'_>, out: &mut Diagnostics) {
    for component in placed(draft) {
        if let [only] = component.at[..]
            && role(draft, only.as_str()) == Some(Role::Data)
        {
            let message = format!(
                "{} is declared at {} only: it cannot move",
                quote(component.name),
                quote(only.as_str())
            );
            let help = "declare it at the site that takes over too";
            out.warning(code::ONE_SITE, component.key, message, help.to_owned());
        }
    }
}
