//! The async half of `exec`: finds the program for an order, a look, a step or a fence, and runs it.
//! Must not know what the programs do.

use async_trait::async_trait;
use mainstay_driver::{ActError, Cause, Driver, Order, Progress};
use mainstay_model::{
    Class, Declared, Facts, Health, Op, Output, Sample, Scope, Subject, TeamStep, WorkloadFacts,
};
use serde::Deserialize;

use super::{fence, options::ExecAt, store};
use crate::shared::{Home, Program, Said, lasting, now, reconcile, reconciled, refused, run};

/// The most of what a program printed that goes into a report, in characters.
const EXCERPT: usize = 2000;

/// The async half, for every `exec` workload, store, step and fence that one site's agent runs.
#[derive(Debug, Clone)]
pub(crate) struct ExecDriver {
    home: Home,
}

impl ExecDriver {
    pub(crate) fn new(home: Home) -> Self {
        Self { home }
    }

    /// A component of this kind; a fence may be about any store.
    fn own(&self, subject: &Subject) -> Option<&Declared> {
        let declared = self.home.declared(subject).ok();
        declared.filter(|declared| declared.kind.as_str() == super::NAME)
    }

    async fn look(&self, scope: &Scope) -> Result<Facts, Cause> {
        let Some(declared) = self.own(&scope.subject) else {
            return fence::look(&self.home, scope).await;
        };
        if declared.class == Class::Store {
            return store::look(&self.home, declared, scope).await;
        }
        let at: ExecAt = Home::options(declared, &scope.site)?;
        let (running, ready, held, verified, exists, version) = tokio::join!(
            self.says(at.running.as_ref(), &scope.subject),
            self.says(at.ready.as_ref(), &scope.subject),
            self.says(at.held.as_ref(), &scope.subject),
            self.says(at.verify.as_ref(), &scope.subject),
            self.says(at.exists.as_ref(), &scope.subject),
            self.says(at.version.as_ref(), &scope.subject),
        );
        let runs = yes(running.as_ref()).or_else(|| yes(ready.as_ref()).filter(|ready| *ready));
        let version = match version {
            Some(Said::Yes(out)) => out.lines().next().map(str::to_owned),
            _ => None,
        };
        Ok(Facts {
            exists: match at.exists {
                Some(_) => yes(exists.as_ref()),
                None => Some(true),
            },
            workload: Some(WorkloadFacts {
                running: runs.map(u32::from),
                ready: yes(ready.as_ref()).map(u32::from),
                held: yes(held.as_ref()),
                version,
            }),
            health: verified.or(ready).map(|said| match said {
                Said::Yes(_) => Health::Passed,
                Said::No(why) => Health::Failed(why),
            }),
            reconciled: match (&at.reconcile, scope.subject.component()) {
                (Some(_), Some(component)) => Some(reconciled(&self.home, component)?),
                _ => None,
            },
            ..Facts::default()
        })
    }

    /// What a program that changes nothing says; nothing if there is none or it does not know.
    async fn says(&self, program: Option<&Program>, subject: &Subject) -> Option<Said> {
        let variables = [("MAINSTAY_COMPONENT", subject.to_string())];
        run(&self.home, program?, &variables).await.ok()
    }

    async fn carry_out(&self, order: &Order) -> Result<Output, ActError> {
        let action = &order.action;
        if let Op::Fence(below) = action.op {
            return fence::fence(&self.home, order, below).await;
        }
        self.home.own(&action.site)?;
        if let (Op::Custom { .. }, Some(step)) = (&action.op, self.home.team_step(&action.subject))
        {
            return self.run_step(order, step).await;
        }
        let declared = self
            .home
            .declared(&action.subject)
            .map_err(ActError::NotDone)?;
        if declared.class == Class::Store {
            return store::carry_out(&self.home, declared, order).await;
        }
        let at: ExecAt = Home::options(declared, &action.site).map_err(ActError::NotDone)?;
        if let (Op::Reconcile { skew }, Some(program)) = (&action.op, &at.reconcile) {
            return reconcile(&self.home, program, order, *skew).await;
        }
        let (word, program) = match &action.op {
            Op::Start => ("start", at.start),
            Op::Stop => ("stop", at.stop),
            Op::Hold => ("hold", at.hold),
            Op::Release => ("release", at.release),
            Op::Rebind => ("rebind", at.rebind),
            Op::Provision => ("provision", at.provision),
            Op::Deprovision => ("deprovision", at.deprovision),
            Op::Sweep if at.sweep.is_none() => return Ok(Output::default()),
            Op::Sweep => ("sweep", at.sweep),
            other => {
                let what = format!("exec does not know how to carry out {other:?}");
                return Err(refused("unsupported", what));
            }
        };
        let Some(program) = program else {
            let what = format!("{} declares no program for {word}", action.subject);
            return Err(refused("unsupported", what));
        };
        self.tell(order, word, &program).await
    }

    async fn run_step(&self, order: &Order, step: &TeamStep) -> Result<Output, ActError> {
        let program = Program::deserialize(&step.options)
            .map_err(|error| ActError::NotDone(lasting("options-invalid", error.to_string())))?;
        self.tell(order, "step", &program).await
    }

    /// Runs a program that changes something.
    async fn tell(&self, order: &Order, word: &str, program: &Program) -> Result<Output, ActError> {
        let starts = matches!(order.action.op, Op::Start | Op::Rebind | Op::Provision);
        if starts && self.home.place.quarantine.active() {
            let what = "the site is quarantined: nothing is started until it was reprotected";
            return Err(refused("quarantined", what));
        }
        let variables = [
            ("MAINSTAY_OP", word.to_owned()),
            ("MAINSTAY_COMPONENT", order.action.subject.to_string()),
            ("MAINSTAY_RUN", order.id.run.to_string()),
            ("MAINSTAY_EFFECT", order.id.to_string()),
        ];
        match run(&self.home, program, &variables).await? {
            Said::Yes(out) => Ok(Output {
                position: None,
                values: [(word.to_owned(), out.chars().take(EXCERPT).collect())].into(),
            }),
            Said::No(why) => Err(refused("program-refused", format!("{word}: {why}"))),
        }
    }
}

fn yes(said: Option<&Said>) -> Option<bool> {
    said.map(|said| matches!(said, Said::Yes(_)))
}

#[async_trait]
impl Driver for ExecDriver {
    async fn observe(&self, scope: &Scope) -> Sample {
        let at = now();
        let seen = self.look(scope).await;
        self.home.sample(at, seen)
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        self.carry_out(order).await.map(Progress::Done)
    }
}
