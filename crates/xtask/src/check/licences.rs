//! Licences, banned crates and sources, read from `deny.toml` and held against `cargo metadata`, so
//! that they are checked on any machine. Where cargo-deny is installed it is asked as well.
//!
//! Advisories need the RustSec database, which is no package of a registry: whether one was at hand
//! is said on every run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use spdx::{Expression, Licensee, ParseMode};
use toml_edit::{DocumentMut, Item};

use super::house::{House, read_text};
use super::report::Report;
use crate::error::Error;
use crate::metadata::{Metadata, Package};
use crate::process;

/// The only registry that packages come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks what came in through the lock file.
pub(crate) fn check(house: &House) -> Result<Report, Error> {
    let path = house.root.join("deny.toml");
    let rules = Rules::parse(&path, &read_text(&path)?)?;
    let mut report = Report::default();
    look(&house.metadata, &rules, &mut report);
    ask_cargo_deny(&house.root, &mut report)?;
    Ok(report)
}

/// The part of `deny.toml` that is checked here.
struct Rules {
    allowed: Vec<Licensee>,
    banned: BTreeMap<String, String>,
}

impl Rules {
    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let malformed = |reason: String| Error::Malformed {
            path: path.to_path_buf(),
            reason,
        };
        let document: DocumentMut = text
            .parse()
            .map_err(|error: toml_edit::TomlError| malformed(error.to_string()))?;
        let list = |table: &str, key: &str| {
            let item = document
                .get(table)
                .and_then(|item| item.get(key))
                .and_then(Item::as_array);
            item.ok_or_else(|| malformed(format!("has no list `{key}` in [{table}]")))
        };
        let mut allowed = Vec::new();
        for name in list("licenses", "allow")?
            .iter()
            .filter_map(|value| value.as_str())
        {
            allowed.push(Licensee::parse(name).map_err(|error| malformed(error.to_string()))?);
        }
        let field = |value: &toml_edit::Value, key: &str| {
            value
                .as_inline_table()?
                .get(key)?
                .as_str()
                .map(str::to_owned)
        };
        let banned = list("bans", "deny")?
            .iter()
            .filter_map(|value| Some((field(value, "crate")?, field(value, "reason")?)))
            .collect();
        Ok(Self { allowed, banned })
    }
}

fn look(metadata: &Metadata, rules: &Rules, report: &mut Report) {
    for package in &metadata.packages {
        licence(package, rules, report);
        if let Some(reason) = rules.banned.get(&package.name) {
            report.find(format!(
                "{} {} is banned: {reason}",
                package.name, package.version
            ));
        }
        if let Some(source) = package
            .source
            .as_deref()
            .filter(|source| *source != REGISTRY)
        {
            report.find(format!(
                "{} {} comes from {source}",
                package.name, package.version
            ));
        }
    }
    duplicates(metadata, report);
}

fn licence(package: &Package, rules: &Rules, report: &mut Report) {
    let name = format!("{} {}", package.name, package.version);
    let Some(text) = &package.license else {
        report.find(format!("{name} names no licence"));
        return;
    };
    match Expression::parse_mode(text, ParseMode::LAX) {
        Err(error) => report.find(format!("{name}: licence `{text}` cannot be read: {error}")),
        Ok(expression) => {
            if !expression.evaluate(|need| rules.allowed.iter().any(|has| has.satisfies(need))) {
                report.find(format!(
                    "{name}: licence `{text}` is not allowed by deny.toml"
                ));
            }
        }
    }
}

