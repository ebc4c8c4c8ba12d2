//! The pure half of `exec`: options, promises, and the hooks that are programs.
//! Must not know a process.

use mainstay_model::{
    Class, Complaint, Declared, Draft, FenceClass, Idempotence, Kind, KindSchema, LossMode, Move,
    Phase, SealStrength, Traits,
};
use serde::Deserialize;
use serde_json::Value;

use super::options::{ExecAt, ExecFence};
use crate::shared::{Hooks, empty_schema, schema_of};

/// The kind's name in plan files.
pub(crate) const NAME: &str = "exec";

/// The pure half.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExecKind;

impl Kind for ExecKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn classes(&self) -> &'static [Class] {
        &[Class::Workload]
    }

    fn schema(&self, _: Class) -> KindSchema {
        KindSchema {
            at: schema_of::<ExecAt>(),
            options: empty_schema(),
        }
    }

    fn fence_schema(&self) -> Option<Value> {
        Some(schema_of::<ExecFence>())
    }

    fn check(&self, declared: &Declared) -> Vec<Complaint> {
        let mut found = Vec::new();
        for (site, value) in &declared.at {
            if let Ok(at) = ExecAt::deserialize(value) {
                found.extend(check_at(&at, site.as_str()));
            }
        }
        found
    }

    fn traits(&self, declared: &Declared) -> Traits {
        // As a fence it is declared at no site: its program's 0 is the confirmation that F2 asks for.
        let fence = match ExecFence::deserialize(&declared.options) {
            Ok(_) if declared.at.is_empty() => FenceClass::F2,
            _ => FenceClass::F0,
        };
        Traits {
            fence,
            loss: LossMode::Disposable,
            seal: SealStrength::Asserted,
            idempotence: Idempotence::Conditional,
        }
    }

    fn lower(&self, declared: &Declared, phase: Phase, mv: &Move) -> Vec<Draft> {
        let at = declared
            .at
            .get(&mv.site)
            .and_then(|at| ExecAt::deserialize(at).ok());
        let at = at.unwrap_or_default();
        hooks(&at).lower(declared, phase, mv)
    }
}

fn hooks(at: &ExecAt) -> Hooks {
    at.programs().map(|(name, _)| name).collect()
}

fn check_at(at: &ExecAt, site: &str) -> Vec<Complaint> {
    let mut found = hooks(at).check(site, "{ command: [...] }");
    for (name, program) in at.programs() {
        if program.command.first().is_none_or(String::is_empty) {
            let keys = ["at", site, name, "command"];
            found.push(Complaint {
                path: keys.map(str::to_owned).to_vec(),
                what: "there is no program".to_owned(),
                help: Some("write command: [program, argument]".to_owned()),
            });
        }
    }
    found
}
