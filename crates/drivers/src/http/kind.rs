//! The pure half of `http`: options, promises, and the hooks that are requests.
//! Must not know a connection.

use mainstay_model::{
    Class, Complaint, Declared, Draft, FenceClass, Idempotence, Kind, KindSchema, LossMode, Move,
    Phase, SealStrength, Traits,
};
use serde::Deserialize;

use super::options::HttpAt;
use crate::shared::{Hooks, complaints, empty_schema, schema_of};

/// The kind's name in plan files.
pub(crate) const NAME: &str = "http";

/// The pure half.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpKind;

impl Kind for HttpKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn classes(&self) -> &'static [Class] {
        &[Class::Workload]
    }

    fn schema(&self, _: Class) -> KindSchema {
        KindSchema {
            at: schema_of::<HttpAt>(),
            options: empty_schema(),
        }
    }

    fn check(&self, declared: &Declared) -> Vec<Complaint> {
        let mut found = Vec::new();
        for (site, value) in &declared.at {
            if let Ok(at) = HttpAt::deserialize(value) {
                found.extend(check_at(&at, site.as_str()));
            }
        }
        found
    }

    fn traits(&self, _: &Declared) -> Traits {
        Traits {
            fence: FenceClass::F0,
            loss: LossMode::Disposable,
            seal: SealStrength::Asserted,
            idempotence: Idempotence::Conditional,
        }
    }

    fn lower(&self, declared: &Declared, phase: Phase, mv: &Move) -> Vec<Draft> {
        let at = declared
            .at
            .get(&mv.site)
            .and_then(|at| HttpAt::deserialize(at).ok());
        let at = at.unwrap_or_default();
        hooks(&at).lower(declared, phase, mv)
    }
}

fn hooks(at: &HttpAt) -> Hooks {
    at.calls().map(|(name, _)| name).collect()
}

fn check_at(at: &HttpAt, site: &str) -> Vec<Complaint> {
    let example = "{ get: \"http://...\", expect: { ... } }";
    let mut found = hooks(at).check(site, example);
    for (name, call) in at.calls() {
        found.extend(complaints(call, &["at", site, name]));
    }
    found
}
