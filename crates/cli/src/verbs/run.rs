//! `mainstay run`: list, show and steer runs.

use clap::{Args, Subcommand};
use mainstay_control::lock::LockError;
use mainstay_engine::{Answer, Event};
use mainstay_model::{RunId, Span, StepId};

use crate::{
    args::{Format, Global},
    context,
    error::{Exit, Failure},
    output::Output,
    progress,
    session::Session,
    verbs::run_show,
};

/// Options of `mainstay run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(subcommand)]
    what: What,
}

/// What is done with a run. Without a name the newest run is meant.
#[derive(Debug, Subcommand)]
enum What {
    /// List all runs, the newest first.
    List,
    /// Show a run's steps as a tree.
    Show(Name),
    /// Show a run until it rests.
    Watch(Name),
    /// Approve a run that somebody else asked for.
    Approve(Name),
    /// Carry on with a run that was left, or paused.
    Resume(Name),
    #[command(flatten)]
    Steer(Steer),
}

/// What is asked of a run while it is under way, or before it is carried on with.
#[derive(Debug, Subcommand)]
enum Steer {
    /// Start no new steps; what runs is let finish.
    Pause(Name),
    /// Try a step again.
    Retry(OneStep),
    /// Go on without a step.
    Skip(WithReason),
    /// Answer a step's question.
    Answer(Reply),
    /// Stop for good.
    Cancel(Reasoned),
    /// Undo everything, before commit.
    Retreat(Reasoned),
}

#[derive(Debug, Args)]
struct Name {
    /// The run.
    run: Option<String>,
}

#[derive(Debug, Args)]
struct OneStep {
    /// The run.
    run: String,
    /// The step's number, as `run show` prints it.
    step: u32,
}

#[derive(Debug, Args)]
struct WithReason {
    #[command(flatten)]
    step: OneStep,
    /// Why, for the record.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
struct Reply {
    #[command(flatten)]
    step: OneStep,
    /// The answer is no, and why.
    #[arg(long, value_name = "WHY")]
    no: Option<String>,
}

#[derive(Debug, Args)]
struct Reasoned {
    /// The run.
    run: Option<String>,
    /// Why, for the record.
    #[arg(long)]
    reason: String,
}

/// How long an approval is good.
const APPROVED_FOR: Span = Span::from_secs(3600);

pub(crate) async fn run(args: &RunArgs, global: &Global, out: &Output) -> Result<Exit, Failure> {
    let session = Session::open(global, out)?;
    let (name, event) = match &args.what {
        What::List => return run_show::list(&session, out),
        What::Show(name) => {
            return run_show::show(&session, &find(&session, name.run.as_deref())?, out);
        }
        What::Watch(name) => {
            return run_show::watch(&session, &find(&session, name.run.as_deref())?, out).await;
        }
        What::Resume(name) => {
            return resume(&session, &find(&session, name.run.as_deref())?, out).await;
        }
        What::Approve(name) => (name.run.as_deref(), approval(&session, name)?),
        What::Steer(what) => steer(what),
    };
    let run = find(&session, name)?;
    tell(&session, &run, event, out).await
}

/// Carries on; a run that came to its end before is told, with the same exit code.
async fn resume(session: &Session, run: &RunId, out: &Output) -> Result<Exit, Failure> {
    let row = session.desk.state.run(run);
    let phase = row
        .map_err(|error| Failure::new(error.code(), error))?
        .phase;
    if !phase.is_over() {
        return session.resume(run, out).await;
    }
    out.line(format!(
        "run {run} {}; there is nothing to carry on with",
        progress::word(phase)
    ));
    out.value(&serde_json::json!({ "run": run, "phase": phase }));
    Ok(progress::exit_of(phase))
}

/// An approval of the runbook as it is stored.
fn approval(session: &Session, name: &Name) -> Result<Event, Failure> {
    let run = find(session, name.run.as_deref())?;
    let runbook = session
        .desk
        .state
        .pinned(&run)
        .map_err(|error| Failure::new(error.code(), error))?;
    Ok(Event::Approved {
        by: context::person(),
        runbook: runbook.hash,
        until: context::now() + APPROVED_FOR,
    })
}

/// The run that is meant, and what is asked of it.
fn steer(what: &Steer) -> (Option<&str>, Event) {
    let by = context::person();
    match what {
        Steer::Retry(one) => (
            Some(&one.run),
            Event::Retried {
                step: StepId(one.step),
                by,
            },
        ),
        Steer::Skip(skip) => {
            let event = Event::Skipped {
                step: StepId(skip.step.step),
                by,
                reason: skip.reason.clone(),
            };
            (Some(&skip.step.run), event)
        }
        Steer::Answer(reply) => {
            let answer = reply
                .no
                .clone()
                .map_or(Answer::Yes, |why| Answer::No { why });
            (
                Some(&reply.step.run),
                Event::Answered {
                    step: StepId(reply.step.step),
                    by,
                    answer,
                },
            )
        }
        Steer::Cancel(why) => (
            why.run.as_deref(),
            Event::Cancelled {
                by,
                reason: why.reason.clone(),
            },
        ),
        Steer::Retreat(why) => (
            why.run.as_deref(),
            Event::Retreated {
                by,
                reason: why.reason.clone(),
            },
        ),
        Steer::Pause(name) => (name.run.as_deref(), Event::Paused { by }),
    }
}

/// The run of that name, or the newest one.
fn find(session: &Session, name: Option<&str>) -> Result<RunId, Failure> {
    let runs = session
        .desk
        .state
        .runs()
        .map_err(|error| Failure::new(error.code(), error))?;
    let found = match name {
        Some(name) => runs.iter().find(|row| row.run.as_str() == name),
        None => runs.first(),
    };
    let found = found.map(|row| row.run.clone());
    found.ok_or_else(|| {
        let which = name.map_or_else(
            || "there are no runs yet".to_owned(),
            |name| format!("there is no run {name}"),
        );
        Failure::usage("MS0009", which).next("`mainstay run list`")
    })
}

/// Hands an event to whoever executes the run; if nobody does, it is carried on with here.
async fn tell(session: &Session, run: &RunId, event: Event, out: &Output) -> Result<Exit, Failure> {
    let state = &session.desk.state;
    let row = state
        .run(run)
        .map_err(|error| Failure::new(error.code(), error))?;
    if row.phase.is_over() {
        return Err(Failure::refused(
            "MS0014",
            format!("run {run} {}", progress::word(row.phase)),
        ));
    }
    match session.desk.lock().await {
        Ok(lock) => {
            // A pause of a run that nobody executes is what it already is.
            if matches!(event, Event::Paused { .. }) {
                out.line(format!(
                    "run {run} is not being executed; `mainstay run resume {run}` carries on"
                ));
                return Ok(Exit::Waiting);
            }
            session.resume_with(lock, run, vec![event], out).await
        }
        Err(LockError::Held { .. }) => {
            state
                .ask(run, &event)
                .await
                .map_err(|error| Failure::new(error.code(), error))?;
            out.line(format!("asked the mover that executes run {run}; `mainstay run watch {run}` shows what comes of it"));
            out.value(&serde_json::json!({ "asked": run }));
            Ok(Exit::Done)
        }
        Err(error) => Err(Failure::new(error.code(), error)),
    }
}
