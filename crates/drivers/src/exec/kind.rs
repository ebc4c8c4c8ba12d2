//! The pure half of `exec`: options, promises, and the hooks that are programs.
//! Must not know a process.

use mainstay_model::{
    Class, Complaint, Declared, Draft, FenceClass, Idempotence, Kind, KindSchema, LossMode, Move,
    Phase, SealStrength, Traits, standard_lower,
};
use serde::Deserialize;
use serde_json::Value;

use super::options::{ExecAt, ExecFence, ExecStoreAt};
use crate::shared::{Hooks, Program, empty_schema, schema_of};

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
        &[Class::Workload, Class::Store]
    }

    fn schema(&self, class: Class) -> KindSchema {
        KindSchema {
            at: match class {
                Class::Store => schema_of::<ExecStoreAt>(),
                Class::Workload | Class::Route => schema_of::<ExecAt>(),
            },
            options: empty_schema(),
        }
    }

    fn fence_schema(&self) -> Option<Value> {
        Some(schema_of::<ExecFence>())
    }

    fn check(&self, declared: &Declared) -> Vec<Complaint> {
        let mut found = Vec::new();
        for (site, value) in &declared.at {
            if declared.class == Class::Store {
                if let Ok(at) = ExecStoreAt::deserialize(value) {
                    found.extend(nameless(at.programs(), site.as_str()));
                    found.extend(out_of_reach(&at, site.as_str(), declared));
                }
            } else if let Ok(at) = ExecAt::deserialize(value) {
                found.extend(check_at(&at, site.as_str()));
            }
        }
        found
    }

    fn traits(&self, declared: &Declared) -> Traits {
        if declared.class == Class::Store {
            return Traits {
                fence: FenceClass::F0,
                loss: LossMode::Lag,
                // That its users were stopped is all that is known.
                seal: SealStrength::Asserted,
                idempotence: Idempotence::Conditional,
            };
        }
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
        if declared.class == Class::Store {
            return standard_lower(declared, phase, mv);
        }
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
    found.extend(nameless(at.programs(), site));
    found
}

/// A store at several sites moves by its backups, unless it moves by itself.
fn out_of_reach(at: &ExecStoreAt, site: &str, declared: &Declared) -> Option<Complaint> {
    let stuck = declared.at.len() > 1 && at.load.is_none() && at.owns.is_none();
    stuck.then(|| Complaint {
        path: vec!["at".to_owned(), site.to_owned()],
        what: "nothing could bring a backup of it to this site".to_owned(),
        help: Some("write load: { command: [...] }, or leave the site out".to_owned()),
    })
}

/// Programs that are declared without their name.
fn nameless<'a>(
    programs: impl Iterator<Item = (&'static str, &'a Program)>,
    site: &str,
) -> Vec<Complaint> {
    let mut found = Vec::new();
    for (name, program) in programs {
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
