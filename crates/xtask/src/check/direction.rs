//! Who may know whom. The table is the design's; an edge that is not in it is a finding, and so is a
//! crate that has no row.

use std::collections::{BTreeMap, BTreeSet};

use super::house::House;
use super::report::Report;
use crate::metadata::Metadata;

/// A crate (without its `mainstay-`) and those it may depend on directly.
const ROWS: [(&str, &[&str]); 14] = [
    ("model", &[]),
    ("proof", &[]),
    ("planner", &["model"]),
    ("engine", &["model", "proof"]),
    ("driver", &["model", "engine"]),
    ("storage", &[]),
    ("backup", &["model", "proof", "storage"]),
    ("replicate", &["model", "proof", "storage"]),
    (
        "drivers",
        &["model", "driver", "storage", "backup", "replicate"],
    ),
    (
        "control",
        &["model", "proof", "planner", "engine", "driver", "backup"],
    ),
    ("sim", &["model", "proof", "planner", "engine", "driver"]),
    ("demo", &["model"]),
    ("cli", CLI),
    ("xtask", &[]),
];

/// Start-up is where everything meets: the only place that names concrete drivers.
const CLI: &[&str] = &[
    "model",
    "proof",
    "planner",
    "engine",
    "driver",
    "storage",
    "backup",
    "replicate",
    "drivers",
    "control",
    "demo",
];

/// Crates whose code is a function of its inputs.
pub(crate) const PURE: [&str; 4] = ["model", "planner", "engine", "proof"];

/// What a pure crate may not reach, however far down: clocks, randomness, files, network, runtimes.
const IMPURE: [&str; 16] = [
    "async-std",
    "axum",
    "futures-executor",
    "getrandom",
    "hyper",
    "mio",
    "opendal",
    "rand",
    "rand_chacha",
    "reqwest",
    "rusqlite",
    "rustix",
    "tempfile",
    "tokio",
    "tokio-postgres",
    "walkdir",
];

/// Checks every declared edge, and what the pure crates reach.
pub(crate) fn check(house: &House) -> Report {
    look(&house.metadata)
}

fn look(metadata: &Metadata) -> Report {
    let mut report = Report::default();
    edges(metadata, &mut report);
    reach(metadata, &mut report);
    report
}

/// `mainstay-model` is `model`; anything else keeps its name.
fn short(name: &str) -> &str {
    name.strip_prefix("mainstay-").unwrap_or(name)
}

fn edges(metadata: &Metadata, report: &mut Report) {
    let members: BTreeSet<&str> = metadata
        .members()
        .map(|member| member.name.as_str())
        .collect();
    for member in metadata.members() {
        let from = short(&member.name);
        let Some((_, allowed)) = ROWS.iter().find(|(name, _)| *name == from) else {
            report.find(format!(
                "{from} has no row in the table of directions: give it one"
            ));
            continue;
        };
        for dependency in &member.dependencies {
            let to = short(&dependency.name);
            if members.contains(dependency.name.as_str()) && to != from && !allowed.contains(&to) {
                let how = dependency
                    .kind
                    .as_deref()
                    .map_or(String::new(), |kind| format!("{kind}-"));
                report.find(format!(
                    "{from} must not know {to} ({how}dependency in {})",
                    member.manifest_path.display()
                ));
            }
        }
    }
}

