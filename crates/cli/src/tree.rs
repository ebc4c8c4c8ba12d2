//! A run as people see it: phases as a tree, each step's state and time, elapsed against estimate, the RTO running down.
//! Must not know a terminal beyond how many rows there are; whoever prints cuts lines to its width.

use mainstay_control::dispatch::StepNow;
use mainstay_engine::{Run, RunPhase, StepState, StepView};
use mainstay_model::{Body, Direction, MoveMode, Phase, Runbook, Span, Step, Timestamp};

use crate::{
    output::{Output, Tone},
    progress,
    show::{clock, rounded},
};

/// A run and where each of its steps stands.
#[derive(Debug)]
pub(crate) struct Picture<'a> {
    name: String,
    runbook: &'a Runbook,
    steps: Vec<Option<StepNow>>,
    phase: RunPhase,
    committed: bool,
    began: Timestamp,
    objective: Span,
    /// Columns for a step's title.
    width: usize,
}

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Every step.
    All,
    /// What matters now, in at most so many rows.
    Rows(usize),
}

/// How a phase as a whole stands. The order is the order of attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Done,
    Pending,
    Active,
    Trouble,
}

impl<'a> Picture<'a> {
    /// A run of which nothing is known yet. `began` starts the clock, `objective` is the RTO it is held against.
    pub(crate) fn new(name: &str, runbook: &'a Runbook, began: Timestamp, objective: Span) -> Self {
        let titles = runbook.steps.iter().map(Step::title_within_phase);
        let width = titles.map(|title| title.chars().count()).max().unwrap_or(0);
        Self {
            name: name.to_owned(),
            runbook,
            steps: vec![None; runbook.steps.len()],
            phase: RunPhase::Running,
            committed: false,
            began,
            objective,
            width,
        }
    }

    /// The run as its journal tells it.
    pub(crate) fn take_run(&mut self, run: &Run) {
        self.phase = run.phase();
        self.committed = run.is_committed();
        for view in run.steps() {
            self.take_view(view);
        }
    }

    fn take_view(&mut self, view: StepView<'_>) {
        self.take(&StepNow::from(view));
    }

    /// A step as it stands now.
    pub(crate) fn take(&mut self, step: &StepNow) {
        if let Some(slot) = self.steps.get_mut(step.id.index()) {
            *slot = Some(step.clone());
        }
    }

    /// The run's phase as it is now.
    pub(crate) fn set_phase(&mut self, phase: RunPhase) {
        self.phase = phase;
    }

    /// The point of no return is behind the run.
    pub(crate) fn commit(&mut self) {
        self.committed = true;
    }

    /// The lines, from the heading to the clock.
    pub(crate) fn lines(&self, now: Timestamp, detail: Detail, out: &Output) -> Vec<String> {
        let heading = out.paint(
            Tone::Strong,
            &format!("run {} {}", self.name, progress::word(self.phase)),
        );
        let mut lines = vec![heading];
        match detail {
            Detail::All => lines.extend(self.everything(now, out)),
            Detail::Rows(rows) => {
                lines.extend(self.fitting(now, rows.saturating_sub(2), out));
            }
        }
        lines.push(self.footing(now, out));
        lines
    }

    /// Runs of steps of the same phase; a phase that comes twice is shown twice. Steps that only join others are
    /// left out, but for the commit.
    fn phases(&self) -> Vec<(Phase, Vec<usize>)> {
        let mut phases: Vec<(Phase, Vec<usize>)> = Vec::new();
        for (at, step) in self.runbook.steps.iter().enumerate() {
            if step.body == Body::Join && step.phase != Phase::Commit {
                continue;
            }
            match phases.last_mut() {
                Some((phase, steps)) if *phase == step.phase => steps.push(at),
                _ => phases.push((step.phase, vec![at])),
            }
        }
        phases
    }

    fn everything(&self, now: Timestamp, out: &Output) -> Vec<String> {
        let mut lines = Vec::new();
        for (phase, steps) in self.phases() {
            lines.push(self.phase_line(phase, &steps, now, out));
            lines.extend(steps.iter().map(|at| self.step_line(*at, now, out)));
        }
        lines
    }

