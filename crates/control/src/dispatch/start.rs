//! Starts runs and resumes them: the one entry for everyone who moves something.
//! Must not know how a run is executed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mainstay_driver::Driver;
use mainstay_engine::{Approval, Created, Event, Illegal, Limits, Run, RunPhase, unfinished};
use mainstay_model::{
    Body, Idempotence, Kinds, Necessity, PersonId, PlanFile, RunId, Runbook, SiteId, StepId,
};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    Attention, DispatchError, Hands, Notice, Signals,
    queue::{Asked, Dispatcher},
};
use crate::{
    clock,
    desk::Desk,
    lock::MoverLock,
    state::{NewRun, State, StateError},
};

/// How many notices a slow listener may be behind.
const NOTICES: usize = 8192;
/// How long an agent has to say that it is there.
const HELLO: Duration = Duration::from_secs(3);

/// A move that was planned and is to be carried out.
#[derive(Debug, Clone)]
pub struct NewMove {
    /// The runbook, proven safe by the planner.
    pub runbook: Arc<Runbook>,
    /// Who asked.
    pub by: PersonId,
    /// The run that this one continues.
    pub parent: Option<RunId>,
    /// Whether a second person must approve first.
    pub approval: Approval,
}

/// How a run is executed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// What happens when only a person can move it on.
    pub attention: Attention,
    /// Who minds Ctrl-C.
    pub signals: Signals,
    /// Bounds; they are part of a new run's journal.
    pub limits: Limits,
}

/// A run that is being executed by this process.
#[derive(Debug)]
pub struct RunHandle {
    /// Its name.
    pub run: RunId,
    /// What happens, from the beginning.
    pub notices: broadcast::Receiver<Notice>,
    asked: mpsc::UnboundedSender<Asked>,
    task: JoinHandle<Result<RunPhase, DispatchError>>,
}

impl RunHandle {
    /// Asks something of the run.
    pub async fn ask(&self, event: Event) -> Result<(), DispatchError> {
        let (reply, answer) = oneshot::channel();
        let gone = || DispatchError::Stopped(self.run.clone());
        self.asked
            .send(Asked { event, reply })
            .map_err(|_| gone())?;
        let answer = answer.await.map_err(|_| gone())?;
        answer.map_err(|why| illegal(&self.run, why))
    }

    /// Waits until nothing moves any more.
    pub async fn rest(self) -> Result<RunPhase, DispatchError> {
        let run = self.run;
        self.task.await.unwrap_or(Err(DispatchError::Stopped(run)))
    }
}

fn illegal(run: &RunId, why: Illegal) -> DispatchError {
    DispatchError::Illegal {
        run: run.clone(),
        why,
    }
}

/// Starts a run of a runbook. Every required agent must answer and know the same plan file, and no earlier run may
/// be unfinished: resumed later, it would act on epochs that have passed.
pub async fn start(
    desk: &Desk,
    lock: MoverLock,
    new: NewMove,
    options: Options,
) -> Result<RunHandle, DispatchError> {
    let runs = desk.state.runs()?.into_iter();
    if let Some(left) = unfinished(runs.map(|row| (row.run, row.phase))) {
        return Err(DispatchError::Unfinished(left));
    }
    greet(desk, &new.runbook).await?;
    let once = once(&desk.plan, &desk.kinds, &new.runbook);
    let hands = hands(desk, &lock);
    start_with(
        Arc::clone(&desk.state),
        hands,
        Some(lock),
        new,
        once,
        options,
    )
    .await
}

/// The same with given hands: for measuring and tests.
pub async fn start_with(
    state: Arc<State>,
    hands: Hands,
    mut lock: Option<MoverLock>,
    new: NewMove,
    once: Vec<StepId>,
    options: Options,
) -> Result<RunHandle, DispatchError> {
    let id = state.new_run_id()?;
    let hash = new
        .runbook
        .hash()
        .map_err(|error| StateError::NotStorable {
            what: "the runbook".to_owned(),
            why: error.to_string(),
        })?;
    let executor = match &mut lock {
        Some(lock) => {
            lock.executes(&id)?;
            lock.executor()
        }
        None => state.next_executor().await?,
    };
    let created = Created {
        run: id.clone(),
        parent: new.parent.clone(),
        runbook: hash.clone(),
        by: new.by.clone(),
        executor,
        approval: new.approval,
        limits: options.limits,
        once,
    };
    let mut run = Run::create(Arc::clone(&new.runbook), created, clock::now())?;
    let stored = NewRun {
        run: id.clone(),
        parent: new.parent,
        by: new.by.clone(),
        runbook: new.runbook,
        hash,
    };
    let entries = run.take_entries();
    let last = entries.last().map(|entry| entry.seq).unwrap_or_default();
    state.create_run(stored, entries).await?;
    run.durable(last);
    Ok(spawn(id, run, state, hands, lock, new.by, options))
}

