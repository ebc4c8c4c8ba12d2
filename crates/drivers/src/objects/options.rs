//! What a plan file says about an `objects` store. The documentation of the fields is the schema's.
//! Must not know how they are used.

use mainstay_backup::{BackupError, Patterns, Selection};
use mainstay_model::Declared;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A container of objects, as it is reached from one site.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectsAt {
    /// Where it is: `s3://BUCKET/PREFIX`, `azblob://CONTAINER/PREFIX`, `gcs://BUCKET/PREFIX` or `file:PATH`.
    #[schemars(regex(pattern = "^(file|s3|azblob|gcs):.+$"))]
    pub(crate) url: String,
    /// Options of the storage service, as those of a repository.
    #[serde(default)]
    pub(crate) options: Map<String, Value>,
}

/// Options of the store as a whole.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ObjectsOptions {
    /// Only what these patterns say is saved, as in a `.gitignore`; without any, everything.
    pub(crate) include: Vec<String>,
    /// What these patterns say is not saved.
    pub(crate) exclude: Vec<String>,
}

impl ObjectsOptions {
    /// Reads the options of a declared component; they were checked against the schema.
    pub(crate) fn of(declared: &Declared) -> Result<Self, serde_json::Error> {
        match &declared.options {
            Value::Null => Ok(Self::default()),
            options => Self::deserialize(options),
        }
    }

    /// What is saved.
    pub(crate) fn patterns(self) -> Result<Patterns, BackupError> {
        Patterns::new(Selection {
            include: self.include,
            exclude: self.exclude,
        })
    }
}