    /// One line a phase, and the steps that need attention; cut down until it fits.
    fn fitting(&self, now: Timestamp, rows: usize, out: &Output) -> Vec<String> {
        let phases = self.phases();
        let hot: Vec<usize> = (0..self.steps.len())
            .filter(|at| self.standing(*at) >= Standing::Active)
            .collect();
        let mut first = 0;
        let mut last = phases.len();
        // What is over is folded from the top, what is to come from the bottom.
        let folded = |first: usize, last: usize| {
            usize::from(first > 0) + (last - first) + usize::from(last < phases.len())
        };
        while folded(first, last) + hot.len() > rows {
            if last > first && self.standing_of(&phases[last - 1].1) == Standing::Pending {
                last -= 1;
            } else if first < last && self.standing_of(&phases[first].1) == Standing::Done {
                first += 1;
            } else {
                break;
            }
        }
        let mut lines = Vec::new();
        if first > 0 {
            lines.push(out.paint(Tone::Good, &format!("✓ {first} phases done")));
        }
        for (phase, steps) in &phases[first..last] {
            lines.push(self.phase_line(*phase, steps, now, out));
            let within = hot.iter().filter(|at| steps.contains(at));
            lines.extend(within.map(|at| self.step_line(*at, now, out)));
        }
        if last < phases.len() {
            let left = phases.len() - last;
            lines.push(out.paint(Tone::Dim, &format!("· {left} phases to come")));
        }
        if lines.len() > rows {
            let hidden = lines.len() - rows.saturating_sub(1);
            lines.truncate(rows.saturating_sub(1));
            lines.push(out.paint(Tone::Dim, &format!("… {hidden} more lines")));
        }
        lines
    }

    fn standing(&self, at: usize) -> Standing {
        if self.runbook.steps[at].phase == Phase::Commit {
            return if self.committed {
                Standing::Done
            } else {
                Standing::Pending
            };
        }
        let Some(step) = &self.steps[at] else {
            return Standing::Pending;
        };
        match &step.state {
            StepState::Failed { .. }
            | StepState::UndoFailed { .. }
            | StepState::Unknown
            | StepState::UndoUnknown
            | StepState::AwaitingPerson => Standing::Trouble,
            StepState::Started | StepState::UndoStarted => Standing::Active,
            StepState::Pending if step.active => Standing::Active,
            StepState::Pending => Standing::Pending,
            StepState::Already
            | StepState::Succeeded
            | StepState::Skipped { .. }
            | StepState::Undone => Standing::Done,
        }
    }

    fn standing_of(&self, steps: &[usize]) -> Standing {
        let all: Vec<Standing> = steps.iter().map(|at| self.standing(*at)).collect();
        let greatest = all.iter().copied().max().unwrap_or(Standing::Done);
        let begun = all.contains(&Standing::Done);
        if greatest == Standing::Pending && begun {
            return Standing::Active;
        }
        greatest
    }

    fn phase_line(&self, phase: Phase, steps: &[usize], now: Timestamp, out: &Output) -> String {
        let done = steps
            .iter()
            .filter(|at| self.standing(**at) == Standing::Done);
        let (done, all) = (done.count(), steps.len());
        let seen = || steps.iter().filter_map(|at| self.steps[*at].as_ref());
        let started = seen().filter_map(|step| step.started).min();
        let ended = seen().filter_map(|step| step.ended).max();
        let standing = self.standing_of(steps);
        let until = if standing == Standing::Done {
            ended
        } else {
            Some(now)
        };
        let took = match (started, until) {
            (Some(started), Some(until)) => clock(until.since(started)),
            _ => String::new(),
        };
        let (glyph, tone) = match standing {
            Standing::Done => ("✓", Tone::Good),
            Standing::Pending => ("·", Tone::Dim),
            Standing::Active => ("▸", Tone::Strong),
            Standing::Trouble => ("!", Tone::Bad),
        };
        let text = format!(
            "{glyph} {:<14} {done:>3} of {all:<3} {took:>9}",
            phase.word()
        );
        out.paint(tone, text.trim_end())
    }

