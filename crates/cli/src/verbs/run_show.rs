//! How runs are listed, shown and watched.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mainstay_control::state::RunRow;
use mainstay_engine::{Run, RunPhase, StepState, StepView, may_be_skipped};
use mainstay_model::{Direction, Phase, RunId, Saved, Step, StepId};
use serde::Serialize;

use crate::{
    context,
    error::{Exit, Failure},
    output::Output,
    progress,
    session::Session,
    tree::{Detail, Picture, state_word},
};

/// How often a watched run is looked at.
const LOOK: Duration = Duration::from_millis(300);

/// Phases whose steps find something that people want to read. `--json` has what every step found.
const TELLING: [Phase; 3] = [Phase::Reconcile, Phase::Sweep, Phase::Salvage];
/// The most of it that is shown to people, in characters.
const WIDEST: usize = 400;

#[derive(Serialize)]
struct Row {
    run: String,
    mode: mainstay_model::MoveMode,
    phase: RunPhase,
    by: String,
    created: String,
    updated: String,
}

impl From<&RunRow> for Row {
    fn from(row: &RunRow) -> Self {
        Self {
            run: row.run.to_string(),
            mode: row.mode,
            phase: row.phase,
            by: row.by.to_string(),
            created: row.created.to_string(),
            updated: row.updated.to_string(),
        }
    }
}

/// `mainstay run list`.
pub(crate) fn list(session: &Session, out: &Output) -> Result<Exit, Failure> {
    let runs = session
        .desk
        .state
        .runs()
        .map_err(|error| Failure::new(error.code(), error))?;
    let rows: Vec<Row> = runs.iter().map(Row::from).collect();
    if rows.is_empty() {
        out.line("no runs yet");
    }
    for (row, run) in rows.iter().zip(&runs) {
        let mode = mode_word(run.mode);
        out.line(format!(
            "{:<16} {mode:<10} {} (by {}, {})",
            row.run,
            progress::word(run.phase),
            row.by,
            row.created
        ));
    }
    out.value(&rows);
    Ok(Exit::Done)
}

fn mode_word(mode: mainstay_model::MoveMode) -> &'static str {
    match mode {
        mainstay_model::MoveMode::Switchover => "switchover",
        mainstay_model::MoveMode::Failover => "failover",
        mainstay_model::MoveMode::Reprotect => "reprotect",
        mainstay_model::MoveMode::Restore => "restore",
    }
}

#[derive(Serialize)]
struct Shown {
    version: u32,
    run: String,
    mode: mainstay_model::MoveMode,
    phase: RunPhase,
    committed: bool,
    created: mainstay_model::Timestamp,
    estimate_s: f64,
    reported_loss_bound_s: Option<f64>,
    steps: Vec<ShownStep>,
}

#[derive(Serialize)]
struct ShownStep {
    id: u32,
    phase: Phase,
    title: String,
    at: String,
    state: StepState,
    undoing: bool,
    waits_for_person: bool,
    started: Option<mainstay_model::Timestamp>,
    ended: Option<mainstay_model::Timestamp>,
    note: String,
    code: Option<String>,
    output: BTreeMap<String, String>,
}

/// `mainstay run show`.
pub(crate) fn show(session: &Session, run: &RunId, out: &Output) -> Result<Exit, Failure> {
    let replayed = session
        .desk
        .state
        .replay(run)
        .map_err(|error| Failure::new(error.code(), error))?;
    let row = session
        .desk
        .state
        .run(run)
        .map_err(|error| Failure::new(error.code(), error))?;
    let steps: Vec<ShownStep> = replayed
        .steps()
        .zip(&replayed.runbook().steps)
        .map(|(view, step)| shown(&view, step))
        .collect();
    draw(session, &replayed, run, out)?;
    out.value(&Shown {
        version: 1,
        run: run.to_string(),
        mode: row.mode,
        phase: row.phase,
        committed: replayed.is_committed(),
        created: row.created,
        estimate_s: replayed.runbook().estimate.as_secs_f64(),
        reported_loss_bound_s: progress::bound(replayed.runbook()),
        steps,
    });
    Ok(Exit::Done)
}

fn shown(view: &StepView<'_>, step: &Step) -> ShownStep {
    ShownStep {
        id: view.id.0,
        phase: step.phase,
        title: step.title(),
        at: step.at.to_string(),
        state: view.state.clone(),
        undoing: view.direction == Direction::Undo,
        waits_for_person: view.waits_for_person,
        started: view.started,
        ended: view.ended,
        note: view.note.to_owned(),
        code: view.code.map(str::to_owned),
        output: view.output.values.clone(),
    }
}

