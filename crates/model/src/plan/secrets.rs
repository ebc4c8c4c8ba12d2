//! Secrets that are written as values: found before anything is reported, so that no report repeats one.
//! Must not know what uses a secret.

use std::{collections::BTreeSet, ops::Range};

use crate::{
    Diagnostics, Entry, Node, NodeValue,
    diagnostic::{code, quote},
};

/// What was found, for those who report other problems.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// Where the values start.
    pub(super) starts: BTreeSet<usize>,
    /// The bytes that no report shows.
    pub(super) ranges: Vec<Range<usize>>,
}

/// Field names that hold a secret, whatever comes before them.
const NAMES: [&str; 17] = [
    "authorization",
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "api-key",
    "apikey",
    "access-key",
    "secret-key",
    "private-key",
    "account-key",
    "shared-key",
    "connection-string",
    "credential",
    "credentials",
];

const HELP: &str = "write where it is instead: { env: NAME } or { file: PATH }";

/// Walks the whole tree and reports every secret that stands there as a value.
pub(super) fn find(root: &Node, out: &mut Diagnostics) -> Secrets {
    let mut found = Secrets::default();
    let mut path = Vec::new();
    for entry in root.entries() {
        walk_entry(entry, &mut path, &mut found, out);
    }
    out.mask(&found.ranges);
    found
}

/// Masks what looks like a secret in text that could not be read as YAML.
pub(super) fn mask_lines(text: &str, out: &mut Diagnostics) {
    let mut ranges = Vec::new();
    let (mut start, mut goes_on) = (0, false);
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        let end = start + content.len();
        if goes_on {
            ranges.push(start..end);
        }
        let from = secret_in(content);
        ranges.extend(from.map(|from| start + from..end));
        // The value of a block scalar, or of a key without one, stands on the lines below.
        goes_on = from.is_some_and(|from| content[from..].trim().len() < 3);
        start += line.len();
    }
    out.mask(&ranges);
}

/// Where a secret may start in a line: after the name of a field that holds one, or in an address with a user.
fn secret_in(line: &str) -> Option<usize> {
    let user = line.contains('@');
    line.match_indices([':', '=']).find_map(|(at, _)| {
        let name = line[..at].trim_end_matches(['"', '\'', ' ']);
        let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let name = name.rsplit(|c| !part(c)).next().unwrap_or(name);
        let address = user && line[at..].starts_with("://");
        (names_a_secret(&[name]) || address).then_some(at + 1)
    })
}

fn walk_entry<'a>(
    entry: &'a Entry,
    path: &mut Vec<&'a str>,
    found: &mut Secrets,
    out: &mut Diagnostics,
) {
    path.push(&entry.key);
    match &entry.value.value {
        NodeValue::Text(_) | NodeValue::Number(_) if names_a_secret(path) => {
            hide(&entry.value, found);
            let message = format!("{} holds a secret as a value", quote(&entry.key));
            out.error(code::SECRET, entry.value.place, message, HELP.to_owned());
        }
        NodeValue::List(items) if names_a_secret(path) => {
            for item in items.iter().filter(|item| item.text().is_some()) {
                hide(item, found);
                let message = format!("{} holds a secret as a value", quote(&entry.key));
                out.error(code::SECRET, item.place, message, HELP.to_owned());
            }
        }
        _ => walk(&entry.value, path, found, out),
    }
    path.pop();
}

fn walk<'a>(node: &'a Node, path: &mut Vec<&'a str>, found: &mut Secrets, out: &mut Diagnostics) {
    match &node.value {
        NodeValue::Text(text) if holds_a_password(text) => {
            hide(node, found);
            let message = "a password is part of this address";
            let help = "leave it out of the address, and name it beside it as { env: NAME } or { file: PATH }";
            out.error(code::SECRET, node.place, message, help.to_owned());
        }
        NodeValue::List(items) => items.iter().for_each(|item| walk(item, path, found, out)),
        NodeValue::Map(_) => {
            for entry in node.entries() {
                walk_entry(entry, path, found, out);
            }
        }
        _ => {}
    }
}

fn hide(node: &Node, found: &mut Secrets) {
    found.starts.insert(node.place.start);
    found.ranges.push(node.place.start..node.place.end);
}

/// Whether the last step of a path is a field that holds a secret.
fn names_a_secret(path: &[&str]) -> bool {
    let Some(name) = path.last() else {
        return false;
    };
    let name = name.to_lowercase().replace(['_', '.'], "-");
    let ends = |word: &str| {
        name.strip_suffix(word)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('-'))
    };
    match path {
        // Names that people gave to their own components are no fields.
        [section, _] if is_named(section) => false,
        // The column that names the tenant.
        ["tenants", "key"] => false,
        _ => name == "key" || NAMES.iter().any(|word| ends(word)),
    }
}

/// Sections whose keys are names.
fn is_named(section: &str) -> bool {
    matches!(
        section,
        "sites"
            | "placement"
            | "repositories"
            | "stores"
            | "groups"
            | "workloads"
            | "routes"
            | "externals"
            | "steps"
            | "contacts"
            | "drills"
    )
}

/// Whether an address has a password before its host (RFC 3986, 3.2.1), or among its parameters.
fn holds_a_password(text: &str) -> bool {
    let in_authority = text.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        user.and_then(|user| user.split_once(':'))
            .is_some_and(|(_, password)| !password.is_empty())
    });
    let parameters = text.split(['?', '&', ';', ' ']).skip(1);
    let in_parameters = text.contains("://")
        && parameters
            .filter_map(|one| one.split_once('='))
            .any(|(name, value)| {
                !value.is_empty()
                    && matches!(
                        name.to_lowercase().as_str(),
                        "password" | "sig" | "token" | "access_token"
                    )
            });
    in_authority || in_parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_passwords_are_known() {
        for text in [
            "postgres://app:hunter2@db:5432/x",
            "jdbc:postgresql://app:hunter2@db/x",
            "https://host/x?sig=abc&se=1",
            "postgres://db/x?user=app&password=hunter2",
        ] {
            assert!(holds_a_password(text), "{text}");
        }
        for text in [
            "postgres://app@db:5432/x",
            "http://[::1]:80/a@b:c",
            "file:./x",
            "a: b@c",
            "https://h/x?sig=",
        ] {
            assert!(!holds_a_password(text), "{text}");
        }
    }

    #[test]
    fn fields_that_hold_secrets_are_known_by_their_name() {
        for name in [
            "password",
            "db_password",
            "API-KEY",
            "key",
            "clientSecret_token",
        ] {
            assert!(names_a_secret(&["stores", "a", name]), "{name}");
        }
        for name in ["keep", "tokens-per-second", "monkey", "keys"] {
            assert!(!names_a_secret(&["stores", "a", name]), "{name}");
        }
        assert!(!names_a_secret(&["tenants", "key"]));
        assert!(!names_a_secret(&["stores", "token"]));
    }
}
