//! Tells what a driver is asked and answers, for whoever traces.
//! Must not know who listens. Orders hold no secrets, and nothing else is told.

use std::sync::Arc;

use async_trait::async_trait;
use mainstay_model::{Reading, Sample, Scope};

use crate::{ActError, Driver, Handle, Order, Progress};

/// A driver whose calls are traced.
pub struct Traced(Arc<dyn Driver>);

impl Traced {
    /// Traces this driver.
    #[must_use]
    pub fn new(inner: Arc<dyn Driver>) -> Self {
        Self(inner)
    }
}

fn tell(call: &'static str, order: &Order, answer: &Result<Progress, ActError>) {
    let (id, driver, subject) = (&order.id, &order.action.driver, &order.action.subject);
    match answer {
        Ok(Progress::Done(_)) => tracing::debug!(%id, %driver, %subject, call, "done"),
        Ok(Progress::Running { note, .. }) => {
            let note = note.as_deref().unwrap_or_default();
            tracing::debug!(%id, %driver, %subject, call, note, "running");
        }
        Err(error) => tracing::warn!(%id, %driver, %subject, call, %error, "not done"),
    }
}

#[async_trait]
impl Driver for Traced {
    async fn observe(&self, scope: &Scope) -> Sample {
        let sample = self.0.observe(scope).await;
        let (driver, subject, site) = (&scope.driver, &scope.subject, &scope.site);
        if let Reading::Unreachable { why, .. } = &sample.reading {
            tracing::debug!(%driver, %subject, %site, %why, "unreachable");
        } else {
            tracing::trace!(%driver, %subject, %site, "observed");
        }
        sample
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        let answer = self.0.act(order).await;
        tell("act", order, &answer);
        answer
    }

    async fn poll(&self, order: &Order, handle: &Handle) -> Result<Progress, ActError> {
        let answer = self.0.poll(order, handle).await;
        tell("poll", order, &answer);
        answer
    }

    async fn recall(&self, order: &Order) -> Result<Progress, ActError> {
        let answer = self.0.recall(order).await;
        tell("recall", order, &answer);
        answer
    }
}
