//! Who notices a disaster, who may act on it, and things that have a date. Must not know kinds.

use super::sites::{domain, role};
use crate::{
    Diagnostics, Timestamp,
    diagnostic::{code, quote},
    plan::{defaults, draft::Draft, file::Role},
};

/// Checks observers, standing acceptances, windows and a team's steps.
pub(super) fn check(draft: &Draft<'_>, now: Timestamp, out: &mut Diagnostics) {
    quorum(draft, out);
    expired(draft, now, out);
    windows(draft, out);
    for (name, item) in &draft.steps {
        let Some(step) = &item.value else { continue };
        if step.before.is_some() == step.after.is_some() {
            let message = format!(
                "{} needs either `before` or `after`, and not both",
                quote(name)
            );
            let help = "name the phase that it comes before or after, such as `before: shift`";
            out.error(code::ANCHOR, item.entry.key_place, message, help.to_owned());
        }
    }
}

/// More than half of the observers, and two at least, must be able to see a site fall: those outside of its domain.
fn quorum(draft: &Draft<'_>, out: &mut Diagnostics) {
    let Some(detect) = &draft.detect else { return };
    let needed = (detect.observers.len() / 2 + 1).max(2);
    let placement = defaults::placement(draft);
    for site in draft
        .sites
        .keys()
        .filter(|site| role(draft, site) == Some(Role::Data))
    {
        let Some(own) = domain(draft, site) else {
            continue;
        };
        let outside = |observer: &&crate::SiteId| {
            domain(draft, observer.as_str()).is_some_and(|other| other != own)
        };
        let seeing = detect.observers.iter().filter(outside).count();
        if seeing >= needed {
            continue;
        }
        let place = draft.root.place_at(&["detect", "observers"]);
        let observers = detect.observers.len();
        let message = format!(
            "{seeing} of {observers} observers would outlive the loss of {}; {needed} must agree",
            quote(site)
        );
        let help = "name every data site and a witness, each in a failure domain of its own: `observers: [A, B, witness]`";
        if placement
            .values()
            .any(|weights| weights.contains_key(*site))
        {
            out.error(code::QUORUM, place, message, help.to_owned());
        } else {
            let message = format!("{message}, so that after a move nobody notices it");
            out.warning(code::QUORUM, place, message, help.to_owned());
        }
    }
}

fn expired(draft: &Draft<'_>, now: Timestamp, out: &mut Diagnostics) {
    let acts = draft
        .detect
        .iter()
        .flat_map(|detect| detect.act.iter().enumerate());
    for (index, act) in acts {
        if act.until.0 <= now {
            let place = draft
                .root
                .place_at(&["detect", "act", &index.to_string(), "until"]);
            let message = format!(
                "this acceptance ended on {}: Mainstay asks instead of acting",
                act.until.0
            );
            let help = "give it a new date, if it still stands";
            out.warning(code::EXPIRED, place, message, help.to_owned());
        }
    }
}

fn windows(draft: &Draft<'_>, out: &mut Diagnostics) {
    for (index, window) in draft.windows.iter().enumerate() {
        if window.until <= window.from {
            let place = draft
                .root
                .place_at(&["windows", &index.to_string(), "until"]);
            let message = "this window ends before it begins";
            let help = "a day means its start, in UTC: a window of one day ends on the next";
            out.error(code::WINDOW, place, message, help.to_owned());
        }
    }
}
