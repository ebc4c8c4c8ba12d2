//! Every name leads somewhere, and to the right class of thing. Must not know what the things do.

use std::collections::BTreeMap;

use crate::{
    Diagnostics, Entry, Node,
    diagnostic::{code, nearest, one_of, quote},
    plan::draft::Draft,
};

/// The most names that a help text lists.
const LISTED: usize = 12;

/// All names in the file, and where they stand.
struct Names<'a, 'b> {
    draft: &'b Draft<'a>,
    out: &'b mut Diagnostics,
}

/// Finds unknown sites, components and repositories, and names that are used twice.
pub(super) fn check(draft: &Draft<'_>, out: &mut Diagnostics) {
    let mut names = Names { draft, out };
    names.twice();
    for (section, field) in [("stores", "at"), ("workloads", "at"), ("routes", "to")] {
        for entry in section_of(draft.root, section) {
            for site in entry.value.get(field).map_or(&[][..], Node::entries) {
                names.site(&site.key, site.key_place);
            }
        }
    }
    for entry in section_of(draft.root, "repositories") {
        for mirror in entry.value.get("mirrors").map_or(&[][..], Node::items) {
            names.repository(Some(mirror));
        }
    }
    names.placement();
    for entry in section_of(draft.root, "stores") {
        for site in entry.value.get("spans").map_or(&[][..], Node::items) {
            names.site_node(site);
        }
        for backup in entry.value.get("backup").map_or(&[][..], Node::items) {
            names.repository(backup.get("to"));
        }
    }
    for entry in section_of(draft.root, "workloads") {
        for used in entry.value.get("uses").map_or(&[][..], Node::items) {
            names.component(Some(used.get("store").unwrap_or(used)), &["stores"]);
            names.component(used.get("via"), &["routes"]);
        }
        for before in entry.value.get("after").map_or(&[][..], Node::items) {
            names.component(Some(before), &["workloads"]);
        }
    }
    for entry in section_of(draft.root, "routes") {
        for served in entry.value.get("serves").map_or(&[][..], Node::items) {
            names.component(Some(served), &["workloads", "stores"]);
        }
    }
    for entry in section_of(draft.root, "groups") {
        for store in entry.value.get("stores").map_or(&[][..], Node::items) {
            names.component(Some(store), &["stores"]);
        }
        names.component(entry.value.get("check"), &["workloads", "stores"]);
    }
    for entry in section_of(draft.root, "steps") {
        entry
            .value
            .get("at")
            .into_iter()
            .for_each(|site| names.site_node(site));
    }
    let observers = draft
        .root
        .get("detect")
        .and_then(|detect| detect.get("observers"));
    for site in observers.map_or(&[][..], Node::items) {
        names.site_node(site);
    }
}

pub(super) fn section_of<'a>(root: &'a Node, name: &str) -> &'a [Entry] {
    root.get(name).map_or(&[][..], Node::entries)
}

impl Names<'_, '_> {
    fn twice(&mut self) {
        let mut seen: BTreeMap<&str, (&str, u32)> = BTreeMap::new();
        for section in ["stores", "workloads", "routes"] {
            for entry in section_of(self.draft.root, section) {
                if let Some((other, line)) = seen.get(entry.key.as_str()) {
                    let message = format!(
                        "{} is also the name of one of the {other}, on line {line}",
                        quote(&entry.key)
                    );
                    let help = "names are unique across stores, workloads and routes";
                    self.out
                        .error(code::NAME_TWICE, entry.key_place, message, help.to_owned());
                }
                seen.insert(&entry.key, (section, entry.key_place.line));
            }
        }
    }

    fn placement(&mut self) {
        for entry in section_of(self.draft.root, "placement") {
            if entry.key != "default" {
                let known = ["stores", "workloads", "routes"];
                self.known(
                    &entry.key,
                    entry.key_place,
                    &known,
                    code::UNKNOWN_COMPONENT,
                    "component",
                );
            }
            self.site_node(&entry.value);
            for site in entry.value.entries() {
                self.site(&site.key, site.key_place);
            }
        }
    }

    fn site_node(&mut self, node: &Node) {
        if let Some(name) = node.text() {
            self.site(name, node.place);
        }
    }

    fn site(&mut self, name: &str, place: crate::Place) {
        self.known(name, place, &["sites"], code::UNKNOWN_SITE, "site");
    }

    fn repository(&mut self, node: Option<&Node>) {
        if let Some((node, name)) = node.and_then(|node| Some((node, node.text()?))) {
            self.known(
                name,
                node.place,
                &["repositories"],
                code::UNKNOWN_REPOSITORY,
                "repository",
            );
        }
    }

    fn component(&mut self, node: Option<&Node>, sections: &[&str]) {
        let Some((node, name)) = node.and_then(|node| Some((node, node.text()?))) else {
            return;
        };
        let what = match sections {
            ["stores"] => "store",
            ["workloads"] => "workload",
            ["routes"] => "route",
            _ => "workload or store",
        };
        self.known(name, node.place, sections, code::UNKNOWN_COMPONENT, what);
    }

    /// Reports a name that none of the sections has.
    fn known(
        &mut self,
        name: &str,
        place: crate::Place,
        sections: &[&str],
        code: &'static str,
        what: &str,
    ) {
        let root = self.draft.root;
        let has = |section: &str| {
            root.get(section)
                .is_some_and(|all| all.entry(name).is_some())
        };
        if sections.iter().any(|section| has(section)) {
            return;
        }
        let all = || {
            sections
                .iter()
                .flat_map(|section| section_of(root, section))
                .map(|entry| entry.key.as_str())
        };
        let message = format!("there is no {what} {}", quote(name));
        if !self.out.has_room() {
            return self.out.error(code, place, message, None);
        }
        let elsewhere = ["stores", "workloads", "routes"]
            .into_iter()
            .find(|section| has(section));
        let help = match (elsewhere, nearest(name, all().take(1000))) {
            (Some(section), _) => Some(format!("{} is one of the {section}", quote(name))),
            (None, Some(guess)) => Some(format!("did you mean {}?", quote(guess))),
            (None, None) if (1..=LISTED).contains(&all().count()) => {
                Some(format!("there is {}", one_of(all())))
            }
            (None, None) => None,
        };
        self.out.error(code, place, message, help);
    }
}
