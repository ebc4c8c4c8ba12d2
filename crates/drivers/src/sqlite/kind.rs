//! The pure half of `sqlite`: options, promises. The standard steps fit it unchanged.
//! Must not know a file.

use std::collections::BTreeMap;

use mainstay_model::{
    Class, Complaint, Declared, FenceClass, Idempotence, Kind, KindSchema, LossMode, SealStrength,
    Traits,
};
use serde::Deserialize;

use super::options::{SqliteAt, SqliteOptions};
use crate::shared::schema_of;

/// The kind's name in plan files.
pub(crate) const NAME: &str = "sqlite";

/// The pure half.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SqliteKind;

impl Kind for SqliteKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn classes(&self) -> &'static [Class] {
        &[Class::Store]
    }

    fn schema(&self, _: Class) -> KindSchema {
        KindSchema {
            at: schema_of::<SqliteAt>(),
            options: schema_of::<SqliteOptions>(),
        }
    }

    fn check(&self, declared: &Declared) -> Vec<Complaint> {
        let mut complaints = Vec::new();
        let mut seen = BTreeMap::new();
        for (site, value) in &declared.at {
            // What does not fit the schema was reported by its checker.
            let Ok(at) = SqliteAt::deserialize(value) else {
                continue;
            };
            match at.file() {
                Err(bad) => complaints.push(Complaint {
                    path: vec!["at".to_owned(), site.to_string(), bad.field.to_owned()],
                    what: bad.what,
                    help: Some("write url: \"sqlite:./folder/name.db\"".to_owned()),
                }),
                Ok(file) => {
                    if let Some(other) = seen.insert(file, site) {
                        complaints.push(Complaint {
                            path: vec!["at".to_owned(), site.to_string()],
                            what: format!("this is the same file as at {other}"),
                            help: Some("give each site a file of its own".to_owned()),
                        });
                    }
                }
            }
        }
        complaints
    }

    fn traits(&self, _: &Declared) -> Traits {
        Traits {
            // Its seal cannot be set at a site that does not answer.
            fence: FenceClass::F0,
            loss: LossMode::Lag,
            seal: SealStrength::Enforced,
            idempotence: Idempotence::Conditional,
        }
    }
}
