//! Measures the engine on the real journal: many steps at once, a driver that does nothing, one line of JSON.
//!
//! `cargo run --release -p mainstay-control --example bench_engine -- [--json] [--steps N] [--concurrency N] [--sync-ms N] [--dir D]`

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use mainstay_control::{
    clock,
    db::SlowSync,
    dispatch::{self, Hands, NewMove, Options, Signals},
    mainstay,
    state::State,
};
use mainstay_driver::{ActError, Driver, Order, Progress};
use mainstay_engine::{Approval, Limits, RunPhase};
use mainstay_model::{
    Action, AgentId, Body, ComponentId, Facts, Goal, KindName, Kinds, MoveMode, Necessity,
    OnFailure, Op, Output, Phase, Predicate, RUNBOOK_VERSION, Reading, Runbook, Sample, Scope,
    SiteId, Span, Step, StepId, Subject, Undo, WorkloadFacts,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Remembers what it was told, and does nothing.
#[derive(Default)]
struct Nothing(Mutex<BTreeSet<Subject>>);

#[async_trait]
impl Driver for Nothing {
    async fn observe(&self, scope: &Scope) -> Sample {
        let started = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = u32::from(started.contains(&scope.subject));
        let facts = Facts {
            workload: Some(WorkloadFacts {
                running: Some(running),
                ready: Some(running),
                ..WorkloadFacts::default()
            }),
            ..Facts::default()
        };
        Sample {
            reading: Reading::Known(Box::new(facts)),
            at: clock::now(),
            by: self.name(),
        }
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        let mut started = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        started.insert(order.action.subject.clone());
        Ok(Progress::Done(Output::default()))
    }
}

impl Nothing {
    #[expect(clippy::unused_self, clippy::unwrap_used, reason = "a constant name")]
    fn name(&self) -> AgentId {
        AgentId::new("nobody").unwrap()
    }
}

struct Args {
    steps: u32,
    concurrency: u32,
    sync: SlowSync,
    dir: Option<PathBuf>,
}

impl Args {
    fn read() -> Result<Self, Failure> {
        let mut read = Self {
            steps: 10_000,
            concurrency: 64,
            sync: SlowSync::No,
            dir: None,
        };
        // What it prints is JSON anyway.
        let mut args = std::env::args().skip(1).filter(|name| name != "--json");
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--steps" => read.steps = value.parse()?,
                "--concurrency" => read.concurrency = value.parse()?,
                "--sync-ms" => {
                    read.sync = match value.parse()? {
                        0 => SlowSync::No,
                        longer => SlowSync::By(Duration::from_millis(longer)),
                    }
                }
                "--dir" => read.dir = Some(value.into()),
                _ => return Err(format!("{name} is not known").into()),
            }
        }
        Ok(read)
    }
}

fn step(number: u32, kind: &KindName, site: &SiteId) -> Result<Step, Failure> {
    let subject = Subject::Component(ComponentId::new(format!("c{number}"))?);
    let scope = Scope {
        driver: kind.clone(),
        subject: subject.clone(),
        site: site.clone(),
        from: site.clone(),
    };
    Ok(Step {
        id: StepId(number),
        phase: Phase::Activate,
        subject: subject.clone(),
        site: site.clone(),
        at: site.clone(),
        after: Vec::new(),
        requires: Vec::new(),
        goals: vec![Goal {
            scope,
            is: Predicate::Ready(1),
        }],
        inputs: Vec::new(),
        body: Body::Act(Action {
            driver: kind.clone(),
            subject,
            site: site.clone(),
            op: Op::Start,
        }),
        undo: Undo::Nothing,
        fence: None,
        necessity: Necessity::Required,
        timeout: Span::from_secs(60),
        estimate: Span::from_millis(1),
    })
}

fn runbook(steps: u32, kind: &KindName, site: &SiteId) -> Result<Runbook, Failure> {
    let steps: Result<Vec<_>, _> = (0..steps).map(|number| step(number, kind, site)).collect();
    Ok(Runbook {
        version: RUNBOOK_VERSION,
        system: "bench".to_owned(),
        plan_hash: String::new(),
        mode: MoveMode::Switchover,
        before: BTreeMap::new(),
        target: BTreeMap::new(),
        leaves: Vec::new(),
        epochs: BTreeMap::new(),
        loss: None,
        acceptance: None,
        discards: None,
        on_failure: OnFailure::Hold,
        estimate: Span::ZERO,
        steps: steps?,
    })
}

async fn measure(args: &Args, dir: &std::path::Path) -> Result<serde_json::Value, Failure> {
    let (kind, site) = (KindName::new("nothing")?, SiteId::new("here")?);
    let state = Arc::new(State::open_with(&dir.join("state.db"), args.sync)?);
    let driver: Arc<dyn Driver> = Arc::new(Nothing::default());
    let hands = Hands::new(Kinds::new(), BTreeMap::from([(site.clone(), driver)]));
    let new = NewMove {
        runbook: Arc::new(runbook(args.steps, &kind, &site)?),
        by: mainstay(),
        parent: None,
        approval: Approval::NotNeeded,
    };
    let options = Options {
        signals: Signals::Ignore,
        limits: Limits {
            concurrency: args.concurrency,
            ..Limits::default()
        },
        ..Options::default()
    };
    let before = state.stats().syncs.load(Ordering::Relaxed);
    let began = Instant::now();
    let run =
        dispatch::start_with(Arc::clone(&state), hands, None, new, Vec::new(), options).await?;
    let id = run.run.clone();
    let phase = run.rest().await?;
    let seconds = began.elapsed().as_secs_f64();
    let syncs = state.stats().syncs.load(Ordering::Relaxed) - before;
    if phase != RunPhase::Succeeded {
        return Err(format!("the run ended {phase:?}").into());
    }
    let replayed = state.replay(&id)?;
    let mut overheads: Vec<u64> = replayed
        .steps()
        .filter_map(|view| Some(view.ended?.since(view.started?).0))
        .collect();
    overheads.sort_unstable();
    let p99 = overheads.get(overheads.len() * 99 / 100).copied();
    let p99 = Span(p99.unwrap_or(0)).as_secs_f64() * 1000.0;
    let steps = f64::from(args.steps);
    #[expect(clippy::cast_precision_loss, reason = "a report; syncs are few")]
    let syncs = syncs as f64;
    Ok(serde_json::json!({
        "steps": args.steps,
        "seconds": seconds,
        "steps_per_s": steps / seconds,
        "step_overhead_p99_ms": p99,
        "syncs_per_step": syncs / steps,
    }))
}

#[tokio::main]
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is what it is for"
)]
async fn main() -> ExitCode {
    let measured = async {
        let args = Args::read()?;
        match &args.dir {
            Some(dir) => measure(&args, dir).await,
            None => measure(&args, tempfile::tempdir()?.path()).await,
        }
    };
    match measured.await {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("failed to measure: {error}");
            ExitCode::FAILURE
        }
    }
}
