//! A system on the operator's desk: what is observed of it, the move that is asked for, and its execution under the lock.
//! Must not know how anything is printed beyond handing it to `show` and `progress`.

use std::{collections::BTreeMap, sync::Arc};

use mainstay_control::{
    Desk,
    dispatch::{self, NewMove, Options},
    lock::MoverLock,
    observe::{self, Gathered},
    state::{ProposalState, RunRow},
};
use mainstay_engine::{Approval, Event};
use mainstay_model::{
    ComponentId, EpochPlan, MoveMode, Phase, RunId, Runbook, Scenario, SiteId, Span,
};
use mainstay_planner::{Code, Divergence, Past, Planned, Refusals, Request, Target};

use crate::{
    args::Global,
    context::{self, Context},
    error::{Exit, Failure},
    output::{Output, Tone},
    progress::{self, Clock, Followed},
    show,
    verbs::plan::Which,
};

/// How long an acceptance that was given on the command line is good.
const ACCEPTED_FOR: Span = Span::from_secs(3600);

/// A move as it was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MoveSpec<'a> {
    pub(crate) which: Which,
    pub(crate) to: Option<&'a str>,
    pub(crate) only: Option<&'a str>,
    pub(crate) accept_loss: Option<Span>,
    pub(crate) discard: Option<&'a str>,
    /// For a restore: the states that stores go back to.
    pub(crate) past: Option<&'a BTreeMap<ComponentId, Past>>,
}

impl<'a> MoveSpec<'a> {
    /// A move of everything.
    pub(crate) fn new(which: Which, to: Option<&'a str>) -> Self {
        Self {
            which,
            to,
            only: None,
            accept_loss: None,
            discard: None,
            past: None,
        }
    }
}

/// A system, ready to be looked at and moved.
pub(crate) struct Session {
    context: Context,
    pub(crate) desk: Desk,
}

impl Session {
    /// Reads the plan file and opens the state.
    pub(crate) fn open(global: &Global, out: &Output) -> Result<Self, Failure> {
        let context = Context::load(global, out)?;
        let kinds = mainstay_drivers::kinds();
        let desk = Desk::open((*context.plan).clone(), &context.base, kinds)
            .map_err(|error| Failure::new(error.code(), error))?;
        Ok(Self { context, desk })
    }

    /// Looks at the world.
    pub(crate) async fn observe(&self) -> Result<Gathered, Failure> {
        observe::gather(&self.desk)
            .await
            .map_err(|error| Failure::new(error.code(), error))
    }

    fn request(&self, spec: &MoveSpec<'_>) -> Result<Request, Failure> {
        if let Some(past) = spec.past {
            return Ok(Request::restore(past.clone()));
        }
        let to = spec.to.map(|site| self.context.site(site)).transpose()?;
        let only = spec
            .only
            .map(|name| self.context.component(name))
            .transpose()?;
        let mode = match spec.which {
            Which::Switchover | Which::Failback => MoveMode::Switchover,
            Which::Failover => MoveMode::Failover,
            Which::Reprotect => MoveMode::Reprotect,
            Which::Restore => MoveMode::Restore,
        };
        let target = match (to, only) {
            (Some(to), Some(component)) => Target::Only { component, to },
            (Some(to), None) => Target::To(to),
            (None, Some(component)) => Target::Placement(self.home(&component)?),
            (None, None) => Target::Home,
        };
        let divergence = spec
            .discard
            .map_or(Divergence::Salvage, |hash| Divergence::Discard {
                hash: hash.to_owned(),
            });
        Ok(Request {
            divergence,
            ..Request::new(mode, target)
        })
    }

    /// Where the plan file places one component.
    fn home(
        &self,
        name: &mainstay_model::ComponentId,
    ) -> Result<mainstay_planner::Placement, Failure> {
        let weights = self.context.plan.placement.get(name).cloned();
        let weights = weights.ok_or_else(|| {
            Failure::usage("MS0006", format!("{name} has no place in the plan file"))
        })?;
        Ok([(name.clone(), weights)].into())
    }

    /// Computes the move from what is observed; a forced one with the acceptance that was given.
    pub(crate) async fn plan(&self, spec: &MoveSpec<'_>) -> Result<Planned, Failure> {
        let observed = self.observe().await?.observed;
        let mut request = self.request(spec)?;
        let compute = |request: &Request| {
            mainstay_planner::plan(&self.context.plan, &self.context.kinds, &observed, request)
        };
        let mut planned = compute(&request);
        if let (Err(refusals), Some(limit)) = (&planned, spec.accept_loss)
            && let Some(loss) = &refusals.loss
        {
            let until = observed.now + ACCEPTED_FOR;
            request.acceptance = Some(mainstay_planner::accept(
                loss,
                limit,
                context::person(),
                until,
            ));
            planned = compute(&request);
        }
        planned.map_err(|refusals| refused(spec.which, &refusals))
    }

    /// Computes the move to look at: a forced one as if its loss were accepted.
    pub(crate) async fn plan_to_show(&self, spec: &MoveSpec<'_>) -> Result<Planned, Failure> {
        let accepting = MoveSpec {
            accept_loss: Some(spec.accept_loss.unwrap_or(Span::MAX)),
            ..*spec
        };
        self.plan(&accepting).await
    }

    /// Takes the right to move.
    pub(crate) async fn lock(&self) -> Result<MoverLock, Failure> {
        self.desk.lock().await.map_err(|error| {
            Failure::refused(error.code(), &error)
                .next("`mainstay run list` shows what is under way")
        })
    }

