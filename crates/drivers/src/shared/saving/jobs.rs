//! Work that takes long and blocks: a thread for each, its progress, its end. A job lives as long as its agent; what it
//! leaves when it dies is never taken for a result.
//! Must not know what the work is.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use mainstay_driver::{ActError, Handle, Order, Progress};
use mainstay_model::{Output, Span};

use super::super::{passing, unknown};

/// When to ask again.
const AGAIN: Span = Span::from_millis(200);

type Outcome = Result<Output, ActError>;

/// The jobs of one site.
#[derive(Debug, Clone, Default)]
pub(crate) struct Jobs(Arc<Mutex<BTreeMap<String, Arc<Job>>>>);

#[derive(Debug)]
struct Job {
    tracker: Tracker,
    outcome: Mutex<Option<Outcome>>,
}

/// How far a job is.
#[derive(Debug)]
pub(crate) struct Tracker {
    began: Instant,
    found: AtomicU64,
    done: AtomicU64,
    stored: AtomicU64,
    phase: Mutex<&'static str>,
}

impl Tracker {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            found: AtomicU64::new(0),
            done: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            phase: Mutex::new(""),
        }
    }

    /// Names what goes on now, for people.
    pub(crate) fn phase(&self, phase: &'static str) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }
}

impl mainstay_backup::Progress for Tracker {
    fn found(&self, _: u64, bytes: u64) {
        self.found.fetch_add(bytes, Ordering::Relaxed);
    }

    fn done(&self, _: u64, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    fn stored(&self, bytes: u64) {
        self.stored.fetch_add(bytes, Ordering::Relaxed);
    }

    fn trouble(&self, path: &Path, why: &str) {
        tracing::warn!(path = %path.display(), why, "not saved or not restored");
    }
}

impl fmt::Display for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = *self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (found, done, stored) = (get(&self.found), get(&self.done), get(&self.stored));
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let rate = done.saturating_mul(1000) / millis.max(1);
        write!(
            f,
            "{phase}: {} of {} MiB, {} MiB/s",
            done >> 20,
            found.max(done) >> 20,
            rate >> 20
        )?;
        if stored > 0 {
            write!(f, ", {} MiB stored", stored >> 20)?;
        }
        match found.saturating_sub(done) / rate.max(1) {
            left @ 1.. if rate > 0 => write!(f, ", {left} s left"),
            _ => Ok(()),
        }
    }
}

impl Jobs {
    /// Starts a job for an order, unless it runs already.
    pub(crate) fn start(
        &self,
        order: &Order,
        work: impl FnOnce(&Tracker) -> Outcome + Send + 'static,
    ) -> Progress {
        let name = order.id.to_string();
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Ended ones that nobody asked about any more.
        if jobs.len() > 64 {
            jobs.retain(|_, job| job.end().is_none());
        }
        if let Some(job) = jobs.get(&name) {
            return job.progress(&name);
        }
        let job = Arc::new(Job {
            tracker: Tracker::new(),
            outcome: Mutex::new(None),
        });
        jobs.insert(name.clone(), Arc::clone(&job));
        drop(jobs);
        let running = Arc::clone(&job);
        std::thread::spawn(move || {
            let work = std::panic::AssertUnwindSafe(|| work(&running.tracker));
            let outcome = std::panic::catch_unwind(work)
                .unwrap_or_else(|_| Err(unknown("driver-fault", "the work broke off")));
            let mut end = running
                .outcome
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *end = Some(outcome);
        });
        job.progress(&name)
    }

    /// How far a job is; its end is told as often as it is asked for.
    pub(crate) fn poll(&self, handle: &Handle) -> Result<Progress, ActError> {
        let jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(job) = jobs.get(&handle.0) else {
            let what =
                "the agent was started again meanwhile; nothing that it left half done counts";
            return Err(ActError::NotDone(passing("job-gone", what)));
        };
        match job.end() {
            Some(outcome) => outcome.map(Progress::Done),
            None => Ok(job.progress(&handle.0)),
        }
    }
}

impl Job {
    fn end(&self) -> Option<Outcome> {
        self.outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn progress(&self, name: &str) -> Progress {
        Progress::Running {
            handle: Handle(name.to_owned()),
            again_in: AGAIN,
            note: Some(self.tracker.to_string()),
        }
    }
}
