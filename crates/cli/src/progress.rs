//! A run as it happens: a line for each step that ends, elapsed time against the estimate, and how it ended.
//! Must not know how a run is executed.

use std::{collections::BTreeMap, time::Instant};

use mainstay_control::dispatch::{Notice, RunHandle, StepNow};
use mainstay_engine::{RunPhase, StepState};
use mainstay_model::{Direction, Runbook, Span, StepId};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;

use crate::{
    error::{Exit, Failure},
    output::{Output, Tone},
    show::rounded,
};

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

/// Shows a run until it rests, and gives the exit code.
pub(crate) async fn follow(
    mut handle: RunHandle,
    runbook: &Runbook,
    out: &Output,
) -> Result<Exit, Failure> {
    let mut screen = Screen::new(runbook, out);
    let run = handle.run.clone();
    out.progress(format!(
        "run {run}: {} steps, estimate {}",
        runbook.steps.len(),
        rounded(runbook.estimate)
    ));
    loop {
        match handle.notices.recv().await {
            Ok(notice) => screen.take(&notice),
            // A slow terminal may miss lines, never the end.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => break,
        }
    }
    let phase = handle.rest().await.map_err(|error| {
        Failure::new(error.code(), &error).next(format!("`mainstay run resume {run}` carries on"))
    })?;
    let elapsed = Span::from(screen.began.elapsed());
    let exit = exit_of(phase);
    let next = next_of(phase);
    out.value(&Report {
        version: 1,
        run: run.to_string(),
        phase,
        ok: exit == Exit::Done,
        committed: screen.committed,
        elapsed_s: elapsed.as_secs_f64(),
        estimate_s: runbook.estimate.as_secs_f64(),
        reported_loss_bound_s: bound(runbook),
        steps: runbook.steps.len(),
        next,
    });
    let tone = if exit == Exit::Done {
        Tone::Good
    } else {
        Tone::Bad
    };
    let estimate = rounded(runbook.estimate);
    out.line(out.paint(
        tone,
        &format!(
            "run {run} {} in {} (estimate {estimate})",
            word(phase),
            rounded(elapsed)
        ),
    ));
    for line in &screen.exceptions {
        out.line(format!("  {line}"));
    }
    if let Some(next) = next {
        out.line(format!(
            "{} {}",
            out.paint(Tone::Strong, "next:"),
            next.replace("RUN", run.as_str())
        ));
    }
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
        _ => Some(
            "`mainstay run show RUN` says what it waits for; `mainstay run resume RUN` carries on",
        ),
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
    titles: BTreeMap<StepId, String>,
    began: Instant,
    committed: bool,
    exceptions: Vec<String>,
}

impl<'a> Screen<'a> {
    fn new(runbook: &Runbook, out: &'a Output) -> Self {
        let titles = runbook
            .steps
            .iter()
            .map(|step| (step.id, step.title()))
            .collect();
        Self {
            out,
            titles,
            began: Instant::now(),
            committed: false,
            exceptions: Vec::new(),
        }
    }

    fn take(&mut self, notice: &Notice) {
        match notice {
            Notice::Step(step) => self.step(step),
            Notice::Phase(RunPhase::Retreating) => {
                self.say(
                    &self
                        .out
                        .paint(Tone::Warn, "retreating: undoing what was begun"),
                );
            }
            Notice::Phase(_) | Notice::Rests(_) => {}
            Notice::Asked { step, question } => {
                let title = self.title(*step);
                self.say(&format!(
                    "{} {title}: {}",
                    self.out.paint(Tone::Warn, "asks"),
                    question.text
                ));
            }
            Notice::Committed => {
                self.committed = true;
                self.say(
                    &self
                        .out
                        .paint(Tone::Strong, "commit: from here on only forward"),
                );
            }
            Notice::Refused(why) => {
                self.say(&format!("{}: {why}", self.out.paint(Tone::Bad, "refused")));
            }
        }
    }

    fn step(&mut self, step: &StepNow) {
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
            (Some(started), Some(ended)) => format!(" in {}", rounded(ended.since(started))),
            _ => String::new(),
        };
        let why = match &step.state {
            StepState::Failed { what, .. } | StepState::UndoFailed { what, .. } => {
                format!(": {what}")
            }
            StepState::Skipped { reason } => format!(": {reason}"),
            _ if tone == Tone::Good || step.note.is_empty() => String::new(),
            _ => format!(": {}", step.note),
        };
        if tone == Tone::Bad {
            self.exceptions.push(format!("{way}{title}{why}"));
        }
        self.say(&format!(
            "{way}{title}: {}{took}{why}",
            self.out.paint(tone, word)
        ));
    }

    fn title(&self, step: StepId) -> String {
        self.titles
            .get(&step)
            .cloned()
            .unwrap_or_else(|| format!("step {}", step.0))
    }

    fn say(&self, line: &str) {
        let elapsed = self.began.elapsed().as_secs_f64();
        self.out.progress(format!(
            "{} {line}",
            self.out.paint(Tone::Dim, &format!("{elapsed:7.2}s"))
        ));
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
