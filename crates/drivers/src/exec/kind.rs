//! The pure half of `exec`: options, promises, and which of the standard steps it has a program for.
//! Must not know a process.

use mainstay_model::{
    Body, Class, Complaint, Declared, Draft, FenceClass, Idempotence, Kind, KindSchema, LossMode,
    Move, Op, Phase, SealStrength, Traits, standard_lower,
};
use serde::Deserialize;
use serde_json::Value;

use super::options::{ExecAt, ExecFence};
use crate::shared::{empty_schema, schema_of};

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
                check_at(&at, site.as_str(), &mut found);
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
        if phase == Phase::Reconcile {
            let check = at.verify.is_some().then_some(Phase::Verify);
            return check.map_or_else(Vec::new, |phase| standard_lower(declared, phase, mv));
        }
        let drafts = standard_lower(declared, phase, mv);
        drafts
            .into_iter()
            .filter_map(|draft| with_what_it_has(draft, &at))
            .collect()
    }
}

/// A step that it has no program for is left out or only looked at.
fn with_what_it_has(mut draft: Draft, at: &ExecAt) -> Option<Draft> {
    let op = match &draft.body {
        Body::Act(action) => action.op.clone(),
        _ => return Some(draft),
    };
    match op {
        // A scheduler that is held does no work; a service that nobody can stop is a refusal when it is tried.
        Op::Stop if at.stop.is_none() && at.hold.is_some() => None,
        Op::Start if at.start.is_none() && at.ready.is_some() => {
            draft.body = Body::Check;
            Some(draft)
        }
        Op::Start if at.start.is_none() => None,
        // It is ready before it reconnects, too: only the program can say that it did.
        Op::Rebind if at.rebind.is_some() => {
            draft.goals.clear();
            Some(draft)
        }
        Op::Rebind => None,
        Op::Sweep if at.sweep.is_none() => None,
        _ => Some(draft),
    }
}

fn check_at(at: &ExecAt, site: &str, found: &mut Vec<Complaint>) {
    let mut complain = |path: &[&str], what: &str, help: &str| {
        let keys = ["at", site];
        found.push(Complaint {
            path: keys.iter().chain(path).map(|&key| key.to_owned()).collect(),
            what: what.to_owned(),
            help: Some(help.to_owned()),
        });
    };
    if at.programs().next().is_none() {
        let help = "write start, stop, running and ready, or hold, release and held";
        complain(&[], "no program is declared", help);
    }
    if at.hold.is_some() != at.held.is_some() || at.hold.is_some() != at.release.is_some() {
        let help = "a scheduler has all three: hold, release and held";
        complain(&[], "hold, release and held belong together", help);
    }
    if at.stop.is_some() && at.running.is_none() {
        let help = "write running: { command: [...] }";
        complain(&[], "nothing can prove that it stopped", help);
    }
    if at.provision.is_some() && at.exists.is_none() {
        let help = "write exists: { command: [...] }";
        complain(&[], "nothing can prove that it was created", help);
    }
    for (name, program) in at.programs() {
        if program.command.first().is_none_or(String::is_empty) {
            let help = "write command: [program, argument]";
            complain(&[name, "command"], "there is no program", help);
        }
    }
}
