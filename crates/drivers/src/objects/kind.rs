//! The pure half of `objects`: options, promises. It is saved and never moved.
//! Must not know a container.

use mainstay_model::{
    Class, Complaint, Declared, FenceClass, Idempotence, Kind, KindSchema, LossMode, SealStrength,
    Traits,
};

use super::options::{ObjectsAt, ObjectsOptions};
use crate::shared::schema_of;

/// The kind's name in plan files.
pub(crate) const NAME: &str = "objects";

/// The pure half.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ObjectsKind;

impl Kind for ObjectsKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn classes(&self) -> &'static [Class] {
        &[Class::Store]
    }

    fn schema(&self, _: Class) -> KindSchema {
        KindSchema {
            at: schema_of::<ObjectsAt>(),
            options: schema_of::<ObjectsOptions>(),
        }
    }

    fn check(&self, declared: &Declared) -> Vec<Complaint> {
        let mut found = Vec::new();
        if let Ok(options) = ObjectsOptions::of(declared)
            && let Err(error) = options.patterns()
        {
            found.push(Complaint {
                path: vec!["exclude".to_owned()],
                what: error.to_string(),
                help: Some("write patterns as in a .gitignore: \"*.tmp\", \"/cache/\"".to_owned()),
            });
        }
        let several = declared.at.keys().nth(1);
        found.extend(several.map(|second| {
            Complaint {
                path: vec!["at".to_owned(), second.to_string()],
                what: "objects are saved from one site, and never moved to another".to_owned(),
                help: Some(
                    "leave it out; for a container that all sites use, write `writers: many` and \
                 `spans: [...]` beside `at`"
                        .to_owned(),
                ),
            }
        }));
        found
    }

    fn traits(&self, _: &Declared) -> Traits {
        Traits {
            fence: FenceClass::F0,
            loss: LossMode::Lag,
            // That its users were stopped is all that is known.
            seal: SealStrength::Asserted,
            idempotence: Idempotence::Conditional,
        }
    }
}
