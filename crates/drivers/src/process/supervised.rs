//! One component under supervision: what should run is started again when it ends, with growing pauses, and never
//! while the site is quarantined.
//! Must not know why something should run.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use mainstay_model::{Declared, Span, WorkloadRole};
use tokio::sync::{Mutex, MutexGuard};

use super::{
    options::ProcessAt,
    record::{Desired, Record, Work},
};
use crate::shared::{Home, Locked};

/// How often a process that ended is noticed.
const LOOK: Duration = Duration::from_millis(50);
/// The pause before the first restart, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// An instance that ran so long starts over with the shortest pause.
const STEADY: Duration = Duration::from_secs(60);

/// A declared `process` component at this site.
pub(super) struct Supervised {
    pub(super) home: Home,
    pub(super) declared: Declared,
    pub(super) at: ProcessAt,
    pub(super) role: WorkloadRole,
    pub(super) grace: Option<Span>,
    /// Its records and logs.
    pub(super) folder: PathBuf,
    turn: Mutex<Turn>,
}

/// Whoever has the turn changes what runs; one at a time, in one process at a time.
#[derive(Default)]
pub(super) struct Turn {
    lock: Option<Locked>,
    restarts: BTreeMap<usize, Restart>,
}

/// When an instance may be started again.
#[derive(Debug, Clone, Copy)]
struct Restart {
    pause: Duration,
    not_before: Instant,
    started: Instant,
}

impl Supervised {
    pub(super) fn new(
        home: Home,
        declared: Declared,
        at: ProcessAt,
        role: WorkloadRole,
        grace: Option<Span>,
    ) -> Arc<Self> {
        let folder = home.state_of("process", &declared.name);
        Arc::new(Self {
            home,
            declared,
            at,
            role,
            grace,
            folder,
            turn: Mutex::default(),
        })
    }

    /// The log of an instance.
    pub(super) fn log(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{number}.log"))
    }

    /// Waits for the turn. None if another process supervises this component.
    pub(super) async fn turn(&self) -> std::io::Result<Option<MutexGuard<'_, Turn>>> {
        let mut turn = self.turn.lock().await;
        if turn.lock.is_none() {
            turn.lock = Locked::attempt(&self.folder.join("lock"))?;
        }
        Ok(turn.lock.is_some().then_some(turn))
    }

    /// Starts to watch, in the background, for as long as anybody holds the component.
    pub(super) fn watch(this: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let weak = Arc::downgrade(this);
        runtime.spawn(watch(weak));
    }

    /// What died before or in a quarantine is not wanted any more: once the quarantine is over, another site may be
    /// active, and what was wanted here before would run beside it (I1).
    fn forget(&self, mut record: Record) {
        if self.missing(&record).len() < self.at.instances().len() {
            return;
        }
        record.desired = Desired::Stopped;
        if record.work == Work::Released {
            record.work = Work::Held;
        }
        if let Err(error) = record.write(&self.folder) {
            tracing::warn!(component = %self.declared.name, %error, "cannot record that nothing should run");
        }
    }

    /// Starts again what should run and does not.
    async fn mend(&self) {
        let Ok(Some(mut turn)) = self.turn().await else {
            return;
        };
        let Ok(mut record) = Record::read(&self.folder) else {
            return;
        };
        if record.desired == Desired::Stopped {
            return;
        }
        if self.home.place.quarantine.active() {
            self.forget(record);
            return;
        }
        let mut mended = Vec::new();
        for number in self.missing(&record) {
            let now = Instant::now();
            if !turn.may_restart(number, now) {
                continue;
            }
            turn.note_restart(number, now);
            match self.start_one(&mut record, number).await {
                Ok(()) => mended.push(number),
                Err(cause) => {
                    tracing::warn!(component = %self.declared.name, number, %cause, "not restarted");
                }
            }
        }
        if !mended.is_empty() {
            tracing::info!(component = %self.declared.name, ?mended, "restarted");
            self.restore_work(&record).await;
        }
    }
}

impl Turn {
    /// An instance may start again once its pause is over. The first time there is none.
    fn may_restart(&mut self, number: usize, now: Instant) -> bool {
        match self.restarts.get_mut(&number) {
            None => true,
            Some(restart) => {
                if now.duration_since(restart.started) > STEADY {
                    *restart = Restart {
                        pause: PAUSES.0,
                        not_before: now,
                        started: restart.started,
                    };
                }
                now >= restart.not_before
            }
        }
    }

    fn note_restart(&mut self, number: usize, now: Instant) {
        let pause = match self.restarts.get(&number) {
            None => PAUSES.0,
            Some(restart) => (restart.pause * 2).min(PAUSES.1),
        };
        let not_before = now + pause;
        self.restarts.insert(
            number,
            Restart {
                pause,
                not_before,
                started: now,
            },
        );
    }

    /// Somebody asked: what went before does not count any more.
    pub(super) fn forget_restarts(&mut self) {
        self.restarts.clear();
    }
}

async fn watch(component: Weak<Supervised>) {
    loop {
        match component.upgrade() {
            Some(component) => component.mend().await,
            None => return,
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_forgotten_after_a_steady_time() {
        let (mut turn, mut now) = (Turn::default(), Instant::now());
        assert!(turn.may_restart(0, now));
        for pause in [100, 200, 400, 800] {
            turn.note_restart(0, now);
            assert!(!turn.may_restart(0, now + Duration::from_millis(pause - 1)));
            now += Duration::from_millis(pause);
            assert!(turn.may_restart(0, now));
        }
        for _ in 0..20 {
            turn.note_restart(0, now);
        }
        assert!(turn.may_restart(0, now + PAUSES.1));
        now += STEADY * 2;
        assert!(turn.may_restart(0, now));
        turn.note_restart(0, now);
        assert!(
            turn.may_restart(0, now + PAUSES.0 * 2),
            "the pause started over"
        );
    }
}