    fn step_line(&self, at: usize, now: Timestamp, out: &Output) -> String {
        let step = &self.runbook.steps[at];
        let (title, width) = (step.title_within_phase(), self.width);
        if step.phase == Phase::Commit {
            let tone = if self.committed {
                Tone::Good
            } else {
                Tone::Dim
            };
            return out.paint(tone, &format!("  {:>4} {title}", step.id.0));
        }
        let Some(seen) = &self.steps[at] else {
            let text = format!("  {:>4} {title:<width$}  pending", step.id.0);
            return out.paint(Tone::Dim, &text);
        };
        let (tone, word) = if seen.active && seen.state == StepState::Pending {
            (Tone::Warn, "looking")
        } else {
            state_word(&seen.state)
        };
        let word = match seen.direction {
            Direction::Undo if seen.state == StepState::Pending => "to undo",
            _ => word,
        };
        let took = time_of(step, seen, now);
        let quiet = seen.state == StepState::Pending && !seen.active;
        let note = if tone == Tone::Good || quiet {
            String::new()
        } else {
            last_words(seen)
        };
        let text = format!(
            "  {:>4} {title:<width$}  {word:<12} {took}  {note}",
            step.id.0
        );
        out.paint(tone, text.trim_end())
    }

    /// Elapsed against the estimate, and what is left of the RTO.
    fn footing(&self, now: Timestamp, out: &Output) -> String {
        let over = self.phase.is_over();
        let ended = self.steps.iter().flatten().filter_map(|step| step.ended);
        let until = if over {
            ended.max().unwrap_or(now)
        } else {
            now
        };
        let elapsed = until.since(self.began);
        let text = format!(
            "elapsed {} of ~{}",
            clock(elapsed),
            clock(self.runbook.estimate)
        );
        // Nobody waits for a service while a copy is rebuilt: there is no RTO to run down.
        if self.objective.is_unbounded() || self.runbook.mode == MoveMode::Reprotect {
            return text;
        }
        let objective = self.objective;
        let (tone, left) = if elapsed > objective {
            let late = Span(elapsed.0 - objective.0);
            (Tone::Bad, format!("missed by {}", clock(late)))
        } else if over {
            (Tone::Good, "met".to_owned())
        } else {
            let left = Span(objective.0 - elapsed.0);
            let tone = if left < self.runbook.estimate {
                Tone::Warn
            } else {
                Tone::Good
            };
            (tone, format!("{} left", clock(left)))
        };
        format!(
            "{text}; RTO {}: {}",
            rounded(objective),
            out.paint(tone, &left)
        )
    }
}

/// How long a step took, or takes against its estimate.
fn time_of(step: &Step, seen: &StepNow, now: Timestamp) -> String {
    match (seen.started, seen.ended) {
        (Some(started), Some(ended)) => clock(ended.since(started)),
        (Some(started), None) if step.estimate == Span::ZERO => clock(now.since(started)),
        (Some(started), None) => {
            format!("{} of ~{}", clock(now.since(started)), clock(step.estimate))
        }
        _ => String::new(),
    }
}

/// The last thing said about a step. A failure ends with its code, for `mainstay explain`.
pub(crate) fn last_words(step: &StepNow) -> String {
    match &step.state {
        StepState::Failed { code, what } | StepState::UndoFailed { code, what }
            if !code.is_empty() =>
        {
            format!("{what} [{code}]")
        }
        StepState::Skipped { reason } => reason.clone(),
        _ => step.note.clone(),
    }
}

/// A step's state in a word.
pub(crate) fn state_word(state: &StepState) -> (Tone, &'static str) {
    match state {
        StepState::Pending => (Tone::Dim, "pending"),
        StepState::Already => (Tone::Good, "already so"),
        StepState::Started => (Tone::Warn, "started"),
        StepState::Succeeded => (Tone::Good, "done"),
        StepState::Failed { .. } => (Tone::Bad, "failed"),
        StepState::Unknown => (Tone::Warn, "unknown"),
        StepState::AwaitingPerson => (Tone::Warn, "asks"),
        StepState::Skipped { .. } => (Tone::Warn, "skipped"),
        StepState::UndoStarted => (Tone::Warn, "undoing"),
        StepState::Undone => (Tone::Good, "undone"),
        StepState::UndoFailed { .. } => (Tone::Bad, "undo failed"),
        StepState::UndoUnknown => (Tone::Warn, "undo unknown"),
    }
}

#[cfg(test)]
mod tests;
