//! What a plan file says about a `files` store at one site. The documentation of the fields is the schema's.
//! Must not know how they are used.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

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