fn duplicates(metadata: &Metadata, report: &mut Report) {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &metadata.packages {
        versions
            .entry(&package.name)
            .or_default()
            .insert(&package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    if !versions.is_empty() {
        let each: Vec<String> = versions
            .iter()
            .map(|(name, has)| {
                format!(
                    "{name} ({})",
                    has.iter().copied().collect::<Vec<_>>().join(", ")
                )
            })
            .collect();
        report.note(format!(
            "{} crates in more than one version: {}",
            each.len(),
            each.join(", ")
        ));
    }
}

/// Runs cargo-deny where it is installed, and says what stays unchecked where it is not.
fn ask_cargo_deny(root: &Path, report: &mut Report) -> Result<(), Error> {
    let version = process::capture(process::cargo(root).args(["deny", "--version"]))?;
    let database = advisory_database();
    if !version.status.success() {
        report
            .note("cargo-deny is not installed: licences, bans and sources were checked by xtask");
        report.note(match database {
            Some(path) => format!(
                "ADVISORIES NOT CHECKED: {} needs cargo-deny",
                path.display()
            ),
            None => "ADVISORIES NOT CHECKED: no RustSec database at hand".to_owned(),
        });
        return Ok(());
    }
    let mut what = vec!["licenses", "bans", "sources"];
    if database.is_some() {
        what.push("advisories");
    } else {
        report.note("ADVISORIES NOT CHECKED: no RustSec database at hand");
    }
    let mut command = process::cargo(root);
    command
        .args(["deny", "--offline", "check", "--hide-inclusion-graph"])
        .args(&what);
    let output = process::capture(&mut command)?;
    if output.status.success() {
        report.note(format!("cargo-deny agrees on {}", what.join(", ")));
    } else {
        report.find(format!(
            "cargo-deny refuses:\n{}",
            process::last_words(&output, 40)
        ));
    }
    Ok(())
}

/// Where cargo-deny or cargo-audit keep their copy of the RustSec database.
fn advisory_database() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))?;
    ["advisory-dbs", "advisory-db"]
        .iter()
        .map(|name| home.join(name))
        .find(|path| path.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = "[licenses]\nallow = [\"MIT\", \"Apache-2.0 WITH LLVM-exception\"]\n\
        [bans]\ndeny = [{ crate = \"openssl\", reason = \"rustls\" }]\n";

    fn package(name: &str, version: &str, license: Option<&str>, source: Option<&str>) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            license: license.map(str::to_owned),
            source: source.map(str::to_owned),
            ..Package::default()
        }
    }

    fn report(packages: Vec<Package>) -> Report {
        let rules = Rules::parse(Path::new("deny.toml"), DENY).unwrap();
        let mut report = Report::default();
        look(
            &Metadata {
                packages,
                ..Metadata::default()
            },
            &rules,
            &mut report,
        );
        report
    }

    #[test]
    fn an_expression_passes_when_one_way_through_it_is_allowed() {
        for fine in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "MIT/Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert_eq!(
                report(vec![package("a", "1.0.0", Some(fine), None)]),
                Report::default()
            );
        }
        for bad in [
            "GPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "Apache-2.0",
            "not a licence",
        ] {
            assert_eq!(
                report(vec![package("a", "1.0.0", Some(bad), None)])
                    .findings
                    .len(),
                1,
                "{bad}"
            );
        }
        assert_eq!(
            report(vec![package("a", "1.0.0", None, None)]).findings,
            ["a 1.0.0 names no licence"]
        );
    }

    #[test]
    fn bans_and_foreign_sources_are_found() {
        let found = report(vec![package(
            "openssl",
            "1.0.0",
            Some("MIT"),
            Some(REGISTRY),
        )])
        .findings;
        assert_eq!(found, ["openssl 1.0.0 is banned: rustls"]);
        let git = report(vec![package(
            "a",
            "1.0.0",
            Some("MIT"),
            Some("git+https://x"),
        )])
        .findings;
        assert_eq!(git, ["a 1.0.0 comes from git+https://x"]);
    }

    #[test]
    fn duplicates_are_a_note() {
        let two = ["1.0.0", "2.0.0"].map(|version| package("a", version, Some("MIT"), None));
        let report = report(two.to_vec());
        assert_eq!(report.findings, [""; 0]);
        assert_eq!(
            report.notes,
            ["1 crates in more than one version: a (1.0.0, 2.0.0)"]
        );
    }
}
