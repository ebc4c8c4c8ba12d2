//! The loop of `mainstay serve`: probes in, the detector's verdicts out, proposals stored, moves made where they may be.
//! Must not decide what a failure is.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use mainstay_engine::{
    RunPhase,
    detect::{DetectState, Probe, Settings, Verdict, detect},
};
use mainstay_model::{RunId, SiteId};
use mainstay_planner::Placement;
use tokio::sync::{mpsc, watch};

use super::{
    WatchError,
    act::{self, Refused},
    observers::Observer,
    targets::{self, Round},
};
use crate::{
    clock,
    desk::Desk,
    dispatch::RunHandle,
    lock::MoverLock,
    observe,
    state::{Proposal, ProposalState},
};

/// How often it is looked whether somebody else has moved something.
const PLACEMENT: Duration = Duration::from_secs(1);

/// What a watch tells whoever listens.
#[derive(Debug)]
pub enum WatchNotice {
    /// It looks at these sites through these observers.
    Watching {
        /// The observers.
        observers: Vec<SiteId>,
        /// The sites.
        sites: Vec<SiteId>,
    },
    /// A failure was confirmed.
    Verdict(Verdict),
    /// A move is proposed to people; if Mainstay might have made it alone, why it does not.
    Proposed(Proposal),
    /// Mainstay moves by itself.
    Acting {
        /// The run, with its notices.
        run: RunId,
        /// What it is about.
        proposal: Proposal,
    },
    /// Its own move has come to rest.
    Acted {
        /// The run.
        run: RunId,
        /// How, or why not.
        outcome: Result<RunPhase, String>,
    },
}

/// Watches until `until` is over. Verdicts, proposals and moves are told to `tell`.
pub async fn run(
    desk: &Desk,
    tell: mpsc::UnboundedSender<WatchNotice>,
    until: impl Future<Output = ()>,
) -> Result<(), WatchError> {
    let placement = desk.state.known()?.placement;
    let settings = targets::settings(&desk.plan, &placement).ok_or(WatchError::NoDetect)?;
    let (rounds, seen) = watch::channel(Arc::new(all_rounds(desk, &placement, &settings)));
    let (probes, mut found) = mpsc::unbounded_channel();
    let mut tasks = Vec::new();
    for site in &settings.observers {
        if let Some(agent) = desk.agent(site) {
            let observer = Observer {
                site: site.clone(),
                agent: agent.clone(),
                every: settings.every,
            };
            tasks.push(observer.start(seen.clone(), probes.clone()));
        }
    }
    let detector = match desk.state.detector::<DetectState>()? {
        Some(before) => before.watch(settings),
        None => DetectState::new(settings),
    };
    let mut watch = Watch {
        desk,
        tell,
        rounds,
        placement,
        detector,
    };
    watch.say_what();
    let outcome = tokio::select! {
        outcome = watch.work(&mut found) => outcome,
        () = until => Ok(()),
    };
    for task in tasks {
        task.abort();
    }
    outcome
}

fn all_rounds(desk: &Desk, placement: &Placement, settings: &Settings) -> BTreeMap<SiteId, Round> {
    let observers = settings.observers.iter();
    observers
        .map(|site| {
            let round = targets::round(&desk.plan, &desk.places, placement, site);
            (site.clone(), round)
        })
        .collect()
}

struct Watch<'a> {
    desk: &'a Desk,
    tell: mpsc::UnboundedSender<WatchNotice>,
    rounds: watch::Sender<Arc<BTreeMap<SiteId, Round>>>,
    placement: Placement,
    detector: DetectState,
}

impl Watch<'_> {
    async fn work(&mut self, found: &mut mpsc::UnboundedReceiver<Probe>) -> Result<(), WatchError> {
        let mut look = tokio::time::interval(PLACEMENT);
        loop {
            tokio::select! {
                probe = found.recv() => {
                    // The observers live as long as this does.
                    let Some(probe) = probe else { return Ok(()) };
                    let (next, verdict) = detect(&self.detector, &probe, clock::now());
                    self.detector = next;
                    if let Some(verdict) = verdict {
                        self.decide(verdict).await?;
                        // What was seen while a move was under way says nothing about what is now.
                        while found.try_recv().is_ok() {}
                    }
                }
                _ = look.tick() => self.follow()?,
            }
        }
    }

    /// Watches what is active now, also after somebody else moved it.
    fn follow(&mut self) -> Result<(), WatchError> {
        let placement = self.desk.state.known()?.placement;
        if placement == self.placement {
            return Ok(());
        }
        let settings =
            targets::settings(&self.desk.plan, &placement).ok_or(WatchError::NoDetect)?;
        self.rounds
            .send_replace(Arc::new(all_rounds(self.desk, &placement, &settings)));
        self.detector = self.detector.clone().watch(settings);
        self.placement = placement;
        self.say_what();
        Ok(())
    }

    /// A verdict becomes a proposal, and a move where that is allowed.
    async fn decide(&mut self, verdict: Verdict) -> Result<(), WatchError> {
        if let Some(mover) = MoverLock::holder(&self.desk.places.lock()) {
            // What is stopped in a move is stopped on purpose. What still fails once it is over is seen again.
            tracing::info!(?verdict, ?mover, "a move is under way: nothing is proposed");
            let settings = self.detector.settings().clone();
            self.detector = self.detector.clone().watch(settings);
            return Ok(());
        }
        self.say(WatchNotice::Verdict(verdict.clone()));
        // First the right to move, so that nothing moves after the look.
        let leave = act::leave(self.desk, &verdict).await;
        let gathered = observe::gather(self.desk).await?;
        let mut proposal = act::proposal(self.desk, &verdict, &gathered);
        let number = self.desk.state.propose(&proposal).await?;
        self.desk.state.keep_detector(&self.detector).await?;
        let acting = match leave {
            Ok(leave) => act::act(self.desk, leave, &proposal, &gathered).await,
            Err(refused) => Err(refused),
        };
        match acting {
            Ok(run) => {
                proposal.state = ProposalState::Acted {
                    run: run.run.clone(),
                };
                self.desk.state.settle(number, &proposal).await?;
                self.follow_run(run, proposal).await;
                self.detector.acted(verdict.site, clock::now());
                self.desk.state.keep_detector(&self.detector).await?;
                self.follow()?;
            }
            Err(Refused::NotAccepted) => self.say(WatchNotice::Proposed(proposal)),
            Err(why) => {
                proposal.state = ProposalState::Refused {
                    why: why.to_string(),
                };
                self.desk.state.settle(number, &proposal).await?;
                self.say(WatchNotice::Proposed(proposal));
            }
        }
        Ok(())
    }

    async fn follow_run(&self, handle: RunHandle, proposal: Proposal) {
        let run = handle.run.clone();
        self.say(WatchNotice::Acting {
            run: run.clone(),
            proposal,
        });
        let outcome = match handle.rest().await {
            Ok(phase) if act::ended_well(phase) => Ok(phase),
            Ok(phase) => {
                tracing::warn!(%run, ?phase, "an automatic move needs a person");
                Ok(phase)
            }
            Err(error) => Err(error.to_string()),
        };
        self.say(WatchNotice::Acted { run, outcome });
    }

    fn say_what(&self) {
        let settings = self.detector.settings();
        self.say(WatchNotice::Watching {
            observers: settings.observers.iter().cloned().collect(),
            sites: settings.sites.keys().cloned().collect(),
        });
    }

    fn say(&self, notice: WatchNotice) {
        // Nobody has to listen.
        let _ = self.tell.send(notice);
    }
}
