//! What the kinds say about their components: their own checks, and what they can promise.
//! Must not know any kind.

use std::collections::BTreeSet;

use crate::{
    Class, Declared, Diagnostics, Kinds, Node, PlanFile,
    diagnostic::code,
    plan::draft::{Draft, plural},
};

/// Passes on what a kind dislikes about its options. What stands where a secret was found is not repeated.
pub(in crate::plan) fn kind(
    declared: &Declared,
    kinds: &Kinds,
    root: &Node,
    secrets: &BTreeSet<usize>,
    out: &mut Diagnostics,
) {
    let Some(kind) = kinds.get(declared.kind.as_str()) else {
        return;
    };
    let section = plural(declared.class);
    let Some(entry) = root
        .get(section)
        .and_then(|all| all.entry(declared.name.as_str()))
    else {
        return;
    };
    let bytes = entry.key_place.start..=entry.value.place.end;
    let known = |one: &crate::Diagnostic| bytes.contains(&one.place.start);
    if secrets.range(bytes.clone()).next().is_some() || out.list().iter().any(known) {
        return;
    }
    for complaint in kind.check(declared) {
        let mut path = complaint.path;
        if declared.class == Class::Route && path.first().is_some_and(|first| first == "at") {
            "to".clone_into(&mut path[0]);
        }
        let place = match path.first() {
            Some(first) if entry.value.entry(first).is_some() => entry.value.place_at(&path),
            _ => entry.key_place,
        };
        out.error(code::KIND_SAYS, place, complaint.what, complaint.help);
    }
}

/// What the plan promises against what its kinds can do.
pub(in crate::plan) fn promises(
    plan: &PlanFile,
    kinds: &Kinds,
    draft: &Draft<'_>,
    out: &mut Diagnostics,
) {
    let _ = (plan, kinds, draft, out);
}
