//! I23: nothing that only the old site had is overwritten unasked, and "protected" is said after a look.
//! Must not know how anything is saved.

use super::{Race, prove::Case, stores::initial};

/// Every store that is rebuilt.
pub(crate) fn check(case: &Case<'_>) -> Result<(), Race> {
    for (name, acts) in &case.reading.stores {
        for (rebuild, site) in &acts.rebuilds {
            if initial(case, name).contains(site) {
                let how = format!("{name} is active at {site}, and would be overwritten there");
                return Err(case.wrong("I23", *rebuild, &how));
            }
            let mut saved = acts.salvages.iter().filter(|(_, at)| at == site);
            if !saved
                .clone()
                .any(|(salvage, _)| case.order.before(*salvage, *rebuild))
            {
                let how = format!("what only {site} has of {name} would be lost");
                return Err(match saved.next() {
                    Some((salvage, _)) => case.race("I23", *rebuild, *salvage, &how),
                    None => case.wrong("I23", *rebuild, &how),
                });
            }
            let mut checks = acts.protects.iter().filter(|(_, at)| at == site);
            if !checks.any(|(check, _)| case.order.before(*rebuild, *check)) {
                let how = format!("nothing verifies the copy of {name} at {site} afterwards");
                return Err(case.wrong("I23", *rebuild, &how));
            }
        }
    }
    Ok(())
}
