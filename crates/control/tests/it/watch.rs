//! The watch notices a dead site through its observers, and acts alone only where the plan file lets it.

use std::{path::Path, sync::Arc, time::Duration};

use mainstay_control::{
    agent::Agent,
    state::ProposalState,
    watch::{self, WatchNotice},
};
use mainstay_engine::RunPhase;
use mainstay_model::*;
use tokio::sync::mpsc;

use crate::{dispatch::adopted, world::*};

/// Observers at dr and the witness, quick ones, and a health address at prod.
fn watched_plan(act: Vec<StandingAct>) -> PlanFile {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    let mut plan = plan();
    plan.sites.get_mut(&site(PROD)).unwrap().health = Some(format!("http://{address}/healthz"));
    plan.detect = Some(Detect {
        observers: vec![site(DR), site(WITNESS)],
        every: Span::from_millis(100),
        confirm: Span::from_millis(300),
        cooldown: Span::from_secs(600),
        act,
    });
    plan
}

fn standing() -> StandingAct {
    StandingAct {
        scenario: Scenario::SiteLost,
        accept_loss: Span::from_secs(3600),
        until: mainstay_control::clock::now() + Span::from_secs(3600),
    }
}

async fn sites(folder: &Path, plan: &PlanFile, world: &Arc<World>) -> (Vec<Agent>, Agent) {
    let mut others = Vec::new();
    for name in [WITNESS, DR] {
        others.push(agent_of(options(folder, name, plan.clone()), world).await.0);
    }
    let mut prod = options(folder, PROD, plan.clone());
    let health = plan.sites[&site(PROD)].health.clone().unwrap();
    let address = health
        .strip_prefix("http://")
        .and_then(|rest| rest.strip_suffix("/healthz"));
    prod.listen = Some(address.unwrap().parse().unwrap());
    (others, agent_of(prod, world).await.0)
}

async fn next(heard: &mut mpsc::UnboundedReceiver<WatchNotice>) -> WatchNotice {
    let notice = tokio::time::timeout(Duration::from_secs(20), heard.recv());
    notice.await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_site_is_noticed_and_left_under_a_standing_acceptance() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let plan = watched_plan(vec![standing()]);
    let (_others, prod) = sites(folder.path(), &plan, &world).await;
    let desk = desk_of(folder.path(), plan);
    drop(adopted(&desk).await);
    let (tell, mut heard) = mpsc::unbounded_channel();
    let watched = desk.clone();
    let watching =
        tokio::spawn(async move { watch::run(&watched, tell, std::future::pending()).await });
    assert!(matches!(
        next(&mut heard).await,
        WatchNotice::Watching { .. }
    ));
    // Nothing is wrong for longer than the confirmation time.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(heard.try_recv().is_err());

    prod.stop().await;
    match next(&mut heard).await {
        WatchNotice::Verdict(verdict) => {
            assert_eq!(
                (verdict.scenario, verdict.site),
                (Scenario::SiteLost, site(PROD))
            );
        }
        other => panic!("{other:?}"),
    }
    match next(&mut heard).await {
        WatchNotice::Acting { .. } => {}
        other => panic!("{other:?}"),
    }
    match next(&mut heard).await {
        WatchNotice::Acted { outcome, .. } => assert!(
            matches!(
                outcome,
                Ok(RunPhase::Succeeded | RunPhase::SucceededWithExceptions)
            ),
            "{outcome:?}"
        ),
        other => panic!("{other:?}"),
    }
    watching.abort();
    assert_eq!(world.place(DR).access, Some(Access::Open));
    assert_eq!(world.place(DR).running, 1);
    let known = desk.state.known().unwrap();
    assert!(known.quarantined.contains(&site(PROD)));
    assert_eq!(known.stores[&component("ledger")].epoch, Epoch(2));
    let proposals = desk.state.proposals().unwrap();
    assert!(matches!(proposals[0].state, ProposalState::Acted { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_without_a_standing_acceptance_it_only_proposes() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new());
    let plan = watched_plan(Vec::new());
    let (_others, prod) = sites(folder.path(), &plan, &world).await;
    let desk = desk_of(folder.path(), plan.clone());
    drop(adopted(&desk).await);
    let acts = world.acts();
    let (tell, mut heard) = mpsc::unbounded_channel();
    let watched = desk.clone();
    let watching =
        tokio::spawn(async move { watch::run(&watched, tell, std::future::pending()).await });
    assert!(matches!(
        next(&mut heard).await,
        WatchNotice::Watching { .. }
    ));
    prod.stop().await;
    assert!(matches!(next(&mut heard).await, WatchNotice::Verdict(_)));
    match next(&mut heard).await {
        WatchNotice::Proposed(proposal) => {
            assert_eq!(proposal.command, "mainstay failover --to dr");
            assert_eq!(proposal.state, ProposalState::Open);
        }
        other => panic!("{other:?}"),
    }
    watching.abort();
    assert_eq!(world.acts(), acts);
    assert!(desk.state.runs().unwrap().is_empty());
}
