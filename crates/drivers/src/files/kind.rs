//! The pure half of `files`: options, promises. The standard steps fit it unchanged.
//! Must not know a file.

use std::path::{Component, Path, PathBuf};

use mainstay_model::{
    Class, Complaint, Declared, FenceClass, Idempotence, Kind, KindSchema, LossMode, SealStrength,
    Traits,
};
use serde::Deserialize;

use super::options::{FilesAt, FilesOptions};
use crate::shared::schema_of;

/// The kind's name in plan files.
pub(crate) const NAME: &str = "files";

/// The pure half.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FilesKind;

impl Kind for FilesKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn classes(&self) -> &'static [Class] {
        &[Class::Store]
    }

    fn schema(&self, _: Class) -> KindSchema {
        KindSchema {
            at: schema_of::<FilesAt>(),
            options: schema_of::<FilesOptions>(),
        }
    }

    fn check(&self, declared: &Declared) -> Vec<Complaint> {
        let (mut found, mut seen) = (Vec::new(), Vec::<(PathBuf, String)>::new());
        if let Ok(options) = FilesOptions::of(declared)
            && let Err(error) = options.patterns()
        {
            found.push(Complaint {
                path: vec!["exclude".to_owned()],
                what: error.to_string(),
                help: Some("write patterns as in a .gitignore: \"*.tmp\", \"/cache/\"".to_owned()),
            });
        }
        for (site, value) in &declared.at {
            let Ok(at) = FilesAt::deserialize(value) else {
                continue;
            };
            let place = |more: &[&str]| {
                let keys = ["at", site.as_str()];
                keys.iter().chain(more).map(|&key| key.to_owned()).collect()
            };
            match at.folder() {
                Err((field, what)) => found.push(Complaint {
                    path: place(&[field]),
                    what: what.to_owned(),
                    help: Some("write url: \"file:./folder\"".to_owned()),
                }),
                Ok(folder) => {
                    let folder = plain(&folder);
                    let within =
                        |other: &Path| folder.starts_with(other) || other.starts_with(&folder);
                    if let Some((_, other)) = seen.iter().find(|(path, _)| within(path)) {
                        found.push(Complaint {
                            path: place(&[]),
                            what: format!("this folder and the one at {other} hold each other"),
                            help: Some("give each site a folder of its own".to_owned()),
                        });
                    }
                    seen.push((folder, site.to_string()));
                }
            }
        }
        found
    }

    fn traits(&self, _: &Declared) -> Traits {
        Traits {
            fence: FenceClass::F0,
            loss: LossMode::Lag,
            // Nothing keeps a program from writing; that none did is looked at.
            seal: SealStrength::Observed,
            idempotence: Idempotence::Conditional,
        }
    }
}

/// The path without `.` and `..`, as text.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}
