//! The log of every store that wants any moment restorable, kept by a thread of its own for as long as the agent lives.
//! Must not know how a log is kept.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use mainstay_driver::Cause;
use mainstay_model::{PlanFile, RepositoryId, Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    super::{instance::Instance, moves::lsn_text},
    bring::sweep_left,
    logs::{Logs, Target},
    store::Store,
};

/// How often it is looked whether something is due.
const STEP: Duration = Duration::from_millis(200);
/// How often what was received is stored although its file is not full, unless the plan file says otherwise.
const EVERY: Span = Span::from_secs(60);
/// How long one who wants everything stored waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Threads that keep logs. They end when this is dropped.
#[derive(Debug, Default)]
pub(in super::super) struct Keeping {
    threads: Vec<(Instance, Arc<Shared>, Option<JoinHandle<()>>)>,
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    /// How often everything was asked to be stored, and how often it was.
    wanted: AtomicU64,
    done: AtomicU64,
}

/// What is known of a stored log, for people and for facts; kept in a file because anybody's driver may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Standing {
    version: u32,
    /// Every write acknowledged before this is stored.
    pub(in super::super) taken: Timestamp,
    pub(in super::super) lsn: String,
    /// What went wrong last, if it still does.
    pub(in super::super) trouble: Option<String>,
    /// The server had removed log before it was received: from there on a new base backup is needed.
    pub(in super::super) lost: Option<String>,
}

impl Drop for Keeping {
    fn drop(&mut self) {
        for (_, shared, _) in &self.threads {
            shared.over.store(true, Ordering::SeqCst);
        }
        for (_, _, thread) in &mut self.threads {
            let _ = thread.take().map(JoinHandle::join);
        }
    }
}

impl Keeping {
    /// Starts a thread for each of these stores whose backups want any moment restorable.
    pub(in super::super) fn start<'a>(
        plan: &PlanFile,
        instances: impl Iterator<Item = &'a Instance>,
    ) -> Self {
        let threads = instances.filter_map(|instance| {
            if let Err(cause) = sweep_left(instance) {
                tracing::warn!(store = %instance.name, %cause, "what a scratch server left stays");
            }
            let targets = targets(plan, instance);
            (!targets.is_empty()).then(|| {
                let store = Store {
                    instance: instance.clone(),
                    system: plan.system.clone(),
                };
                let every = instance.options.log_every.unwrap_or(EVERY);
                let logs = Logs::new(store, Duration::from_micros(every.0), targets);
                let shared = Arc::new(Shared::default());
                let (own, name) = (Arc::clone(&shared), instance.clone());
                let thread = std::thread::spawn(move || keep(logs, &name, &own));
                (instance.clone(), shared, Some(thread))
            })
        });
        Self {
            threads: threads.collect(),
        }
    }
}

fn targets(plan: &PlanFile, instance: &Instance) -> Vec<(Target, Span)> {
    let backups = plan.stores.get(&instance.name).map(|store| &store.backup);
    // Several entries may keep their log in one repository: the longest time counts.
    let mut wanted: BTreeMap<&RepositoryId, Span> = BTreeMap::new();
    for backup in backups.into_iter().flatten() {
        if let Some(pitr) = backup.pitr {
            let known = wanted.entry(&backup.to).or_insert(pitr);
            *known = pitr.max(*known);
        }
    }
    let declared = wanted.into_iter().filter_map(|(name, pitr)| {
        let declared = Box::new(plan.repositories.get(name)?.clone());
        Some((Target::Declared(name.clone(), declared), pitr))
    });
    declared.collect()
}

fn keep(mut logs: Logs, instance: &Instance, shared: &Shared) {
    let mut last = None;
    while !shared.over.load(Ordering::SeqCst) {
        let wanted = shared.wanted.load(Ordering::SeqCst);
        let mut done = logs.step();
        if done.is_ok() && wanted != shared.done.load(Ordering::SeqCst) {
            done = logs.flush();
            shared.done.store(wanted, Ordering::SeqCst);
        }
        let standing = standing(&logs, done.as_ref().err());
        if last.as_ref() != Some(&standing) {
            if let Some(trouble) = &standing.trouble {
                tracing::warn!(store = %instance.name, trouble, "the log is not kept");
            }
            write(instance, &standing);
            last = Some(standing);
        }
        std::thread::sleep(STEP);
    }
}

fn standing(logs: &Logs, trouble: Option<&Cause>) -> Standing {
    let reach = logs.reach();
    Standing {
        version: 1,
        taken: reach.taken,
        lsn: lsn_text(reach.lsn),
        trouble: trouble.map(|cause| cause.what.clone()),
        lost: logs.lost.clone(),
    }
}

fn file(instance: &Instance) -> PathBuf {
    instance.state("log.json")
}

fn write(instance: &Instance, standing: &Standing) {
    let text = serde_json::to_vec_pretty(standing).unwrap_or_default();
    let new = instance.state("log.json.new");
    // It is told, not relied on.
    let written = fs::create_dir_all(instance.state(""))
        .and_then(|()| fs::write(&new, text))
        .and_then(|()| fs::rename(&new, file(instance)));
    if let Err(error) = written {
        tracing::warn!(%error, "how far the stored log goes cannot be noted");
    }
}

impl Standing {
    /// What was noted last.
    pub(in super::super) fn of(instance: &Instance) -> Option<Self> {
        serde_json::from_slice(&fs::read(file(instance)).ok()?).ok()
    }
}

/// Asks whoever keeps a store's log to store all of it now, and waits.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Hurry(Vec<(String, Arc<Shared>)>);

impl Keeping {
    /// For those who want everything stored before they begin.
    pub(in super::super) fn hurry(&self) -> Hurry {
        let all = self.threads.iter();
        Hurry(
            all.map(|(instance, shared, _)| (instance.name.to_string(), Arc::clone(shared)))
                .collect(),
        )
    }
}

impl Hurry {
    /// Waits until everything that was received is stored, or gives up: then less can be restored.
    pub(super) fn now(&self, store: &Store) {
        let name = store.instance.name.to_string();
        let Some((_, shared)) = self.0.iter().find(|(one, _)| *one == name) else {
            return;
        };
        let wanted = shared.wanted.fetch_add(1, Ordering::SeqCst) + 1;
        let deadline = Instant::now() + PATIENCE;
        while shared.done.load(Ordering::SeqCst) < wanted && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
