//! Bounds how long a driver's calls take.
//! Must not know what a call does; one that is cut short may have done it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mainstay_model::{AgentId, Reading, Sample, Scope};

use crate::{ActError, Cause, Driver, Handle, Order, Progress, now::now};

/// How long calls may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A look.
    pub observe: Duration,
    /// The start of an action, or a short one.
    pub act: Duration,
    /// A question about a long one.
    pub poll: Duration,
}

/// A driver whose calls end in time. An act that does not is an unknown outcome, a look that does not saw nothing.
pub struct Limited {
    inner: Arc<dyn Driver>,
    by: AgentId,
    limits: Limits,
}

impl Limited {
    /// Bounds this driver; `by` signs samples of looks that did not end.
    #[must_use]
    pub fn new(inner: Arc<dyn Driver>, by: AgentId, limits: Limits) -> Self {
        Self { inner, by, limits }
    }
}

fn late(limit: Duration) -> ActError {
    ActError::Unknown(Cause::passing(
        "timeout",
        format!("no answer within {limit:?}"),
    ))
}

#[async_trait]
impl Driver for Limited {
    async fn observe(&self, scope: &Scope) -> Sample {
        let at = now();
        let look = tokio::time::timeout(self.limits.observe, self.inner.observe(scope));
        look.await.unwrap_or_else(|_| Sample {
            reading: Reading::Unreachable {
                since: at,
                why: format!("no answer within {:?}", self.limits.observe),
            },
            at,
            by: self.by.clone(),
        })
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        let limit = self.limits.act;
        let act = tokio::time::timeout(limit, self.inner.act(order)).await;
        act.unwrap_or_else(|_| Err(late(limit)))
    }

    async fn poll(&self, order: &Order, handle: &Handle) -> Result<Progress, ActError> {
        let limit = self.limits.poll;
        let poll = tokio::time::timeout(limit, self.inner.poll(order, handle)).await;
        poll.unwrap_or_else(|_| Err(late(limit)))
    }

    async fn recall(&self, order: &Order) -> Result<Progress, ActError> {
        let limit = self.limits.poll;
        let recall = tokio::time::timeout(limit, self.inner.recall(order)).await;
        recall.unwrap_or_else(|_| Err(late(limit)))
    }
}
