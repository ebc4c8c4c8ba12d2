//! The dispatcher: puts all events of a run in order, makes them durable, then hands their effects out (I16).
//! Must not decide anything; the engine does.

use std::{sync::Arc, time::Duration};

use mainstay_engine::{Effect, Event, Illegal, Run, RunPhase, Seq};
use mainstay_model::{PersonId, RunId, StepId};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{broadcast, mpsc, oneshot},
};

use super::{DispatchError, Hands, Notice, StepNow, follow};
use crate::{
    clock,
    db::DbError,
    lock::MoverLock,
    state::{Change, State},
};

/// How often commands of other processes are looked for.
const COMMANDS: Duration = Duration::from_millis(200);
/// At most so many events are made durable at once, so that the first does not wait for ever.
const BATCH: usize = 32;

/// What happens when only a person can move the run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Attention {
    /// The dispatcher ends; the run is resumed later.
    #[default]
    Leave,
    /// The dispatcher waits for events from its handle.
    Wait,
}

/// Who minds Ctrl-C and SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signals {
    /// The dispatcher: the run is paused cleanly.
    #[default]
    Pause,
    /// Somebody else.
    Ignore,
}

/// What a person asks of a running run.
pub(super) struct Asked {
    pub(super) event: Event,
    pub(super) reply: oneshot::Sender<Result<(), Illegal>>,
}

pub(super) struct Dispatcher {
    pub(super) id: RunId,
    pub(super) run: Run,
    pub(super) state: Arc<State>,
    pub(super) hands: Hands,
    pub(super) notices: broadcast::Sender<Notice>,
    pub(super) asked: mpsc::UnboundedReceiver<Asked>,
    pub(super) attention: Attention,
    pub(super) signals: Signals,
    pub(super) by: PersonId,
    /// Held for as long as the dispatcher lives, whoever listens.
    pub(super) lock: Option<MoverLock>,
}

/// What changed since the last append.
struct Batch {
    changes: Vec<Change>,
    phase: RunPhase,
    committed: bool,
    pauses: u32,
    rests: Option<RunPhase>,
}

type Written = Result<Seq, DbError>;

/// The ends of the dispatcher's own channels.
struct Pipes {
    answers: mpsc::UnboundedSender<Event>,
    written: mpsc::UnboundedSender<Written>,
}

impl Dispatcher {
    /// Until nothing moves any more.
    pub(super) async fn run(mut self) -> Result<RunPhase, DispatchError> {
        let _lock = self.lock.take();
        if self.run.phase().is_over() && self.state.run(&self.id)?.head == self.run.head().seq {
            // It was over before, and nobody asked anything of it.
            return Ok(self.run.phase());
        }
        let (answers, mut events) = mpsc::unbounded_channel();
        let (written, mut durable) = mpsc::unbounded_channel::<Written>();
        let pipes = Pipes { answers, written };
        let mut signals = Interrupts::new(self.signals);
        let mut commands = tokio::time::interval(COMMANDS);
        let mut batch = Batch {
            changes: Vec::new(),
            phase: self.run.phase(),
            committed: self.run.is_committed(),
            pauses: 0,
            rests: None,
        };
        loop {
            self.flush(&mut batch, &pipes);
            if let Some(phase) = batch.rests.take()
                && self.leaves(phase)
            {
                return Ok(phase);
            }
            let wake = self.run.next_wake();
            tokio::select! {
                Some(event) = events.recv() => {
                    self.take(&event, &mut batch);
                    for _ in 1..BATCH {
                        let Ok(event) = events.try_recv() else { break };
                        self.take(&event, &mut batch);
                    }
                }
                Some(done) = durable.recv() => {
                    let failed = |source| DispatchError::Journal { run: self.id.clone(), source };
                    self.run.durable(done.map_err(failed)?);
                }
                Some(asked) = self.asked.recv() => {
                    let done = self.handle(&asked.event, &mut batch);
                    let _ = asked.reply.send(done);
                }
                _ = commands.tick() => self.commands(&mut batch).await?,
                () = sleep_until(wake) => self.take(&Event::Ticked, &mut batch),
                () = signals.next() => {
                    batch.pauses += 1;
                    if batch.pauses > 1 {
                        // Asked twice: everything that was promised is in the journal.
                        return Ok(self.run.phase());
                    }
                    self.take(&Event::Paused { by: self.by.clone() }, &mut batch);
                }
            }
        }
    }

    /// Whether the dispatcher's work is done.
    fn leaves(&self, phase: RunPhase) -> bool {
        // It may have been moved on since.
        self.run.resting() == Some(phase) && (phase.is_over() || self.attention == Attention::Leave)
    }

