//! What a plan file says about a `files` store at one site. The documentation of the fields is the schema's.
//! Must not know how they are used.

use std::path::PathBuf;

use mainstay_backup::{BackupError, Patterns, Selection};
use mainstay_model::Declared;
use schemars::JsonSchema;
use serde::Deserialize;

use super::state::FOLDER;

/// A directory tree at one site. Give `url` or `path`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilesAt {
    /// The folder as a URL: `file:DIR`. Relative paths start at the plan file.
    #[serde(default)]
    pub(crate) url: Option<String>,
    /// The folder as a path.
    #[serde(default)]
    pub(crate) path: Option<String>,
}

/// Options of the store as a whole.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FilesOptions {
    /// Only what these patterns say is saved, as in a `.gitignore`; without any, everything.
    pub(crate) include: Vec<String>,
    /// What these patterns say is not saved.
    pub(crate) exclude: Vec<String>,
}

impl FilesOptions {
    /// Reads the options of a declared component; they were checked against the schema.
    pub(crate) fn of(declared: &Declared) -> Result<Self, serde_json::Error> {
        match &declared.options {
            serde_json::Value::Null => Ok(Self::default()),
            options => Self::deserialize(options),
        }
    }

    /// Whether something is left out on purpose.
    pub(crate) fn is_partial(&self) -> bool {
        !self.include.is_empty() || !self.exclude.is_empty()
    }

    /// What is saved. Mainstay's own folder in the tree is no part of the data.
    pub(crate) fn patterns(&self) -> Result<Patterns, BackupError> {
        let mut exclude = vec![format!("/{FOLDER}")];
        exclude.extend(self.exclude.iter().cloned());
        Patterns::new(Selection {
            include: self.include.clone(),
            exclude,
        })
    }
}

impl FilesAt {
    /// The folder that is meant, or what is wrong with which field.
    pub(crate) fn folder(&self) -> Result<PathBuf, (&'static str, &'static str)> {
        let (field, text) = match (&self.url, &self.path) {
            (Some(_), Some(_)) => return Err(("path", "give either a url or a path, not both")),
            (None, None) => return Err(("url", "a file tree needs a url or a path")),
            (None, Some(path)) => ("path", path.as_str()),
            (Some(url), None) => {
                let rest = url
                    .strip_prefix("file:")
                    .ok_or(("url", "the url does not start with file:"))?;
                ("url", rest.strip_prefix("//").unwrap_or(rest))
            }
        };
        if text.is_empty() || text == "/" {
            return Err((field, "this names no folder of its own"));
        }
        Ok(PathBuf::from(text))
    }
}
