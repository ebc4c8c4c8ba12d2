//! Names of users and groups, as this machine's files give them.
//! Must not know what they own.

use std::collections::BTreeMap;

/// Names by number. A number without a name has the empty one.
#[derive(Debug, Default)]
pub(crate) struct Users {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Users {
    /// Reads the files; what cannot be read gives no names.
    pub(crate) fn read() -> Self {
        Self {
            users: names("/etc/passwd"),
            groups: names("/etc/group"),
        }
    }

    pub(crate) fn user(&self, number: u32) -> &str {
        self.users.get(&number).map_or("", String::as_str)
    }

    pub(crate) fn group(&self, number: u32) -> &str {
        self.groups.get(&number).map_or("", String::as_str)
    }
}

fn names(path: &str) -> BTreeMap<u32, String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut names = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let name = fields.next().unwrap_or_default();
        // The second field is the password's.
        if let Some(Ok(number)) = fields.nth(1).map(str::parse) {
            // The first line with a number gives its name.
            names.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    names
}
