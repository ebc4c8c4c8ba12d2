//! Workloads that are operated through hooks: requests or programs that a team names, one for each thing to do.
//! Which standard steps they take part in, and which hooks belong together. Must not know what a hook is.

use std::collections::BTreeSet;

use mainstay_model::{Body, Complaint, Declared, Draft, Move, Op, Phase, standard_lower};

/// The names of the hooks that are declared at one site.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hooks(BTreeSet<&'static str>);

impl FromIterator<&'static str> for Hooks {
    fn from_iter<I: IntoIterator<Item = &'static str>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

impl Hooks {
    fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// The standard steps, as far as there is a hook for them.
    pub(crate) fn lower(&self, declared: &Declared, phase: Phase, mv: &Move) -> Vec<Draft> {
        if phase == Phase::Reconcile && !self.has("reconcile") {
            // The application's own check, after the stores that it uses were promoted, is a group's check too.
            return if self.has("verify") {
                standard_lower(declared, Phase::Verify, mv)
            } else {
                Vec::new()
            };
        }
        let drafts = standard_lower(declared, phase, mv).into_iter();
        drafts.filter_map(|draft| self.adapt(draft)).collect()
    }

    /// A step without a hook is left out or only looked at.
    fn adapt(&self, mut draft: Draft) -> Option<Draft> {
        let op = match &draft.body {
            Body::Act(action) => action.op.clone(),
            _ => return Some(draft),
        };
        match op {
            // A scheduler that is held does no work; a service that nobody can stop is a refusal when it is tried.
            Op::Stop if !self.has("stop") && self.has("hold") => None,
            Op::Start if !self.has("start") && self.has("ready") => {
                draft.body = Body::Check;
                Some(draft)
            }
            Op::Start if !self.has("start") => None,
            // It is ready before it reconnects, too: only the hook can say that it did.
            Op::Rebind if self.has("rebind") => {
                draft.goals.clear();
                Some(draft)
            }
            Op::Rebind => None,
            Op::Sweep if !self.has("sweep") => None,
            _ => Some(draft),
        }
    }

    /// Hooks that are missing or lack the one that proves them. `example` shows how such a hook is written.
    pub(crate) fn check(&self, site: &str, example: &str) -> Vec<Complaint> {
        let mut found = Vec::new();
        let mut complain = |what: &str, help: String| {
            found.push(Complaint {
                path: vec!["at".to_owned(), site.to_owned()],
                what: what.to_owned(),
                help: Some(help),
            });
        };
        if self.0.is_empty() {
            let help = "write start, stop, running and ready, or hold, release and held";
            complain("nothing is declared to operate it by", help.to_owned());
        }
        let trio = ["hold", "release", "held"].map(|name| self.has(name));
        if trio.contains(&true) && trio.contains(&false) {
            let help = "a scheduler has all three: hold, release and held";
            complain("hold, release and held belong together", help.to_owned());
        }
        if self.has("stop") && !self.has("running") {
            let help = format!("write running: {example}");
            complain("nothing can prove that it stopped", help);
        }
        if self.has("provision") && !self.has("exists") {
            let help = format!("write exists: {example}");
            complain("nothing can prove that it was created", help);
        }
        found
    }
}
