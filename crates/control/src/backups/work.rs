//! Lets an agent do something about backups, and follows it to its end.
//! Must not know what is done.

use std::time::Duration;

use mainstay_model::{Access, Action, ComponentId, Output, Scope, SiteId, Subject};

use super::BackupsError;
use crate::{client::ClientError, desk::Desk, wire::WorkState};

/// How often an agent is asked how far it is.
const AGAIN: Duration = Duration::from_millis(250);
/// An agent that is silent for so many questions is gone.
const SILENT: u32 = 20;

/// Hears how far the work is.
pub type Follow<'a> = &'a (dyn Fn(&str) + Sync);

/// Orders the work and waits for its end.
pub async fn follow(desk: &Desk, action: Action, told: Follow<'_>) -> Result<Output, BackupsError> {
    let agent = desk.agent(&action.site).ok_or_else(|| {
        BackupsError::Answer(format!("the plan file declares no site {}", action.site))
    })?;
    let mut report = agent.work(action).await?;
    let mut silent = 0;
    loop {
        match report.state {
            WorkState::Done(output) => return Ok(output),
            WorkState::Failed(cause) => return Err(BackupsError::Work(cause)),
            WorkState::Running { ref note } => told(note.as_deref().unwrap_or("")),
        }
        tokio::time::sleep(AGAIN).await;
        match agent.worked(&report.id).await {
            Ok(newer) => {
                silent = 0;
                report = newer;
            }
            Err(ClientError::NotReached { .. } | ClientError::NoAnswer { .. })
                if silent < SILENT =>
            {
                silent += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The site that has the store now: it is open there, under that site's mark.
pub async fn owner_of(desk: &Desk, store: &ComponentId) -> Result<SiteId, BackupsError> {
    let no_agent = |why: String| BackupsError::NoAgent {
        store: store.clone(),
        why,
    };
    let declared = desk.plan.stores.get(store);
    let declared = declared.ok_or_else(|| no_agent("it is no store".to_owned()))?;
    let mut why = Vec::new();
    for site in declared.declared.at.keys() {
        let Some(agent) = desk.agent(site) else {
            continue;
        };
        let scope = Scope {
            driver: declared.declared.kind.clone(),
            subject: Subject::Component(store.clone()),
            site: site.clone(),
            from: site.clone(),
        };
        let samples = match agent.observe(vec![scope], None).await {
            Ok(samples) => samples,
            Err(error) => {
                why.push(error.to_string());
                continue;
            }
        };
        let facts = samples
            .first()
            .and_then(|sample| sample.facts()?.store.as_ref());
        match facts {
            Some(facts) if facts.access == Access::Open => {
                let owner = facts.mark.as_ref().map(|mark| &mark.owner);
                let placed = || {
                    let weights = desk.plan.placement.get(store);
                    weights.is_some_and(|weights| weights.contains_key(site))
                };
                if owner.map_or_else(placed, |owner| owner == site) {
                    return Ok(site.clone());
                }
                why.push(format!("{site} does not own it"));
            }
            Some(facts) => why.push(format!("at {site} it is {:?}", facts.access).to_lowercase()),
            None => why.push(format!("{site} cannot see it")),
        }
    }
    Err(no_agent(why.join("; ")))
}

/// The site whose agent tries out a restore point: another one than it was read from, if that answers.
pub async fn tester_of(
    desk: &Desk,
    store: &ComponentId,
    from: &SiteId,
) -> Result<SiteId, BackupsError> {
    let declared = desk.plan.stores.get(store);
    let sites = declared.map(|store| store.declared.at.keys().collect::<Vec<_>>());
    let mut sites = sites.unwrap_or_default();
    sites.sort_by_key(|site| *site == from);
    let mut why = Vec::new();
    for site in sites {
        match desk.agent(site) {
            Some(agent) => match agent.status().await {
                Ok(_) => return Ok(site.clone()),
                Err(error) => why.push(error.to_string()),
            },
            None => why.push(format!("{site} has no agent")),
        }
    }
    Err(BackupsError::NoAgent {
        store: store.clone(),
        why: why.join("; "),
    })
}