    /// The run that an earlier process left unfinished, if any.
    pub(crate) fn unfinished(&self) -> Result<Option<RunRow>, Failure> {
        let runs = self
            .desk
            .state
            .runs()
            .map_err(|error| Failure::new(error.code(), error))?;
        Ok(runs.into_iter().find(|row| !row.phase.is_over()))
    }

    /// Plans once more under the lock, and carries that out. What was shown must still be what is done.
    pub(crate) async fn execute(
        &self,
        spec: &MoveSpec<'_>,
        shown: &Planned,
        out: &Output,
    ) -> Result<Exit, Failure> {
        let lock = self.lock().await?;
        let planned = self.plan(spec).await?;
        if outline(&planned) != outline(shown) {
            return Err(Failure::refused(
                "MS0013",
                "the world changed while the plan was on the screen",
            )
            .next("look at the plan again, and repeat the command"));
        }
        let new = NewMove {
            runbook: Arc::new(planned.runbook.clone()),
            by: context::person(),
            parent: None,
            approval: Approval::NotNeeded,
        };
        let handle = dispatch::start(&self.desk, lock, new, Options::default())
            .await
            .map_err(|error| Failure::new(error.code(), error))?;
        let time = self.clock(&handle.run, &planned.runbook)?;
        let followed = Followed {
            runbook: &planned.runbook,
            time,
            past: None,
        };
        progress::follow(handle, &followed, out).await
    }

    /// Carries on with a run.
    pub(crate) async fn resume(&self, run: &RunId, out: &Output) -> Result<Exit, Failure> {
        let lock = self.lock().await?;
        self.resume_with(lock, run, Vec::new(), out).await
    }

    /// Carries on with a run, after these events of a person.
    pub(crate) async fn resume_with(
        &self,
        lock: MoverLock,
        run: &RunId,
        first: Vec<Event>,
        out: &Output,
    ) -> Result<Exit, Failure> {
        let past = self
            .desk
            .state
            .replay(run)
            .map_err(|error| Failure::new(error.code(), error))?;
        let handle = dispatch::resume(
            &self.desk,
            lock,
            run,
            &context::person(),
            first,
            Options::default(),
        )
        .await
        .map_err(|error| Failure::new(error.code(), error))?;
        out.progress(out.paint(Tone::Strong, &format!("carrying on with run {run}")));
        let time = self.clock(run, past.runbook())?;
        let followed = Followed {
            runbook: past.runbook(),
            time,
            past: Some(&past),
        };
        progress::follow(handle, &followed, out).await
    }

    /// When a run was made, and the strictest RTO of what it moves.
    pub(crate) fn clock(&self, run: &RunId, runbook: &Runbook) -> Result<Clock, Failure> {
        let row = self.desk.state.run(run);
        let row = row.map_err(|error| Failure::new(error.code(), error))?;
        let forecast = mainstay_planner::forecast(&self.context.plan, runbook, 0);
        Ok(Clock {
            began: row.created,
            objective: forecast.rto_objective,
        })
    }

    /// Moves that the watch proposes and no run has answered since: what was seen, and the command.
    pub(crate) fn open_proposals(&self) -> Result<Vec<(String, String)>, Failure> {
        let failed = |error: mainstay_control::state::StateError| Failure::new(error.code(), error);
        let runs = self.desk.state.runs().map_err(failed)?;
        let newest = runs.iter().map(|row| row.updated).max();
        let proposals = self.desk.state.proposals().map_err(failed)?.into_iter();
        let open = proposals.filter(|proposal| {
            proposal.state == ProposalState::Open
                && newest.is_none_or(|updated| proposal.at > updated)
        });
        let told = open.map(|proposal| {
            let what = format!(
                "the watch saw {} at {} at {}, by {} observers",
                scenario(proposal.scenario),
                proposal.site,
                proposal.at,
                proposal.evidence.len()
            );
            (what, proposal.command)
        });
        Ok(told.take(3).collect())
    }

    /// The plan file.
    pub(crate) fn plan_file(&self) -> &mainstay_model::PlanFile {
        &self.context.plan
    }

    /// The context.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}

/// What a person agreed to: without what only time changes.
#[derive(PartialEq, Eq)]
struct Outline<'a> {
    /// Whoever moved a store meanwhile gave it another epoch.
    epochs: &'a BTreeMap<ComponentId, EpochPlan>,
    steps: Vec<(Phase, String, &'a SiteId)>,
}

fn outline(planned: &Planned) -> Outline<'_> {
    let steps = planned.runbook.steps.iter();
    Outline {
        epochs: &planned.runbook.epochs,
        steps: steps
            .map(|step| (step.phase, step.title(), &step.at))
            .collect(),
    }
}

fn refused(which: Which, refusals: &Refusals) -> Failure {
    let what = match which {
        Which::Switchover => "the switchover",
        Which::Failover => "the failover",
        Which::Failback => "the failback",
        Which::Reprotect => "the reprotect",
        Which::Restore => "the restore in place",
    };
    let nothing = refusals
        .list
        .iter()
        .all(|refusal| refusal.code == Code::NothingToMove);
    let failure = show::refused(what, refusals);
    if which == Which::Failback && nothing {
        return Failure {
            code: "MS0011".to_owned(),
            ..failure
        };
    }
    failure
}

/// The scenario in words.
pub(crate) fn scenario(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::SiteLost => "site lost",
        Scenario::ApplicationDown => "application down",
        Scenario::DatabaseDown => "database down",
        Scenario::StorageDown => "storage down",
    }
}
