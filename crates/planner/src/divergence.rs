//! What only a site that was left still has: named by a hash, so that nobody gives up something else than what was shown.
//! Must not know how it is saved or destroyed.

use std::{collections::BTreeMap, fmt::Write as _};

use mainstay_model::{ComponentId, Position, SiteId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Code, Divergence, Observed, Refusal, target::Moves};

/// How far the stores of a left site go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// Stands for all of it. None when a store's content cannot be seen: then it cannot be given up.
    pub hash: Option<String>,
    /// Per store, how far its content goes at that site.
    pub stores: BTreeMap<ComponentId, Option<Position>>,
}

/// Looks at the stores that a reprotect of that site overwrites.
pub(crate) fn left_behind(observed: &Observed, site: &SiteId, moves: &Moves) -> LeftBehind {
    let mut stores = BTreeMap::new();
    let mut text = Some(format!("mainstay divergence 1\n{site}\n"));
    for name in moves.stores.keys() {
        let sample = observed.stores.get(name).and_then(|now| now.at.get(site));
        let facts = sample.and_then(|sample| sample.facts()?.store.as_ref());
        let position = facts.and_then(|facts| facts.position.clone());
        text = text.zip(position.as_ref()).map(|(mut text, position)| {
            let epoch = facts.and_then(|facts| facts.mark.as_ref());
            let epoch = epoch.map_or(0, |mark| mark.epoch.0);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name} {epoch} {position:?}");
            text
        });
        stores.insert(name.clone(), position);
    }
    let hash = text.map(|text| hex::encode(&Sha256::digest(text)[..8]));
    LeftBehind { hash, stores }
}

/// Giving up needs the hash of exactly what is there now.
pub(crate) fn check(wish: &Divergence, site: &SiteId, left: &LeftBehind) -> Option<Refusal> {
    let Divergence::Discard { hash: shown } = wish else {
        return None;
    };
    let Some(hash) = &left.hash else {
        let unseen = left.stores.iter().filter(|(_, at)| at.is_none());
        let unseen: Vec<&str> = unseen.map(|(name, _)| name.as_str()).collect();
        let evidence = format!("what {} has at {site} cannot be seen", unseen.join(", "));
        return Some(Refusal::new(Code::NotWhatWasShown, evidence));
    };
    (hash != shown).then(|| {
        let evidence = format!("{shown} does not stand for what {site} has now");
        let flag = format!("mainstay plan reprotect --to {site}");
        Refusal::new(Code::NotWhatWasShown, evidence).unless(flag)
    })
}