/// Follows the normal dependencies of the pure crates to the end.
fn reach(metadata: &Metadata, report: &mut Report) {
    let names: BTreeMap<&str, &str> = metadata
        .packages
        .iter()
        .map(|p| (p.id.as_str(), p.name.as_str()))
        .collect();
    for member in metadata
        .members()
        .filter(|member| PURE.contains(&short(&member.name)))
    {
        let mut via: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = vec![member.id.as_str()];
        while let Some(at) = queue.pop() {
            let node = metadata.resolve.nodes.iter().find(|node| node.id == at);
            for edge in node.into_iter().flat_map(|node| &node.deps) {
                let normal = edge.dep_kinds.iter().any(|used| used.kind.is_none());
                if normal && edge.pkg != member.id && !via.contains_key(edge.pkg.as_str()) {
                    via.insert(&edge.pkg, at);
                    queue.push(&edge.pkg);
                }
            }
        }
        for (id, through) in &via {
            let (name, through) = (
                names.get(id).unwrap_or(id),
                names.get(through).unwrap_or(through),
            );
            if IMPURE.contains(name) {
                report.find(format!(
                    "{} is pure but reaches {name} (through {through})",
                    short(&member.name)
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Dependency, Edge, EdgeKind, Node, Package};

    /// A workspace of the named crates with these edges: from, to, kind.
    fn workspace(members: &[&str], edges: &[(&str, &str, Option<&str>)]) -> Metadata {
        let mut names: BTreeSet<&str> = members.iter().copied().collect();
        names.extend(edges.iter().flat_map(|(from, to, _)| [*from, *to]));
        let of = |name: &str| {
            edges
                .iter()
                .filter(move |edge| edge.0 == name)
                .collect::<Vec<_>>()
        };
        let kind = |kind: Option<&str>| kind.map(str::to_owned);
        let package = |name: &&str| Package {
            id: (*name).to_owned(),
            name: (*name).to_owned(),
            dependencies: of(name)
                .iter()
                .map(|edge| Dependency {
                    name: edge.1.to_owned(),
                    kind: kind(edge.2),
                })
                .collect(),
            ..Package::default()
        };
        let node = |name: &&str| Node {
            id: (*name).to_owned(),
            deps: of(name)
                .iter()
                .map(|edge| Edge {
                    pkg: edge.1.to_owned(),
                    dep_kinds: vec![EdgeKind { kind: kind(edge.2) }],
                })
                .collect(),
        };
        Metadata {
            packages: names.iter().map(package).collect(),
            workspace_members: members.iter().map(|name| (*name).to_owned()).collect(),
            resolve: crate::metadata::Resolve {
                nodes: names.iter().map(node).collect(),
            },
            ..Metadata::default()
        }
    }

    #[test]
    fn the_design_passes() {
        let members = [
            "mainstay-model",
            "mainstay-planner",
            "mainstay-cli",
            "mainstay-drivers",
            "xtask",
        ];
        let edges = [
            ("mainstay-planner", "mainstay-model", None),
            ("mainstay-cli", "mainstay-drivers", None),
            ("mainstay-model", "serde", None),
            ("mainstay-drivers", "tokio", None),
        ];
        assert_eq!(look(&workspace(&members, &edges)), Report::default());
    }

    #[test]
    fn a_planted_wrong_edge_is_found() {
        let wrong = [
            ("model", "engine"),
            ("proof", "model"),
            ("planner", "engine"),
            ("engine", "driver"),
            ("driver", "planner"),
            ("control", "drivers"),
            ("sim", "drivers"),
            ("demo", "drivers"),
            ("demo", "driver"),
            ("storage", "model"),
            ("drivers", "control"),
            ("cli", "sim"),
        ];
        for (from, to) in wrong {
            let (long, other) = (format!("mainstay-{from}"), format!("mainstay-{to}"));
            let report = look(&workspace(&[&long, &other], &[(&long, &other, None)]));
            let expected = format!("{from} must not know {to} (dependency");
            assert!(
                report.findings.iter().any(|f| f.starts_with(&expected)),
                "{from} to {to}"
            );
        }
    }

    #[test]
    fn dev_dependencies_obey_too() {
        let edges = [("mainstay-control", "mainstay-drivers", Some("dev"))];
        let report = look(&workspace(
            &["mainstay-control", "mainstay-drivers"],
            &edges,
        ));
        assert!(report.findings[0].contains("(dev-dependency"), "{report:?}");
    }

    #[test]
    fn an_impure_crate_is_found_however_deep_but_not_behind_tests() {
        let deep = [
            ("mainstay-proof", "a", None),
            ("a", "b", None),
            ("b", "tokio", None),
        ];
        let report = look(&workspace(&["mainstay-proof"], &deep));
        assert_eq!(
            report.findings,
            ["proof is pure but reaches tokio (through b)"]
        );
        let tests = [
            ("mainstay-proof", "proptest", Some("dev")),
            ("proptest", "rand", None),
        ];
        assert_eq!(
            look(&workspace(&["mainstay-proof"], &tests)),
            Report::default()
        );
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        let report = look(&workspace(&["mainstay-surprise"], &[]));
        assert!(
            report.findings[0].starts_with("surprise has no row"),
            "{report:?}"
        );
    }
}
