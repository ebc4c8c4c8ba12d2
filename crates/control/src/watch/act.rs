//! What is done about a verdict: a move is proposed, and carried out only under a standing acceptance whose fences hold.
//! Must not know how the failure was noticed.

use std::sync::Arc;

use mainstay_engine::{
    Approval, RunPhase,
    detect::{Automatic, Stand, Verdict},
};
use mainstay_model::{Body, MoveMode, Phase, Role, Runbook, SiteId, StandingAct};
use mainstay_planner::{Refusals, Request};

use crate::{
    clock,
    desk::{Desk, mainstay},
    dispatch::{self, Attention, DispatchError, NewMove, RunHandle, Signals},
    lock::MoverLock,
    observe::Gathered,
    state::{Proposal, ProposalState},
};

/// Why Mainstay does not act by itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("there is no site to move to")]
    Nowhere,
    #[error("no standing acceptance for this scenario is good now")]
    NotAccepted,
    #[error("a person only may act until {0}: the cool-down runs")]
    CoolingDown(mainstay_model::Timestamp),
    #[error("{0}")]
    Planner(Refusals),
    #[error(
        "nothing but a person can prove that the old site no longer writes (fence class F0): {0}"
    )]
    NoFence(String),
    #[error(transparent)]
    Lock(#[from] crate::lock::LockError),
    #[error(transparent)]
    Dispatch(#[from] DispatchError),
}

/// What is proposed about a verdict, before anybody acts.
pub(super) fn proposal(desk: &Desk, verdict: &Verdict, gathered: &Gathered) -> Proposal {
    let to = destination(desk, &verdict.site, gathered);
    let command = match &to {
        Some(to) => format!("mainstay failover --to {to}"),
        None => "mainstay status".to_owned(),
    };
    let votes = verdict.votes.iter().map(|vote| {
        let stands = match &vote.stand {
            Stand::For { since, .. } => format!("has seen it since {since}"),
            Stand::Unsure { since } => format!("sees it since {since}, not yet long enough"),
            Stand::Against => "does not see it".to_owned(),
            Stand::Abstains => "abstains: its own control probes fail".to_owned(),
            Stand::Stale => "says nothing".to_owned(),
        };
        format!("{} {stands}: {}", vote.observer, vote.saw)
    });
    Proposal {
        at: verdict.at,
        scenario: verdict.scenario,
        site: verdict.site.clone(),
        evidence: votes.collect(),
        to,
        command,
        state: ProposalState::Open,
    }
}

/// A data site that answers, is not held back, and is not the one that failed.
fn destination(desk: &Desk, failed: &SiteId, gathered: &Gathered) -> Option<SiteId> {
    let mut sites = desk.plan.sites.iter().filter(|(name, site)| {
        site.role == Role::Data
            && *name != failed
            && gathered.observed.answers(name)
            && !gathered.observed.quarantined(name)
    });
    sites.next().map(|(name, _)| name.clone())
}

/// What Mainstay needs to act by itself, if it may: a standing acceptance, and the right to move.
pub(super) async fn leave(
    desk: &Desk,
    verdict: &Verdict,
) -> Result<(StandingAct, MoverLock), Refused> {
    match verdict.automatic {
        Automatic::Allowed => {}
        Automatic::NotDeclared => return Err(Refused::NotAccepted),
        Automatic::CoolingDown { until } => return Err(Refused::CoolingDown(until)),
    }
    let standing = standing(desk, verdict).ok_or(Refused::NotAccepted)?;
    Ok((standing, desk.lock().await?))
}

/// Carries out the proposed move. What was gathered was gathered under the lock.
pub(super) async fn act(
    desk: &Desk,
    (standing, lock): (StandingAct, MoverLock),
    proposal: &Proposal,
    gathered: &Gathered,
) -> Result<RunHandle, Refused> {
    let to = proposal.to.clone().ok_or(Refused::Nowhere)?;
    let runbook = plan(desk, gathered, &to, &standing)?;
    fences_itself(&runbook)?;
    start(desk, lock, runbook).await
}

/// The standing acceptance of the very plan file that this process works from.
fn standing(desk: &Desk, verdict: &Verdict) -> Option<StandingAct> {
    let detect = desk.plan.detect.as_ref()?;
    let mut acts = detect.act.iter();
    acts.find(|act| act.scenario == verdict.scenario && act.until > clock::now())
        .cloned()
}

/// The same planner as for a person, with the standing acceptance in place of a person's.
fn plan(
    desk: &Desk,
    gathered: &Gathered,
    to: &SiteId,
    standing: &StandingAct,
) -> Result<Runbook, Refused> {
    let compute = |request: &Request| {
        mainstay_planner::plan(&desk.plan, &desk.kinds, &gathered.observed, request)
    };
    let bound = match compute(&Request::failover(to.clone(), None)) {
        Ok(planned) => return Ok(planned.runbook),
        Err(refusals) => match refusals.loss.clone() {
            Some(bound) => bound,
            None => return Err(Refused::Planner(refusals)),
        },
    };
    let acceptance =
        mainstay_planner::accept(&bound, standing.accept_loss, mainstay(), standing.until);
    let planned = compute(&Request::failover(to.clone(), Some(acceptance)));
    planned
        .map(|planned| planned.runbook)
        .map_err(Refused::Planner)
}

/// A runbook that has to ask a person about a fence is not for Mainstay alone.
fn fences_itself(runbook: &Runbook) -> Result<(), Refused> {
    debug_assert!(
        runbook.mode == MoveMode::Failover,
        "only failovers are automatic"
    );
    let question = runbook.steps.iter().find_map(|step| match &step.body {
        Body::Ask(question) if step.phase == Phase::Fence => Some(question.text.clone()),
        _ => None,
    });
    match question {
        Some(question) => Err(Refused::NoFence(question)),
        None => Ok(()),
    }
}

async fn start(desk: &Desk, lock: MoverLock, runbook: Runbook) -> Result<RunHandle, Refused> {
    let new = NewMove {
        runbook: Arc::new(runbook),
        by: mainstay(),
        parent: None,
        approval: Approval::NotNeeded,
    };
    let options = dispatch::Options {
        attention: Attention::Leave,
        signals: Signals::Ignore,
        ..dispatch::Options::default()
    };
    Ok(dispatch::start(desk, lock, new, options).await?)
}

/// Whether a run that Mainstay started did what it was started for.
pub(super) fn ended_well(phase: RunPhase) -> bool {
    matches!(
        phase,
        RunPhase::Succeeded | RunPhase::SucceededWithExceptions
    )
}