/// Carries on with a run that an earlier process left, after these events of a person. The journal is replayed
/// through the same function that wrote it.
pub async fn resume(
    desk: &Desk,
    lock: MoverLock,
    run: &RunId,
    by: &PersonId,
    first: Vec<Event>,
    options: Options,
) -> Result<RunHandle, DispatchError> {
    let hands = hands(desk, &lock);
    let state = Arc::clone(&desk.state);
    resume_with(state, hands, Some(lock), run, by, first, options).await
}

/// The same with given hands.
pub async fn resume_with(
    state: Arc<State>,
    hands: Hands,
    mut lock: Option<MoverLock>,
    id: &RunId,
    by: &PersonId,
    first: Vec<Event>,
    options: Options,
) -> Result<RunHandle, DispatchError> {
    let mut run = state.replay(id)?;
    let executor = match &mut lock {
        Some(lock) => {
            lock.executes(id)?;
            lock.executor()
        }
        None => state.next_executor().await?,
    };
    for event in first {
        run.handle(&event, clock::now())
            .map_err(|why| illegal(id, why))?;
    }
    if !run.phase().is_over() {
        let resumed = Event::Resumed {
            executor,
            by: by.clone(),
        };
        run.handle(&resumed, clock::now())
            .map_err(|why| illegal(id, why))?;
        if run.phase() == RunPhase::Paused {
            let unpaused = Event::Unpaused { by: by.clone() };
            run.handle(&unpaused, clock::now())
                .map_err(|why| illegal(id, why))?;
        }
    }
    Ok(spawn(
        id.clone(),
        run,
        state,
        hands,
        lock,
        by.clone(),
        options,
    ))
}

fn spawn(
    id: RunId,
    run: Run,
    state: Arc<State>,
    hands: Hands,
    lock: Option<MoverLock>,
    by: PersonId,
    options: Options,
) -> RunHandle {
    let (notices, heard) = broadcast::channel(NOTICES);
    let (asked, asking) = mpsc::unbounded_channel();
    let dispatcher = Dispatcher {
        id: id.clone(),
        run,
        state,
        hands,
        notices,
        asked: asking,
        attention: options.attention,
        signals: options.signals,
        by,
        lock,
    };
    RunHandle {
        run: id,
        notices: heard,
        asked,
        task: tokio::spawn(dispatcher.run()),
    }
}

fn hands(desk: &Desk, lock: &MoverLock) -> Hands {
    let remotes = desk.remotes(Some(lock.executor())).into_iter();
    let sites: BTreeMap<SiteId, Arc<dyn Driver>> = remotes
        .map(|(site, remote)| (site, Arc::new(remote) as Arc<dyn Driver>))
        .collect();
    Hands::new(desk.kinds.clone(), sites)
}

/// The agents of all sites at which something required is to be done.
async fn greet(desk: &Desk, runbook: &Runbook) -> Result<(), DispatchError> {
    let required = runbook
        .steps
        .iter()
        .filter(|step| step.necessity == Necessity::Required && matches!(step.body, Body::Act(_)));
    let mut sites: Vec<&SiteId> = required.map(|step| &step.at).collect();
    sites.sort();
    sites.dedup();
    for site in sites {
        let Some(agent) = desk.agent(site) else {
            continue;
        };
        let status = agent.within(HELLO).status().await;
        let status = status.map_err(|error| DispatchError::NoAgent {
            site: site.clone(),
            why: error.to_string(),
        })?;
        if status.plan_hash != desk.plan.hash {
            return Err(DispatchError::OtherPlan { site: site.clone() });
        }
    }
    Ok(())
}

/// Steps whose action must not happen twice, by their kinds' promise.
fn once(plan: &PlanFile, kinds: &Kinds, runbook: &Runbook) -> Vec<StepId> {
    let steps = runbook.steps.iter().filter(|step| {
        let Body::Act(action) = &step.body else {
            return false;
        };
        let declared = action.subject.component();
        let declared = declared.and_then(|name| plan.declared(name));
        match (kinds.get(action.driver.as_str()), declared) {
            (Some(kind), Some(declared)) => kind.traits(declared).idempotence == Idempotence::Once,
            _ => false,
        }
    });
    steps.map(|step| step.id).collect()
}
