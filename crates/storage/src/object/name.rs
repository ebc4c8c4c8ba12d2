//! Names of objects: relative, with forward slashes, and never able to lead out of a container.
//! Must not know what the objects are.

use std::fmt;

use super::StorageError;

/// The longest name that every kind of container takes.
const LONGEST: usize = 255;

/// The name of one object, or of a folder of objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// Checks a name: parts of letters, digits, `.`, `_` and `-` between single slashes, none of them `.` or `..`.
    pub fn new(name: impl Into<String>) -> Result<Self, StorageError> {
        let name = name.into();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let good =
            |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain);
        if name.len() <= LONGEST && name.split('/').all(good) {
            Ok(Self(name))
        } else {
            Err(StorageError::Name { name })
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder that holds it (empty at the top) and its name there.
    #[must_use]
    pub fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or(("", &self.0))
    }

    /// The last part of it.
    #[must_use]
    pub fn last(&self) -> &str {
        self.split().1
    }

    /// Whether it lies below a folder, however deep.
    #[must_use]
    pub fn is_below(&self, folder: &Self) -> bool {
        let rest = self.0.strip_prefix(&folder.0);
        rest.is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
