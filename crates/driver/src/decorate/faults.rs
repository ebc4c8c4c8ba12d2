//! Makes a driver fail in every way in which the world fails, in a given order.
//! Must not know chance: what fails is an input.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mainstay_model::{Reading, Sample, Scope};

use crate::{ActError, Cause, Driver, Handle, Order, Progress};

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It takes so much longer.
    Slow(Duration),
    /// An act is refused before anything happens; a look does not get through.
    Refused,
    /// An act is lost on the way, and nobody knows; a look does not get through.
    Lost,
    /// An act happens, and its answer is lost; a look is answered.
    AnswerLost,
    /// An act happens twice, as with a request that a network repeats; a look is answered.
    Twice,
}

/// A driver whose calls go wrong as listed: the first fault for the first act, and so on; then nothing fails.
pub struct Faults {
    inner: Arc<dyn Driver>,
    acts: Mutex<VecDeque<Fault>>,
    looks: Mutex<VecDeque<Fault>>,
}

impl Faults {
    /// Faults for the next acts and the next looks.
    #[must_use]
    pub fn new(
        inner: Arc<dyn Driver>,
        acts: impl IntoIterator<Item = Fault>,
        looks: impl IntoIterator<Item = Fault>,
    ) -> Self {
        Self {
            inner,
            acts: Mutex::new(acts.into_iter().collect()),
            looks: Mutex::new(looks.into_iter().collect()),
        }
    }
}

fn next(faults: &Mutex<VecDeque<Fault>>) -> Fault {
    faults
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pop_front()
        .unwrap_or(Fault::None)
}

fn injected(what: &str) -> Cause {
    Cause::passing("injected", what)
}

#[async_trait]
impl Driver for Faults {
    async fn observe(&self, scope: &Scope) -> Sample {
        let fault = next(&self.looks);
        if let Fault::Slow(longer) = fault {
            tokio::time::sleep(longer).await;
        }
        let sample = self.inner.observe(scope).await;
        match fault {
            Fault::Refused | Fault::Lost => Sample {
                reading: Reading::Unreachable {
                    since: sample.at,
                    why: "injected".to_owned(),
                },
                ..sample
            },
            Fault::None | Fault::Slow(_) | Fault::AnswerLost | Fault::Twice => sample,
        }
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        match next(&self.acts) {
            Fault::None => self.inner.act(order).await,
            Fault::Slow(longer) => {
                tokio::time::sleep(longer).await;
                self.inner.act(order).await
            }
            Fault::Refused => Err(ActError::NotDone(injected("refused on purpose"))),
            Fault::Lost => Err(ActError::Unknown(injected("lost on purpose"))),
            Fault::AnswerLost => {
                let _ = self.inner.act(order).await;
                Err(ActError::Unknown(injected(
                    "the answer was lost on purpose",
                )))
            }
            Fault::Twice => {
                let _ = self.inner.act(order).await;
                self.inner.act(order).await
            }
        }
    }

    async fn poll(&self, order: &Order, handle: &Handle) -> Result<Progress, ActError> {
        self.inner.poll(order, handle).await
    }

    async fn recall(&self, order: &Order) -> Result<Progress, ActError> {
        self.inner.recall(order).await
    }
}
