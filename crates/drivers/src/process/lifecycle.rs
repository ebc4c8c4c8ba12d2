//! Starts, stops and restarts the instances of a component on request.
//! Must not know who asks.

use std::time::{Duration, Instant};

use mainstay_driver::{ActError, Cause, Order};
use mainstay_model::{Output, Skew, Span};
use rustix::process::Signal;

use super::{
    identity::{Living, fresh_mark, members},
    options::StopSignal,
    record::{Desired, Record, Started, Work},
    spawn::{Launch, last_words, launch},
    supervised::Supervised,
};
use crate::shared::{check, hindered, passing, reconcile, refused, unknown};

/// How often readiness is asked for.
const POLL: Duration = Duration::from_millis(20);
const READY_WITHIN: Span = Span::from_secs(30);
const GRACE: Span = Span::from_secs(10);
/// How long the kernel may take to end a killed process.
const DEATH: Duration = Duration::from_secs(10);
/// How often it is looked whether a process has ended.
const DEATH_POLL: Duration = Duration::from_millis(2);

impl Supervised {
    /// Runs every instance and waits until all are ready; if one does not get there, stops those that it started.
    pub(super) async fn start(&self) -> Result<Output, ActError> {
        let mut turn = self.take_turn().await?;
        if self.home.place.quarantine.active() {
            return Err(refused(
                "quarantined",
                "the site is quarantined: nothing is started until it was reprotected",
            ));
        }
        turn.forget_restarts();
        let mut record = self.record().map_err(ActError::NotDone)?;
        let before = record.desired;
        record.desired = Desired::Running;
        let missing = self.missing(&record);
        let mut outcome = Ok(());
        for number in &missing {
            outcome = self.start_one(&mut record, *number).await;
            if outcome.is_err() {
                break;
            }
        }
        if outcome.is_ok() {
            self.store(&record).map_err(ActError::Unknown)?;
            outcome = self.until_ready(&record).await;
        }
        if let Err(cause) = outcome {
            record.desired = before;
            self.end(&mut record, &missing).await?;
            self.store(&record).map_err(ActError::Unknown)?;
            return Err(ActError::NotDone(cause));
        }
        self.restore_work(&record).await;
        let ready = ("ready".to_owned(), self.at.instances().len().to_string());
        Ok(Output {
            position: None,
            values: [ready].into(),
        })
    }

    /// Stops every instance and all that it started, and proves that they are gone.
    pub(super) async fn stop(&self) -> Result<Output, ActError> {
        let _turn = self.take_turn().await?;
        let mut record = self.record().map_err(ActError::NotDone)?;
        record.desired = Desired::Stopped;
        // First of all: nothing is started again from here on, whatever happens to this agent.
        self.store(&record).map_err(ActError::NotDone)?;
        let all: Vec<usize> = (0..record.instances.len()).collect();
        self.end(&mut record, &all).await?;
        self.store(&record).map_err(ActError::Unknown)?;
        Ok(Output::default())
    }

    /// Restarts the instances one after the other, so that some serve all the time.
    pub(super) async fn restart(&self) -> Result<Output, ActError> {
        let _turn = self.take_turn().await?;
        if self.home.place.quarantine.active() {
            return Err(refused("quarantined", "the site is quarantined"));
        }
        let mut record = self.record().map_err(ActError::NotDone)?;
        record.desired = Desired::Running;
        for number in 0..self.at.instances().len() {
            self.end(&mut record, &[number]).await?;
            let started = self.start_one(&mut record, number).await;
            started.map_err(ActError::Unknown)?;
            // The others may not run yet: it is their turn next.
            let ready = self.until_one_is_ready(&record, number).await;
            ready.map_err(ActError::Unknown)?;
        }
        self.store(&record).map_err(ActError::Unknown)?;
        self.restore_work(&record).await;
        Ok(Output::default())
    }

