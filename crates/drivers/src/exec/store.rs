//! A store that programs save: whether this site has it, and whose it is. It cannot hold a mark, so the agent keeps it.
//! Must not know repositories.

use mainstay_driver::{ActError, Cause, Order};
use mainstay_model::{Declared, Facts, Output, Scope, SiteId};

use super::{NAME, options::ExecStoreAt};
use crate::shared::{Asker, Here, Home, Kept, Program, RunError, Said, run};

pub(super) fn variables(
    declared: &Declared,
    word: &str,
    order: Option<&Order>,
) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("MAINSTAY_OP", word.to_owned()),
        ("MAINSTAY_COMPONENT", declared.name.to_string()),
    ];
    if let Some(order) = order {
        variables.push(("MAINSTAY_RUN", order.id.run.to_string()));
        variables.push(("MAINSTAY_EFFECT", order.id.to_string()));
    }
    variables
}

/// The mark, where no program says whose the store is.
fn by_plan(home: &Home, declared: &Declared, site: &SiteId) -> Kept {
    let here = Here::by_plan(home, &declared.name, site);
    Kept::of(home, &declared.name, site, here)
}

/// What an answer to `owns` means for the mark.
fn by_word(
    home: &Home,
    declared: &Declared,
    site: &SiteId,
    said: Result<Said, RunError>,
) -> Result<Kept, Cause> {
    let here = match said.map_err(RunError::cause)? {
        Said::Yes(_) => Here::Said,
        Said::No(_) => Here::Denied,
    };
    Ok(Kept::of(home, &declared.name, site, here))
}

async fn kept(home: &Home, declared: &Declared, site: &SiteId) -> Result<Kept, Cause> {
    let at: ExecStoreAt = Home::options(declared, site)?;
    match &at.owns {
        Some(owns) => {
            let said = run(home, owns, &variables(declared, "owns", None)).await;
            by_word(home, declared, site, said)
        }
        None => Ok(by_plan(home, declared, site)),
    }
}

/// The same from a thread that may block.
pub(super) fn kept_now(
    home: &Home,
    declared: &Declared,
    site: &SiteId,
    owns: Option<&Program>,
) -> Result<Kept, Cause> {
    match owns {
        Some(owns) => {
            let asked = variables(declared, "owns", None);
            let said = crate::shared::run_here(home, owns, &asked, std::process::Stdio::null());
            by_word(home, declared, site, said)
        }
        None => Ok(by_plan(home, declared, site)),
    }
}

/// What is seen of it.
pub(super) async fn look(home: &Home, declared: &Declared, scope: &Scope) -> Result<Facts, Cause> {
    Ok(Facts {
        exists: Some(true),
        store: Some(kept(home, declared, &scope.site).await?.facts()?),
        ..Facts::default()
    })
}

/// Changes whose it is.
pub(super) async fn carry_out(
    home: &Home,
    declared: &Declared,
    order: &Order,
) -> Result<Output, ActError> {
    let site = &order.action.site;
    let kept = kept(home, declared, site).await;
    let asker = Asker {
        site,
        run: &order.id.run,
        fence: order.fence.as_ref().map(|fence| fence.epoch),
    };
    kept.map_err(ActError::NotDone)?
        .carry_out(asker, &order.action.op, NAME)
}
