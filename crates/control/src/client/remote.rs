//! The driver that hands everything on to an agent: to whoever uses it, an agent is a driver.
//! Must not know any concrete driver.

use async_trait::async_trait;
use mainstay_driver::{ActError, Cause, Driver, Handle, Order, Progress};
use mainstay_model::{AgentId, ExecutorEpoch, Reading, Sample, Scope, Timestamp};

use super::{AgentClient, ClientError};
use crate::clock;

/// An agent at the other end of a socket, as a [`Driver`].
#[derive(Debug, Clone)]
pub struct Remote {
    agent: AgentClient,
    by: AgentId,
    executor: Option<ExecutorEpoch>,
}

impl Remote {
    /// Speaks in the name of `by`; with an executor, the agent refuses older ones from the first look on.
    #[must_use]
    pub fn new(agent: AgentClient, by: AgentId, executor: Option<ExecutorEpoch>) -> Self {
        Self {
            agent,
            by,
            executor,
        }
    }

    /// The client behind it.
    #[must_use]
    pub fn agent(&self) -> &AgentClient {
        &self.agent
    }

    fn silent(&self, at: Timestamp, why: String) -> Sample {
        Sample {
            reading: Reading::Unreachable { since: at, why },
            at,
            by: self.by.clone(),
        }
    }
}

#[async_trait]
impl Driver for Remote {
    async fn observe(&self, scope: &Scope) -> Sample {
        let at = clock::now();
        match self.agent.observe(vec![scope.clone()], self.executor).await {
            Ok(samples) => match samples.into_iter().next() {
                Some(sample) => sample,
                None => self.silent(at, "the agent answered nothing".to_owned()),
            },
            Err(error) => self.silent(at, error.to_string()),
        }
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        match self.agent.act(order.clone()).await {
            Ok(reply) => reply.into(),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn poll(&self, order: &Order, handle: &Handle) -> Result<Progress, ActError> {
        match self.agent.poll(order.clone(), handle.clone()).await {
            Ok(reply) => reply.into(),
            // A poll that was not heard says nothing about what it asked about.
            Err(error) => Err(ActError::Unknown(cause(&error))),
        }
    }
}

/// What a failed call proves about an order: only one that was never heard was certainly not carried out.
fn failed(error: &ClientError) -> ActError {
    match error {
        ClientError::NotReached { .. } | ClientError::Client(_) => ActError::NotDone(cause(error)),
        ClientError::NoAnswer { .. } | ClientError::Refused { .. } => {
            ActError::Unknown(cause(error))
        }
    }
}

fn cause(error: &ClientError) -> Cause {
    Cause::passing(error.code(), error.to_string())
}