    /// Lets the application's own program compare the stores of a group. Nothing of the component runs yet.
    pub(super) async fn reconcile(&self, order: &Order, skew: Skew) -> Result<Output, ActError> {
        let Some(program) = &self.at.reconcile else {
            let what = format!("{} declares no program for reconcile", self.declared.name);
            return Err(refused("unsupported", what));
        };
        let _turn = self.take_turn().await?;
        // What the instances have in their environment, their program needs too.
        let mut program = program.clone();
        for (name, value) in &self.at.env {
            program
                .env
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
        for (name, value) in &self.at.secret_env {
            program
                .secret_env
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
        reconcile(&self.home, &program, order, skew).await
    }

    pub(super) async fn take_turn(
        &self,
    ) -> Result<tokio::sync::MutexGuard<'_, super::supervised::Turn>, ActError> {
        match self.turn().await {
            Ok(Some(turn)) => Ok(turn),
            Ok(None) => Err(hindered(
                "supervised-elsewhere",
                format!("another agent supervises {}", self.declared.name),
            )),
            Err(error) => Err(hindered(
                "state-unwritable",
                format!("take the lock: {error}"),
            )),
        }
    }

    pub(super) fn record(&self) -> Result<Record, Cause> {
        Record::read(&self.folder)
            .map_err(|error| passing("record-unreadable", format!("read the record: {error}")))
    }

    pub(super) fn store(&self, record: &Record) -> Result<(), Cause> {
        record
            .write(&self.folder)
            .map_err(|error| passing("state-unwritable", format!("write the record: {error}")))
    }

    /// The declared instances that do not run.
    pub(super) fn missing(&self, record: &Record) -> Vec<usize> {
        (0..self.at.instances().len())
            .filter(|number| living(record.instances.get(*number)).is_none())
            .collect()
    }

    /// Starts one instance. Its mark is on disk before the process exists, so that it is found again after a crash.
    pub(super) async fn start_one(&self, record: &mut Record, number: usize) -> Result<(), Cause> {
        let failed = |error: std::io::Error| passing("process-not-started", error.to_string());
        // Children that outlived their instance would share its port or its files with the new one.
        self.end(record, &[number])
            .await
            .map_err(|error| passing("process-not-started", error.to_string()))?;
        let mark = fresh_mark().map_err(failed)?;
        *record.instance(number) = Started {
            mark: Some(mark.clone()),
            process: None,
        };
        self.store(record)?;
        let instances = self.at.instances();
        let instance = instances.get(number).ok_or_else(|| {
            passing(
                "process-not-started",
                format!("there is no instance {number}"),
            )
        })?;
        let process = launch(&Launch {
            home: &self.home,
            at: &self.at,
            instance,
            number,
            mark: &mark,
            work: record.work,
            log: &self.log(number),
        })
        .await?;
        record.instance(number).process = Some(process);
        self.store(record)
    }

    /// Polls until every instance is ready; an instance that ended will not be.
    async fn until_ready(&self, record: &Record) -> Result<(), Cause> {
        for number in 0..self.at.instances().len() {
            self.until_one_is_ready(record, number).await?;
        }
        Ok(())
    }

    async fn until_one_is_ready(&self, record: &Record, number: usize) -> Result<(), Cause> {
        let deadline = Instant::now() + self.at.ready_within.unwrap_or(READY_WITHIN).duration();
        let instances = self.at.instances();
        let call = instances
            .get(number)
            .and_then(|instance| self.at.ready_of(instance));
        loop {
            if living(record.instances.get(number)).is_none() {
                return Err(self.not_ready(number, "ended"));
            }
            let Some(call) = call else {
                return Ok(());
            };
            let why = match check(call, &self.home.place.base).await {
                Ok(None) => return Ok(()),
                Ok(Some(differs)) => differs,
                Err(error) => error.cause().what,
            };
            if Instant::now() >= deadline {
                return Err(self.not_ready(number, &format!("was not ready in time: {why}")));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn not_ready(&self, number: usize, why: &str) -> Cause {
        let name = &self.declared.name;
        let words = last_words(&self.log(number));
        passing(
            "process-not-ready",
            format!("start {name}: instance {number} {why}; its last words: {words}"),
        )
    }

    /// Ends instances with all that they started: asks, waits for the grace, kills. Those that are gone stay gone.
    async fn end(&self, record: &mut Record, numbers: &[usize]) -> Result<(), ActError> {
        let signal = signal(self.at.stop.signal);
        let mut processes = Vec::new();
        for number in numbers {
            if let Some(started) = record.instances.get(*number) {
                processes.extend(all_of(started));
            }
        }
        for process in &processes {
            process.signal(signal);
        }
        let grace = self.at.stop.grace.or(self.grace).unwrap_or(GRACE);
        let patient = wait(processes, grace.duration()).await;
        for process in &patient {
            process.signal(Signal::KILL);
        }
        wait(patient, DEATH).await;
        for number in numbers {
            let Some(started) = record.instances.get_mut(*number) else {
                continue;
            };
            // A child that was born while its parent was being ended.
            let late = all_of(started);
            for process in &late {
                process.signal(Signal::KILL);
            }
            if !wait(late, DEATH).await.is_empty() {
                let what = format!("stop {}: a process does not die", self.declared.name);
                return Err(unknown("process-not-stopped", what));
            }
            *started = Started::default();
        }
        Ok(())
    }

    /// A scheduler that was started again does what it was last told, not what it does by default.
    pub(super) async fn restore_work(&self, record: &Record) {
        let call = match record.work {
            Work::AsStarted => None,
            Work::Held => self.at.hold.as_ref(),
            Work::Released => self.at.release.as_ref(),
        };
        let Some(call) = call else { return };
        let deadline = Instant::now() + READY_WITHIN.duration();
        while let Err(error) | Ok(Some(error)) = check(call, &self.home.place.base)
            .await
            .map_err(|error| error.cause().what)
        {
            if Instant::now() >= deadline {
                tracing::warn!(component = %self.declared.name, error, "not told what to do");
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// The process of an instance, if it lives.
pub(super) fn living(started: Option<&Started>) -> Option<Living> {
    started?.identity()?.living()
}

/// Every living process of an instance, the first one among them.
pub(super) fn all_of(started: &Started) -> Vec<Living> {
    let Some(mark) = &started.mark else {
        return Vec::new();
    };
    let leader = living(Some(started));
    let mut all = members(mark, leader.as_ref());
    if let Some(leader) = leader
        && all.iter().all(|one| one.pid != leader.pid)
    {
        all.push(leader);
    }
    all
}

/// Waits until the processes are gone, and gives those that are not when the time is over.
async fn wait(mut processes: Vec<Living>, limit: Duration) -> Vec<Living> {
    let deadline = Instant::now() + limit;
    loop {
        processes.retain(|process| !process.ended());
        if processes.is_empty() || Instant::now() >= deadline {
            return processes;
        }
        tokio::time::sleep(DEATH_POLL).await;
    }
}

fn signal(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::TERM,
        StopSignal::Int => Signal::INT,
        StopSignal::Quit => Signal::QUIT,
        StopSignal::Hup => Signal::HUP,
        StopSignal::Kill => Signal::KILL,
    }
}