fn draw(session: &Session, run: &Run, name: &RunId, out: &Output) -> Result<(), Failure> {
    let time = session.clock(name, run.runbook())?;
    let mut picture = Picture::new(name.as_str(), run.runbook(), time.began, time.objective);
    picture.take_run(run);
    for line in picture.lines(context::now(), Detail::All, out) {
        out.line(line);
    }
    for (view, step) in run.steps().zip(&run.runbook().steps) {
        if TELLING.contains(&step.phase) {
            if let Some(saved) = Saved::of(view.output) {
                let short = saved.point.get(..8).unwrap_or(&saved.point);
                let (bytes, missing) = (saved.bytes, saved.missing);
                out.line(format!(
                    "{}: restore point {short}, {bytes} bytes, {missing} entries missing",
                    step.title()
                ));
                continue;
            }
            for (name, value) in &view.output.values {
                let value: String = value.chars().take(WIDEST).collect();
                out.line(format!("{}: {name}: {value}", step.title()));
            }
        }
    }
    for (step, question) in run.questions() {
        out.line(format!("step {} asks: {}", step.0, question.text));
        out.line(format!(
            "next: `mainstay run answer {name} {}` ({})",
            step.0, question.yes
        ));
    }
    for line in stopped(run, name) {
        out.line(line);
    }
    Ok(())
}

/// The steps that stopped a run without a question, and the commands that move it on.
fn stopped(run: &Run, name: &RunId) -> Vec<String> {
    let asked: BTreeSet<StepId> = run.questions().map(|(step, _)| step).collect();
    let waiting = run.steps().zip(&run.runbook().steps).filter(|(view, _)| {
        view.waits_for_person && !asked.contains(&view.id) && run.resting().is_some()
    });
    let mut lines = Vec::new();
    for (view, step) in waiting {
        let (id, title) = (view.id.0, step.title());
        let what = match view.direction {
            Direction::Undo => "could not be undone",
            Direction::Forward => "failed",
        };
        lines.push(format!("step {id}, {title}, {what}: {}", view.note));
        lines.push(format!(
            "next: `mainstay run retry {name} {id}` once that is mended"
        ));
        if may_be_skipped(step, view.direction) {
            lines.push(format!(
                "or:   `mainstay run skip {name} {id} --reason WHY` goes on without it"
            ));
        }
    }
    lines
}

/// `mainstay run watch`: reads only; whoever executes the run goes on undisturbed.
pub(crate) async fn watch(session: &Session, run: &RunId, out: &Output) -> Result<Exit, Failure> {
    let mut live = out.live();
    let mut seen: Vec<StepState> = Vec::new();
    loop {
        let replayed = session
            .desk
            .state
            .replay(run)
            .map_err(|error| Failure::new(error.code(), error))?;
        match &mut live {
            Some(live) => {
                let time = session.clock(run, replayed.runbook())?;
                let runbook = replayed.runbook();
                let mut picture = Picture::new(run.as_str(), runbook, time.began, time.objective);
                picture.take_run(&replayed);
                let detail = Detail::Rows(live.rows());
                live.draw(&picture.lines(context::now(), detail, out));
            }
            None => changed(&replayed, &mut seen, out),
        }
        let phase = replayed.phase();
        let rests = replayed.resting().is_some();
        if phase.is_over() || rests {
            if let Some(live) = &mut live {
                live.clear();
                draw(session, &replayed, run, out)?;
            }
            out.line(format!("run {run} {}", progress::word(phase)));
            out.value(&serde_json::json!({ "run": run, "phase": phase }));
            return Ok(progress::exit_of(phase));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = context::stopped() => return Ok(Exit::Interrupted),
        }
    }
}

/// A line for each step that changed since the last look.
fn changed(run: &Run, seen: &mut Vec<StepState>, out: &Output) {
    seen.resize(run.runbook().steps.len(), StepState::Pending);
    for (view, step) in run.steps().zip(&run.runbook().steps) {
        let before = &mut seen[view.id.index()];
        if *before != view.state {
            let (tone, word) = state_word(&view.state);
            let word = out.paint(tone, word);
            out.line(format!("{}: {word} {}", step.title(), view.note).trim_end());
            *before = view.state;
        }
    }
}
