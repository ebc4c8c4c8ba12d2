//! Work beside any run: backups, proofs of restore points, restores into folders. Nobody's promise hangs on its
//! outcome, so no journal keeps it: what an agent left half done when it died counts for nothing and is done again.
//! Must not know how any of it is done, nor when a backup is due.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use mainstay_driver::{ActError, Cause, Driver, Order, Progress};
use mainstay_model::{
    Action, ComponentId, Direction, EffectId, ExecutorEpoch, Op, Output, RepositoryId, RunId,
    Saved, StepId, Timestamp,
};
use tokio::sync::watch;

use super::site::Site;
use crate::{
    clock,
    wire::{BackupReport, WorkReport, WorkState},
};

/// So many reports of ended work are kept.
const KEPT: usize = 64;

/// What one agent works on beside its orders.
pub(super) struct Works {
    site: Arc<Site>,
    next: AtomicU32,
    all: Mutex<BTreeMap<String, watch::Receiver<WorkReport>>>,
}

impl Works {
    pub(super) fn new(site: Arc<Site>) -> Arc<Self> {
        Arc::new(Self {
            site,
            next: AtomicU32::new(0),
            all: Mutex::default(),
        })
    }

    /// Starts it, unless the same is being done already: then that is what is told of.
    pub(super) fn start(self: &Arc<Self>, action: Action) -> Result<WorkReport, String> {
        if !matches!(
            action.op,
            Op::Backup { .. } | Op::Prove { .. } | Op::Validate { .. } | Op::Extract { .. }
        ) {
            return Err(format!("{:?} is done by a run only", action.op));
        }
        if action.site != self.site.name {
            return Err(format!(
                "this is the agent of {}, the work is for {}",
                self.site.name, action.site
            ));
        }
        let driver = self.site.drivers.get(action.driver.as_str()).cloned();
        let driver = driver.ok_or_else(|| format!("this agent knows no kind {}", action.driver))?;
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let same = all.values().map(|report| report.borrow().clone());
        let mut same = same.filter(|report| report.action == action);
        if let Some(running) = same.find(|report| report.ended.is_none()) {
            return Ok(running);
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let report = WorkReport {
            id: format!("{}-{number}", self.site.started.0),
            action,
            started: clock::now(),
            ended: None,
            state: WorkState::Running { note: None },
        };
        let (told, heard) = watch::channel(report.clone());
        forget(&mut all);
        all.insert(report.id.clone(), heard);
        drop(all);
        let works = Arc::clone(self);
        let begun = report.clone();
        tokio::spawn(async move { works.run(driver.as_ref(), begun, number, &told).await });
        Ok(report)
    }

    /// How far it is.
    pub(super) fn report(&self, id: &str) -> Option<WorkReport> {
        self.heard(id).map(|heard| heard.borrow().clone())
    }

    /// All that is being done, and the last of what is over.
    pub(super) fn reports(&self) -> Vec<WorkReport> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reports: Vec<WorkReport> =
            all.values().map(|heard| heard.borrow().clone()).collect();
        reports.sort_by_key(|report| report.started);
        reports
    }

    /// Waits for its end.
    pub(super) async fn ended(&self, id: &str) -> Option<WorkReport> {
        let mut heard = self.heard(id)?;
        let ended = heard.wait_for(|report| report.ended.is_some()).await;
        ended.ok().map(|report| report.clone())
    }

    fn heard(&self, id: &str) -> Option<watch::Receiver<WorkReport>> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(id).cloned()
    }

    async fn run(
        &self,
        driver: &dyn Driver,
        mut report: WorkReport,
        number: u32,
        told: &watch::Sender<WorkReport>,
    ) {
        let order = Order {
            id: EffectId {
                run: beside_runs(),
                step: StepId(0),
                direction: Direction::Forward,
                attempt: number,
                executor: ExecutorEpoch(0),
            },
            action: report.action.clone(),
            fence: None,
            inputs: Vec::new(),
        };
        let mut progress = driver.act(&order).await;
        let outcome = loop {
            match progress {
                Ok(Progress::Done(output)) => break Ok(output),
                Ok(Progress::Running {
                    handle,
                    again_in,
                    note,
                }) => {
                    report.state = WorkState::Running { note };
                    told.send_replace(report.clone());
                    tokio::time::sleep(again_in.duration()).await;
                    progress = driver.poll(&order, &handle).await;
                }
                Err(error) => break Err(cause(error)),
            }
        };
        self.remember(&report, &outcome).await;
        report.ended = Some(clock::now());
        report.state = match outcome {
            Ok(output) => WorkState::Done(output),
            Err(cause) => WorkState::Failed(cause),
        };
        told.send_replace(report);
    }

    /// A backup's end is kept, so that the next one is due at the right time also after a restart.
    async fn remember(&self, report: &WorkReport, outcome: &Result<Output, Cause>) {
        let Op::Backup { to } = &report.action.op else {
            return;
        };
        let Some(store) = report.action.subject.component() else {
            return;
        };
        let mut kept = self.site.ledger.backup(store, to).unwrap_or_default();
        kept.add(report.started, outcome);
        if let Err(error) = self.site.ledger.set_backup(store, to, &kept).await {
            tracing::warn!(%store, %error, "the end of a backup was not recorded: it is done again");
        }
    }
}

impl BackupReport {
    fn add(&mut self, started: Timestamp, outcome: &Result<Output, Cause>) {
        self.last_tried = Some(started);
        match outcome {
            Ok(output) => {
                self.last_ok = Some(started);
                self.last = Saved::of(output);
                self.last_error = None;
            }
            Err(cause) => self.last_error = Some(cause.what.clone()),
        }
    }
}

fn cause(error: ActError) -> Cause {
    match error {
        ActError::NotDone(cause) | ActError::Unknown(cause) => cause,
        ActError::StaleEpoch(_) => Cause::lasting("stale-epoch", error.to_string()),
    }
}

/// Keeps the newest of what is over.
fn forget(all: &mut BTreeMap<String, watch::Receiver<WorkReport>>) {
    let over = |heard: &watch::Receiver<WorkReport>| heard.borrow().ended;
    let mut ended: Vec<(Timestamp, String)> = all
        .iter()
        .filter_map(|(id, heard)| Some((over(heard)?, id.clone())))
        .collect();
    ended.sort();
    let surplus = ended.len().saturating_sub(KEPT);
    for (_, id) in ended.drain(..surplus) {
        all.remove(&id);
    }
}

/// The name under which an agent works for no run.
fn beside_runs() -> RunId {
    match RunId::new("work") {
        Ok(run) => run,
        Err(_) => unreachable!("a constant name that the rules allow"),
    }
}

/// A backup of a store, as an action.
pub(super) fn backup_of(site: &Site, store: &ComponentId, to: &RepositoryId) -> Option<Action> {
    let declared = site.plan.declared(store)?;
    Some(Action {
        driver: declared.kind.clone(),
        subject: mainstay_model::Subject::Component(store.clone()),
        site: site.name.clone(),
        op: Op::Backup { to: to.clone() },
    })
}
