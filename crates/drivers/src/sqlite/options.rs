//! What a plan file says about a `sqlite` store at one site. The documentation of the fields is the schema's.
//! Must not know how they are used.

use std::path::PathBuf;

use mainstay_model::Declared;
use schemars::JsonSchema;
use serde::Deserialize;

/// A database file at one site. Give `url` or `path`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqliteAt {
    /// The database file as a URL: `sqlite:PATH`. Relative paths start at the plan file.
    #[serde(default)]
    pub(crate) url: Option<String>,
    /// The database file as a path.
    #[serde(default)]
    pub(crate) path: Option<String>,
}

/// Options of the store as a whole.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SqliteOptions {
    /// Questions in SQL that a restored copy is asked. Each must answer with a row that does not begin with 0 or null.
    pub(crate) checks: Vec<String>,
}

impl SqliteOptions {
    /// Reads the options of a declared component; they were checked against the schema.
    pub(crate) fn of(declared: &Declared) -> Result<Self, serde_json::Error> {
        match &declared.options {
            serde_json::Value::Null => Ok(Self::default()),
            options => Self::deserialize(options),
        }
    }
}

/// What is wrong with the place of a database, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadPlace {
    pub(crate) field: &'static str,
    pub(crate) what: String,
}

impl SqliteAt {
    /// The file that is meant.
    pub(crate) fn file(&self) -> Result<PathBuf, BadPlace> {
        let bad = |field, what: &str| BadPlace {
            field,
            what: what.to_owned(),
        };
        let text = match (&self.url, &self.path) {
            (Some(_), Some(_)) => return Err(bad("path", "give either a url or a path, not both")),
            (None, None) => return Err(bad("url", "a database needs a url or a path")),
            (None, Some(path)) => path.as_str(),
            (Some(url), None) => {
                let rest = url
                    .strip_prefix("sqlite:")
                    .ok_or_else(|| bad("url", "the url does not start with sqlite:"))?;
                rest.strip_prefix("//").unwrap_or(rest)
            }
        };
        if text.is_empty() || text.ends_with('/') || text == ":memory:" {
            let field = if self.url.is_some() { "url" } else { "path" };
            return Err(bad(field, "this names no file"));
        }
        Ok(PathBuf::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: Option<&str>, path: Option<&str>) -> SqliteAt {
        SqliteAt {
            url: url.map(str::to_owned),
            path: path.map(str::to_owned),
        }
    }

    #[test]
    fn a_place_is_one_file() {
        for good in [
            at(Some("sqlite:./a.db"), None),
            at(Some("sqlite://./a.db"), None),
            at(None, Some("./a.db")),
        ] {
            assert_eq!(good.file().unwrap(), PathBuf::from("./a.db"));
        }
        for (bad, field) in [
            (at(None, None), "url"),
            (at(Some("sqlite:a"), Some("a")), "path"),
            (at(Some("file:a"), None), "url"),
            (at(Some("sqlite:"), None), "url"),
            (at(None, Some(":memory:")), "path"),
            (at(None, Some("folder/")), "path"),
        ] {
            assert_eq!(bad.file().unwrap_err().field, field, "{bad:?}");
        }
    }
}