    /// An event of our own. A late answer is refused, and whatever it said was settled otherwise.
    fn take(&mut self, event: &Event, batch: &mut Batch) {
        if let Err(why) = self.handle(event, batch) {
            tracing::debug!(run = %self.id, %why, "an event was dropped");
        }
    }

    fn handle(&mut self, event: &Event, batch: &mut Batch) -> Result<(), Illegal> {
        let step = about(event);
        let before = step.and_then(|id| self.run.step(id)).map(|view| view.state);
        self.run.handle(event, clock::now())?;
        let after = step.and_then(|id| self.run.step(id));
        if let (Some(id), Some(after)) = (step, after) {
            if before.as_ref() != Some(&after.state)
                && let Some(step) = self.run.runbook().steps.get(id.index())
            {
                batch.changes.extend(follow::of_step(step, &after));
            }
            self.tell(Notice::Step(StepNow::from(after)));
        }
        Ok(())
    }

    /// Appends what happened, and starts what may start.
    fn flush(&mut self, batch: &mut Batch, pipes: &Pipes) {
        if !batch.committed && self.run.is_committed() {
            batch.committed = true;
            batch.changes.extend(follow::of_commit(self.run.runbook()));
            self.tell(Notice::Committed);
        }
        if batch.phase != self.run.phase() {
            batch.phase = self.run.phase();
            let end = follow::of_end(self.run.runbook(), batch.phase);
            batch.changes.extend(end);
            self.tell(Notice::Phase(batch.phase));
        }
        let entries = self.run.take_entries();
        if let Some(last) = entries.last() {
            let (upto, written) = (last.seq, pipes.written.clone());
            let changes = std::mem::take(&mut batch.changes);
            let then = move |done: Result<(), DbError>| {
                let _ = written.send(done.map(|()| upto));
            };
            self.state
                .append(&self.id, entries, batch.phase, changes, then);
        }
        for effect in self.run.take_effects() {
            self.carry_out(effect, batch, pipes);
        }
    }

    fn carry_out(&self, effect: Effect, batch: &mut Batch, pipes: &Pipes) {
        match effect {
            Effect::Ended(phase) => {
                batch.rests = Some(phase);
                self.tell(Notice::Rests(phase));
            }
            Effect::Ask { step, question } => {
                self.tell_step(step);
                self.tell(Notice::Asked { step, question });
            }
            effect => {
                self.tell_step(match &effect {
                    Effect::Observe { step, .. } => *step,
                    Effect::Act { id, .. } | Effect::Poll { id, .. } => id.step,
                    Effect::Ask { .. } | Effect::Ended(_) => return,
                });
                self.hands.start(effect, self.run.runbook(), &pipes.answers);
            }
        }
    }

    /// What other processes asked of this run.
    async fn commands(&mut self, batch: &mut Batch) -> Result<(), DispatchError> {
        let asked = self.state.asked(&self.id)?;
        let Some(last) = asked.last().map(|command| command.seq) else {
            return Ok(());
        };
        for command in asked {
            if let Err(why) = self.handle(&command.event, batch) {
                self.tell(Notice::Refused(why.to_string()));
            }
        }
        Ok(self.state.taken(&self.id, last).await?)
    }

    fn tell_step(&self, id: StepId) {
        if self.notices.receiver_count() > 0
            && let Some(view) = self.run.step(id)
        {
            self.tell(Notice::Step(StepNow::from(view)));
        }
    }

    fn tell(&self, notice: Notice) {
        // Nobody has to listen.
        let _ = self.notices.send(notice);
    }
}

fn about(event: &Event) -> Option<StepId> {
    match event {
        Event::Observed { step, .. }
        | Event::Acted { step, .. }
        | Event::Answered { step, .. }
        | Event::Retried { step, .. }
        | Event::Skipped { step, .. } => Some(*step),
        _ => None,
    }
}

async fn sleep_until(wake: Option<mainstay_model::Timestamp>) {
    match wake {
        // A little later, so that it is surely due.
        Some(at) => tokio::time::sleep(clock::until(at) + Duration::from_millis(1)).await,
        None => std::future::pending().await,
    }
}

/// Ctrl-C and SIGTERM.
struct Interrupts(Vec<Signal>);

impl Interrupts {
    fn new(signals: Signals) -> Self {
        if signals == Signals::Ignore {
            return Self(Vec::new());
        }
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        Self(
            kinds
                .into_iter()
                .filter_map(|kind| signal(kind).ok())
                .collect(),
        )
    }

    async fn next(&mut self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        let any = self.0.iter_mut().map(|signal| Box::pin(signal.recv()));
        futures::future::select_all(any).await;
    }
}
