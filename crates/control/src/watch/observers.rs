//! One task for each observer: asks its agent to look, again and again, and hands on what it saw.
//! Must not know what follows from it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mainstay_engine::detect::{Answer, Probe, SiteProbe};
use mainstay_model::{SiteId, Span, Timestamp};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::targets::{self, Round, SiteTargets};
use crate::{client::AgentClient, clock, wire::ProbeAnswer};

/// A suspected failure is looked at this many times as often, so that it is confirmed as soon as it may be.
const CLOSER: u32 = 10;
/// Never more often than this.
const LEAST: Duration = Duration::from_millis(50);
/// No probe waits longer for an answer.
const LONGEST: Span = Span::from_secs(2);

/// An observer at work.
pub(super) struct Observer {
    pub(super) site: SiteId,
    pub(super) agent: AgentClient,
    pub(super) every: Span,
}

impl Observer {
    /// Starts to look at what the channel says, until it is closed.
    pub(super) fn start(
        self,
        rounds: watch::Receiver<Arc<BTreeMap<SiteId, Round>>>,
        seen: mpsc::UnboundedSender<Probe>,
    ) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                let began = tokio::time::Instant::now();
                let round = rounds.borrow().get(&self.site).cloned();
                let Some(round) = round else { return };
                let mut suspects = false;
                if let Some(probe) = self.look(&round).await {
                    suspects = probe.sites.values().any(is_suspect);
                    if seen.send(probe).is_err() {
                        return;
                    }
                }
                let every = self.every.duration();
                let pause = if suspects { every / CLOSER } else { every };
                let left = pause.saturating_sub(began.elapsed());
                tokio::time::sleep(left.max(LEAST)).await;
            }
        })
    }

    /// One round. None if the observer's own agent does not answer: then it says nothing.
    async fn look(&self, round: &Round) -> Option<Probe> {
        let timeout = self.every.min(LONGEST);
        let limit = timeout.duration() + Duration::from_millis(500);
        let at = clock::now();
        let agent = self.agent.within(limit);
        let reply = agent.probe(round.targets(timeout)).await.ok()?;
        let ended = clock::now();
        let took = ended.since(at);
        let answers = Answers {
            by_name: reply.answers,
            took,
        };
        Some(answers.probe(round, &self.site, at, ended))
    }
}

fn is_suspect(site: &SiteProbe) -> bool {
    let others = site.health.iter().chain(site.parts.values());
    others.chain([&site.agent]).any(|answer| !answer.is_well())
}

struct Answers {
    by_name: BTreeMap<String, ProbeAnswer>,
    took: Span,
}

impl Answers {
    fn probe(&self, round: &Round, observer: &SiteId, at: Timestamp, ended: Timestamp) -> Probe {
        let controls = 0..round.controls.len();
        let controls = controls.map(|number| self.answer(&targets::control_name(number)));
        let sites = round.sites.iter();
        let sites = sites.map(|(site, about)| (site.clone(), self.site(site, about)));
        Probe {
            observer: observer.clone(),
            at,
            ended,
            controls: controls.collect(),
            sites: sites.collect(),
        }
    }

    fn site(&self, site: &SiteId, about: &SiteTargets) -> SiteProbe {
        let parts = about.parts.iter().map(|(component, addresses)| {
            let all = 0..addresses.len();
            let all = all.map(|number| self.answer(&targets::part_name(site, component, number)));
            (component.clone(), best(all))
        });
        SiteProbe {
            agent: self.answer(&targets::agent_name(site)),
            health: about
                .health
                .is_some()
                .then(|| self.answer(&targets::health_name(site))),
            parts: parts.collect(),
        }
    }

    fn answer(&self, name: &str) -> Answer {
        match self.by_name.get(name) {
            Some(ProbeAnswer::Passed) => Answer::Well { took: self.took },
            Some(ProbeAnswer::Failed(why)) => Answer::Failing(why.clone()),
            Some(ProbeAnswer::Silent(why)) => Answer::Silent(why.clone()),
            None => Answer::Silent("it was not asked".to_owned()),
        }
    }
}

/// One good replica is enough; one that says no is more than one that says nothing.
fn best(answers: impl Iterator<Item = Answer>) -> Answer {
    let rank = |answer: &Answer| match answer {
        Answer::Well { .. } => 2,
        Answer::Failing(_) => 1,
        Answer::Silent(_) => 0,
    };
    answers
        .max_by_key(rank)
        .unwrap_or_else(|| Answer::Silent("it has no address".to_owned()))
}
