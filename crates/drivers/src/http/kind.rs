//! The pure half of `http`: options, promises, and which of the standard steps it has a request for.
//! Must not know a connection.

use mainstay_model::{
    Body, Class, Complaint, Declared, Draft, FenceClass, Idempotence, Kind, KindSchema, LossMode,
    Move, Necessity, Op, Phase, SealStrength, Traits, standard_lower,
};
use serde::Deserialize;

use super::options::HttpAt;
use crate::shared::{complaints, empty_schema, schema_of};

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
                check_at(&at, site.as_str(), &mut found);
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
        if phase == Phase::Reconcile {
            return check_of_a_group(declared, mv, &at);
        }
        let drafts = standard_lower(declared, phase, mv);
        drafts
            .into_iter()
            .filter_map(|draft| with_what_it_has(draft, &at))
            .collect()
    }
}

/// The application's own check, after the stores that it uses were promoted.
fn check_of_a_group(declared: &Declared, mv: &Move, at: &HttpAt) -> Vec<Draft> {
    match at.verify {
        Some(_) => standard_lower(declared, Phase::Verify, mv),
        None => Vec::new(),
    }
}

/// A step that it has no request for is left out or only looked at.
fn with_what_it_has(mut draft: Draft, at: &HttpAt) -> Option<Draft> {
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
        // It is ready before it reconnects, too: only the action can say that it did.
        Op::Rebind if at.rebind.is_some() => {
            draft.goals.clear();
            Some(draft)
        }
        Op::Rebind => None,
        Op::Sweep if at.sweep.is_none() => None,
        Op::Sweep => {
            draft.necessity = Necessity::Advisory;
            Some(draft)
        }
        _ => Some(draft),
    }
}

fn check_at(at: &HttpAt, site: &str, found: &mut Vec<Complaint>) {
    let mut complain = |what: &str, help: &str| {
        found.push(Complaint {
            path: vec!["at".to_owned(), site.to_owned()],
            what: what.to_owned(),
            help: Some(help.to_owned()),
        });
    };
    if at.calls().next().is_none() {
        complain(
            "no request is declared",
            "write hold, release and held, or start and stop",
        );
    }
    if at.hold.is_some() != at.held.is_some() || at.hold.is_some() != at.release.is_some() {
        let help = "a scheduler has all three: hold, release and held";
        complain("hold, release and held belong together", help);
    }
    if at.stop.is_some() && at.running.is_none() {
        let help = "write running: { get: \"http://...\", expect: { ... } }";
        complain("nothing can prove that it stopped", help);
    }
    for (name, call) in at.calls() {
        found.extend(complaints(call, &["at", site, name]));
    }
}
