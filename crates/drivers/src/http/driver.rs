//! The async half of `http`: asks, tells, and waits until what it told is seen.
//! Must not know what is behind the URLs.

use async_trait::async_trait;
use mainstay_driver::{ActError, Cause, Driver, Order, Progress};
use mainstay_model::{Facts, Health, Op, Output, Sample, Scope, Span, WorkloadFacts};
use serde::Deserialize;

use super::options::HttpAt;
use crate::shared::{Home, HttpCall, Wanted, ask, check, lasting, now, refused, tell, until};

/// How long a change may take until it is seen.
const WITHIN: Span = Span::from_secs(60);
/// The most of an answer that goes into a report, in characters.
const EXCERPT: usize = 2000;

/// The async half, for every `http` workload and every team's step of one site.
#[derive(Debug, Clone)]
pub(crate) struct HttpDriver {
    home: Home,
}

impl HttpDriver {
    pub(crate) fn new(home: Home) -> Self {
        Self { home }
    }

    async fn look(&self, scope: &Scope) -> Result<Facts, Cause> {
        let declared = self.home.declared(&scope.subject)?;
        let at: HttpAt = Home::options(declared, &scope.site)?;
        let (ready, running, held, verified, version) = tokio::join!(
            self.answers(at.ready.as_ref()),
            self.answers(at.running.as_ref()),
            self.answers(at.held.as_ref()),
            self.answers(at.verify.as_ref()),
            self.version(&at),
        );
        let answers = [&ready, &running, &held, &verified];
        let mut asked = answers.into_iter().flatten().peekable();
        if let Some(Err(cause)) = asked.peek()
            && asked.clone().all(Result::is_err)
        {
            return Err(cause.clone());
        }
        let runs = known(running.as_ref()).or_else(|| known(ready.as_ref()).filter(|ready| *ready));
        Ok(Facts {
            exists: Some(true),
            workload: Some(WorkloadFacts {
                running: runs.map(u32::from),
                // No answer is no readiness; that it is stopped does not follow.
                ready: ready
                    .as_ref()
                    .map(|answer| u32::from(matches!(answer, Ok(None)))),
                held: known(held.as_ref()),
                version,
            }),
            health: verified
                .as_ref()
                .or(ready.as_ref())
                .and_then(|answer| match answer {
                    Ok(None) => Some(Health::Passed),
                    Ok(Some(why)) => Some(Health::Failed(why.clone())),
                    Err(_) => None,
                }),
            ..Facts::default()
        })
    }

    /// Nothing if it is not declared; else why the answer is not the expected one, if it is not.
    async fn answers(&self, call: Option<&HttpCall>) -> Option<Result<Option<String>, Cause>> {
        let answer = check(call?, &self.home.place.base).await;
        Some(answer.map_err(crate::shared::AskError::cause))
    }

    async fn version(&self, at: &HttpAt) -> Option<String> {
        let version = at.version.as_ref()?;
        let call = HttpCall {
            get: Some(version.get.clone()),
            ..HttpCall::default()
        };
        let answer = ask(&call, &self.home.place.base).await.ok()?;
        answer.version(version.field.as_deref())
    }

    async fn carry_out(&self, order: &Order) -> Result<Output, ActError> {
        let action = &order.action;
        self.home.own(&action.site)?;
        if let (Op::Custom { .. }, Some(step)) = (&action.op, self.home.team_step(&action.subject))
        {
            return self.run_step(order, &step.options).await;
        }
        let declared = self
            .home
            .declared(&action.subject)
            .map_err(ActError::NotDone)?;
        let at: HttpAt = Home::options(declared, &action.site).map_err(ActError::NotDone)?;
        let within = at.within.unwrap_or(WITHIN);
        let base = &self.home.place.base;
        let seen = async |call: Option<&HttpCall>, wanted: Wanted| match call {
            Some(call) => until(call, wanted, base, within).await,
            None => Ok(()),
        };
        match &action.op {
            Op::Hold => {
                tell(at.hold.as_ref(), base, "hold", order).await?;
                seen(at.held.as_ref(), Wanted::Expected).await?;
            }
            Op::Release => {
                tell(at.release.as_ref(), base, "release", order).await?;
                seen(at.held.as_ref(), Wanted::Other).await?;
            }
            Op::Start => {
                tell(at.start.as_ref(), base, "start", order).await?;
                seen(at.ready.as_ref().or(at.running.as_ref()), Wanted::Expected).await?;
            }
            Op::Stop => {
                tell(at.stop.as_ref(), base, "stop", order).await?;
                seen(at.running.as_ref(), Wanted::Other).await?;
            }
            Op::Rebind => {
                tell(at.rebind.as_ref(), base, "rebind", order).await?;
                seen(at.ready.as_ref(), Wanted::Expected).await?;
            }
            Op::Sweep if at.sweep.is_none() => {}
            Op::Sweep => {
                let answer = tell(at.sweep.as_ref(), base, "sweep", order).await?;
                return Ok(said("sweep", &answer.body));
            }
            other => {
                let what = format!("http does not know how to carry out {other:?}");
                return Err(refused("unsupported", what));
            }
        }
        Ok(Output::default())
    }

    /// A team's own step: one request.
    async fn run_step(
        &self,
        order: &Order,
        options: &serde_json::Value,
    ) -> Result<Output, ActError> {
        let call = HttpCall::deserialize(options)
            .map_err(|error| ActError::NotDone(lasting("options-invalid", error.to_string())))?;
        let answer = tell(Some(&call), &self.home.place.base, "step", order).await?;
        Ok(said("answer", &answer.body))
    }
}

/// A declared question's answer: the expected one or another; none if there was no answer.
fn known(answer: Option<&Result<Option<String>, Cause>>) -> Option<bool> {
    match answer? {
        Ok(differs) => Some(differs.is_none()),
        Err(_) => None,
    }
}

fn said(name: &str, body: &[u8]) -> Output {
    let text: String = String::from_utf8_lossy(body)
        .trim()
        .chars()
        .take(EXCERPT)
        .collect();
    Output {
        position: None,
        values: [(name.to_owned(), text)].into(),
    }
}

#[async_trait]
impl Driver for HttpDriver {
    async fn observe(&self, scope: &Scope) -> Sample {
        let at = now();
        let seen = self.look(scope).await;
        self.home.sample(at, seen)
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        self.carry_out(order).await.map(Progress::Done)
    }
}
