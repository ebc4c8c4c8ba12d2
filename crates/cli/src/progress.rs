//! A run as it happens: a tree with a clock on a terminal, a line for each step that ends without one, and how it ended.
//! Must not know how a run is executed.

use std::time::Duration;

use mainstay_control::dispatch::{Notice, RunHandle, StepNow};
use mainstay_engine::{Run, RunPhase, StepState};
use mainstay_model::{Direction, Runbook, Span, StepId, Timestamp};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;

use crate::{
    context,
    error::{Exit, Failure},
    live::Live,
    output::{Output, Tone},
    show::clock,
    tree::{Detail, Picture, last_words},
};

/// How often the tree is drawn anew.
const REDRAW: Duration = Duration::from_millis(100);

/// When a run began, and the time it is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) began: Timestamp,
    pub(crate) objective: Span,
}

/// What is followed: a runbook, its clock, and what an earlier process has done of it.
pub(crate) struct Followed<'a> {
    pub(crate) runbook: &'a Runbook,
    pub(crate) time: Clock,
    pub(crate) past: Option<&'a Run>,
}

/// What a program reads once a run rests.
#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    run: String,
    phase: RunPhase,
    ok: bool,
    committed: bool,
    elapsed_s: f64,
    estimate_s: f64,
    reported_loss_bound_s: Option<f64>,
    steps: usize,
    next: Option<&'a str>,
}

/// Shows a run until it rests, and gives the exit code. Ctrl-C pauses it; the dispatcher sees to that.
pub(crate) async fn follow(
    mut handle: RunHandle,
    followed: &Followed<'_>,
    out: &Output,
) -> Result<Exit, Failure> {
    let run = handle.run.clone();
    let mut screen = Screen::new(run.as_str(), followed, out);
    screen.begin();
    let mut redraw = tokio::time::interval(REDRAW);
    let mut stopped = Box::pin(context::stopped());
    let mut interrupted = false;
    loop {
        tokio::select! {
            notice = handle.notices.recv() => match notice {
                Ok(notice) => screen.take(&notice),
                // A slow terminal may miss lines, never the end.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            },
            _ = redraw.tick() => screen.draw(),
            () = &mut stopped => {
                interrupted = true;
                stopped.set(context::stopped());
                screen.interrupted();
            }
        }
    }
    let phase = handle.rest().await.map_err(|error| {
        screen.leave();
        Failure::new(error.code(), &error).next(format!("`mainstay run resume {run}` carries on"))
    })?;
    let exit = match exit_of(phase) {
        Exit::Waiting if interrupted => Exit::Interrupted,
        exit => exit,
    };
    screen.end(phase, exit);
    Ok(exit)
}

/// The loss bound in seconds; none when it is unknown or nothing can be lost.
pub(crate) fn bound(runbook: &Runbook) -> Option<f64> {
    let loss = runbook.loss.as_ref()?;
    (!loss.worst.is_unbounded()).then(|| loss.worst.as_secs_f64())
}

/// The documented exit code of a run's phase.
pub(crate) fn exit_of(phase: RunPhase) -> Exit {
    match phase {
        RunPhase::Succeeded => Exit::Done,
        RunPhase::SucceededWithExceptions => Exit::Exceptions,
        RunPhase::Retreated | RunPhase::Cancelled => Exit::Failed,
        RunPhase::Planned
        | RunPhase::AwaitingApproval
        | RunPhase::Running
        | RunPhase::Paused
        | RunPhase::Retreating
        | RunPhase::Stuck => Exit::Waiting,
    }
}

/// What to type next.
fn next_of(phase: RunPhase) -> Option<&'static str> {
    match phase {
        RunPhase::Succeeded | RunPhase::SucceededWithExceptions => None,
        RunPhase::Retreated => Some("`mainstay run show RUN` says why; the primary is intact"),
        RunPhase::Cancelled => Some("`mainstay status`"),
        RunPhase::AwaitingApproval => Some("`mainstay run approve RUN`, by somebody else"),
        RunPhase::Paused => Some("`mainstay run resume RUN` carries on"),
        RunPhase::Stuck => Some("`mainstay run show RUN` says what it waits for and what to type"),
        RunPhase::Planned | RunPhase::Running | RunPhase::Retreating => {
            Some("`mainstay run resume RUN` carries on")
        }
    }
}

