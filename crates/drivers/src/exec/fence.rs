//! Fences a site from outside by a team's program, and remembers below which epoch that was confirmed.
//! Must not know how the program does it.

use std::{fs, path::PathBuf};

use mainstay_driver::{ActError, Cause, Order};
use mainstay_model::{
    ComponentId, Epoch, Facts, FenceClass, FenceFacts, Output, Scope, SiteId, Subject,
};
use serde::{Deserialize, Serialize};

use super::{NAME, options::ExecFence};
use crate::shared::{Home, RunError, Said, hindered, lasting, now, refused, run, write_durably};

/// What was confirmed, in `fence.json` below the state folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Confirmed {
    version: u32,
    below: Epoch,
    at_us: i64,
}

const VERSION: u32 = 1;

fn options(home: &Home, site: &SiteId) -> Result<ExecFence, Cause> {
    let fences = home.plan.sites.get(site).map(|site| site.fence.as_slice());
    let mut fences = fences.unwrap_or_default().iter();
    let fence = fences
        .find(|fence| fence.kind.as_str() == NAME)
        .ok_or_else(|| lasting("options-invalid", format!("{site} declares no exec fence")))?;
    ExecFence::deserialize(&fence.options)
        .map_err(|error| lasting("options-invalid", format!("the fence of {site}: {error}")))
}

fn record(home: &Home, subject: &Subject, site: &SiteId) -> PathBuf {
    let name = subject.component().map_or("site", ComponentId::as_str);
    home.place
        .state
        .join("exec")
        .join(site.as_str())
        .join(name)
        .join("fence.json")
}

fn variables(subject: &Subject, site: &SiteId, below: Epoch) -> Vec<(&'static str, String)> {
    vec![
        ("MAINSTAY_OP", "fence".to_owned()),
        ("MAINSTAY_COMPONENT", subject.to_string()),
        ("MAINSTAY_FENCED_SITE", site.to_string()),
        ("MAINSTAY_EPOCH", below.to_string()),
    ]
}

/// Cuts the site off, looks whether it is, and records it.
pub(super) async fn fence(home: &Home, order: &Order, below: Epoch) -> Result<Output, ActError> {
    let (subject, site) = (&order.action.subject, &order.action.site);
    let fence = options(home, site).map_err(ActError::NotDone)?;
    let mut variables = variables(subject, site, below);
    variables.push(("MAINSTAY_EFFECT", order.id.to_string()));
    if let Said::No(why) = run(home, &fence.fence, &variables).await? {
        return Err(refused("program-refused", format!("fence {site}: {why}")));
    }
    match run(home, &fence.check, &variables).await {
        Ok(Said::Yes(_)) => {}
        Ok(Said::No(why)) => {
            let what = format!("fence {site}: it does not seem to be cut off: {why}");
            return Err(crate::shared::unknown("fence-unconfirmed", what));
        }
        Err(error) => return Err(ActError::Unknown(error.cause())),
    }
    let confirmed = Confirmed {
        version: VERSION,
        below,
        at_us: now().0,
    };
    let bytes = serde_json::to_vec(&confirmed)
        .map_err(|error| hindered("state-unwritable", error.to_string()))?;
    write_durably(&record(home, subject, site), &bytes)
        .map_err(|error| crate::shared::unknown("state-unwritable", error.to_string()))?;
    Ok(Output::default())
}

/// What was confirmed counts only while the program says that the site is still cut off.
pub(super) async fn look(home: &Home, scope: &Scope) -> Result<Facts, Cause> {
    let fence = options(home, &scope.site)?;
    let bytes = fs::read(record(home, &scope.subject, &scope.site)).ok();
    let confirmed: Option<Confirmed> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let below = confirmed.map_or(Epoch(0), |confirmed| confirmed.below);
    let said = run(
        home,
        &fence.check,
        &variables(&scope.subject, &scope.site, below),
    )
    .await;
    let (below, evidence) = match said.map_err(RunError::cause)? {
        Said::Yes(out) => (below, out),
        Said::No(why) => (Epoch(0), format!("not cut off: {why}")),
    };
    Ok(Facts {
        fence: Some(FenceFacts {
            below,
            class: FenceClass::F2,
            evidence,
        }),
        ..Facts::default()
    })
}
