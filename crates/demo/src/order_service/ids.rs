//! Ids that arrive from outside. What these types accept is safe as a file name and as a key.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest accepted id, in bytes.
const LONGEST: usize = 64;

/// Why an id was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id has 1 to 64 characters of a-z, 0-9, - and _, and starts with a letter or digit")]
pub struct BadId;

/// A tenant's id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tenant(String);

/// An order's id, chosen by the client and unique within its tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrderId(String);

fn checked(text: String) -> Result<String, BadId> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let starts_plain = text.bytes().next().is_some_and(plain);
    let all_allowed = text
        .bytes()
        .all(|byte| plain(byte) || byte == b'-' || byte == b'_');
    if starts_plain && all_allowed && text.len() <= LONGEST {
        Ok(text)
    } else {
        Err(BadId)
    }
}

macro_rules! id {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                checked(text).map(Self)
            }
        }
        impl TryFrom<&str> for $name {
            type Error = BadId;
            fn try_from(text: &str) -> Result<Self, BadId> {
                checked(text.to_owned()).map(Self)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    };
}

id!(Tenant);
id!(OrderId);

/// The name of the demo's tenant number `number`, counted from one.
#[must_use]
pub fn tenant_name(number: u16) -> Tenant {
    Tenant(format!("t{number:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_leave_the_folder_are_refused() {
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a\\b",
            "-a",
            "A",
            "a\0",
            "ä",
            &"a".repeat(65),
        ] {
            assert_eq!(OrderId::try_from(bad), Err(BadId), "{bad:?}");
        }
        for good in ["a", "0", "o-1_b", &"a".repeat(64)] {
            assert_eq!(OrderId::try_from(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn tenant_names_are_valid() {
        for number in [1, 50, 1000] {
            let name = tenant_name(number);
            assert_eq!(Tenant::try_from(name.as_str()), Ok(name));
        }
    }
}