/// The phase in words.
pub(crate) fn word(phase: RunPhase) -> &'static str {
    match phase {
        RunPhase::Planned => "is planned",
        RunPhase::AwaitingApproval => "waits for an approval",
        RunPhase::Running => "is running",
        RunPhase::Paused => "is paused",
        RunPhase::Retreating => "is retreating",
        RunPhase::Stuck => "is stuck and waits for a person",
        RunPhase::Succeeded => "succeeded",
        RunPhase::SucceededWithExceptions => "succeeded with exceptions",
        RunPhase::Retreated => "retreated: nothing has moved",
        RunPhase::Cancelled => "was cancelled",
    }
}

struct Screen<'a> {
    out: &'a Output,
    run: String,
    runbook: &'a Runbook,
    picture: Picture<'a>,
    live: Option<Live>,
    time: Clock,
    /// When this command took the run up: what it shows as elapsed without a terminal.
    took_up: Timestamp,
    committed: bool,
    exceptions: Vec<String>,
    /// The last step whose outcome nobody could tell: a run that turns round without a failure turned round for it.
    unheard: Option<String>,
}

impl<'a> Screen<'a> {
    fn new(run: &str, followed: &Followed<'a>, out: &'a Output) -> Self {
        let (runbook, time) = (followed.runbook, followed.time);
        let mut picture = Picture::new(run, runbook, time.began, time.objective);
        if let Some(past) = followed.past {
            picture.take_run(past);
        }
        Self {
            out,
            run: run.to_owned(),
            runbook,
            picture,
            live: out.live(),
            time,
            took_up: context::now(),
            committed: followed.past.is_some_and(Run::is_committed),
            exceptions: Vec::new(),
            unheard: None,
        }
    }

    fn begin(&self) {
        if self.live.is_none() {
            self.out.progress(format!(
                "run {}: {} steps, estimate {}",
                self.run,
                self.runbook.steps.len(),
                clock(self.runbook.estimate),
            ));
        }
    }

    fn take(&mut self, notice: &Notice) {
        match notice {
            Notice::Step(step) => self.step(step),
            Notice::Phase(phase) => {
                self.picture.set_phase(*phase);
                if *phase == RunPhase::Retreating {
                    if self.exceptions.is_empty() {
                        self.exceptions.extend(self.unheard.take());
                    }
                    let text = "retreating: undoing what was begun";
                    self.say(&self.out.paint(Tone::Warn, text));
                }
            }
            Notice::Rests(phase) => self.picture.set_phase(*phase),
            Notice::Asked { step, question } => {
                let title = self.title(*step);
                let asks = self.out.paint(Tone::Warn, "asks");
                self.say(&format!("{asks} {title}: {}", question.text));
            }
            Notice::Committed => {
                self.committed = true;
                self.picture.commit();
                let text = "commit: from here on only forward";
                self.say(&self.out.paint(Tone::Strong, text));
            }
            Notice::Refused(why) => {
                self.say(&format!("{}: {why}", self.out.paint(Tone::Bad, "refused")));
            }
        }
    }

    fn step(&mut self, step: &StepNow) {
        self.picture.take(step);
        let Some((tone, word)) = ended(&step.state) else {
            return;
        };
        let title = self.title(step.id);
        let way = if step.direction == Direction::Undo {
            "undo "
        } else {
            ""
        };
        let took = match (step.started, step.ended) {
            (Some(started), Some(ended)) => format!(" in {}", clock(ended.since(started))),
            _ => String::new(),
        };
        let why = match last_words(step) {
            words if tone == Tone::Good || words.is_empty() => String::new(),
            words => format!(": {words}"),
        };
        if step.state == StepState::Unknown {
            self.unheard = Some(format!("{title}: nobody could tell what became of it{why}"));
        }
        if tone == Tone::Bad {
            self.exceptions.push(format!("{way}{title}{why}"));
        }
        // The tree shows what goes well; what does not stays on the screen as a line.
        if self.live.is_none() || tone != Tone::Good {
            let word = self.out.paint(tone, word);
            self.say(&format!("{way}{title}: {word}{took}{why}"));
        }
    }

    fn interrupted(&mut self) {
        let text = "pausing: what runs is let finish; Ctrl-C again leaves at once";
        self.say(&self.out.paint(Tone::Warn, text));
    }

    fn title(&self, step: StepId) -> String {
        let step = self.runbook.steps.get(step.index());
        step.map_or_else(|| "an unknown step".to_owned(), mainstay_model::Step::title)
    }

    fn say(&mut self, line: &str) {
        let elapsed = context::now().since(self.took_up);
        let elapsed = format!("{:>8}", clock(elapsed));
        let line = format!("{} {line}", self.out.paint(Tone::Dim, &elapsed));
        match &mut self.live {
            Some(rows) => {
                rows.above(&line);
                self.draw();
            }
            None => self.out.progress(line),
        }
    }

    fn draw(&mut self) {
        if let Some(live) = &mut self.live {
            let detail = Detail::Rows(live.rows());
            let lines = self.picture.lines(context::now(), detail, self.out);
            live.draw(&lines);
        }
    }

    fn leave(&mut self) {
        if let Some(live) = &mut self.live {
            live.clear();
        }
    }

    /// The last word: the whole tree where there is a terminal, how it ended, and what to type next.
    fn end(&mut self, phase: RunPhase, exit: Exit) {
        let run = &self.run;
        let (out, elapsed) = (self.out, context::now().since(self.time.began));
        self.picture.set_phase(phase);
        if let Some(live) = &mut self.live {
            live.clear();
            for line in self.picture.lines(context::now(), Detail::All, out) {
                out.line(line);
            }
        }
        let next = next_of(phase).map(|next| next.replace("RUN", run));
        out.value(&Report {
            version: 1,
            run: run.clone(),
            phase,
            ok: exit == Exit::Done,
            committed: self.committed,
            elapsed_s: elapsed.as_secs_f64(),
            estimate_s: self.runbook.estimate.as_secs_f64(),
            reported_loss_bound_s: bound(self.runbook),
            steps: self.runbook.steps.len(),
            next: next.as_deref(),
        });
        let tone = if exit == Exit::Done {
            Tone::Good
        } else {
            Tone::Bad
        };
        let (took, estimate) = (clock(elapsed), clock(self.runbook.estimate));
        let text = format!("run {run} {} in {took} (estimate {estimate})", word(phase));
        out.line(out.paint(tone, &text));
        for line in &self.exceptions {
            out.line(format!("  {line}"));
        }
        if let Some(next) = next {
            out.line(format!("{} {next}", out.paint(Tone::Strong, "next:")));
        }
    }
}

/// How a state that is worth a line is named; none while a step is under way.
fn ended(state: &StepState) -> Option<(Tone, &'static str)> {
    Some(match state {
        StepState::Pending | StepState::Started | StepState::UndoStarted => return None,
        StepState::Already => (Tone::Good, "already so"),
        StepState::Succeeded => (Tone::Good, "done"),
        StepState::Failed { .. } => (Tone::Bad, "failed"),
        StepState::Unknown => (Tone::Warn, "outcome unknown, looking"),
        StepState::AwaitingPerson => (Tone::Warn, "waits for a person"),
        StepState::Skipped { .. } => (Tone::Warn, "skipped"),
        StepState::Undone => (Tone::Good, "undone"),
        StepState::UndoFailed { .. } => (Tone::Bad, "could not be undone"),
        StepState::UndoUnknown => (Tone::Warn, "whether it is undone is unknown, looking"),
    })
}
