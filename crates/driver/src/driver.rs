//! The `Driver` trait and its answers.
//! Must not know any concrete driver.

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use mainstay_model::{Action, EffectId, Epoch, Fence, Input, Output, Sample, Scope, Span};
use serde::{Deserialize, Serialize};

/// Why something was not done, for people: a lower-case fragment that fits "failed to ...". No secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{what}")]
pub struct Cause {
    /// A stable code, such as `store-unreachable`.
    pub code: String,
    /// What happened.
    pub what: String,
    /// Whether trying again without a change may help.
    pub retry: Retry,
}

impl Cause {
    /// A cause that may pass by itself. The code is written here, in quotes, and has a page: `cargo xtask check` looks.
    pub fn passing(code: &str, what: impl Into<String>) -> Self {
        Self::new(code, what, Retry::MayHelp)
    }

    /// A cause that somebody has to mend. For the code see [`Self::passing`].
    pub fn lasting(code: &str, what: impl Into<String>) -> Self {
        Self::new(code, what, Retry::Useless)
    }

    fn new(code: &str, what: impl Into<String>, retry: Retry) -> Self {
        Self {
            code: code.to_owned(),
            what: what.into(),
            retry,
        }
    }
}

/// Whether trying again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    /// It may pass by itself.
    MayHelp,
    /// Somebody has to change something first.
    Useless,
}

/// Names a long operation at its provider, so that anyone can poll it later, also after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handle(pub String);

/// How far an action has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// It is over.
    Done(Output),
    /// It goes on at its provider.
    Running {
        /// What to poll.
        handle: Handle,
        /// When.
        again_in: Span,
        /// What is known of it, for people: `412 of 900 MiB`.
        note: Option<String>,
    },
}

/// Why an action did not end well. The three cases are the whole contract about failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum ActError {
    /// The world is as before: certainly nothing was changed.
    #[error("{0}")]
    NotDone(Cause),
    /// Somebody with a newer epoch was here.
    #[error("refused: the store is at epoch {0}")]
    StaleEpoch(Epoch),
    /// It may have happened, in whole or in part. Only observing can tell.
    #[error("outcome unknown: {0}")]
    Unknown(Cause),
}

impl ActError {
    /// What a driver answers to [`Driver::recall`] when it cannot tell.
    #[must_use]
    pub fn not_recalled(order: &Order) -> Self {
        Self::Unknown(Cause::passing(
            "not-recalled",
            format!("nobody lived to see the end of {}", order.id),
        ))
    }
}

/// An action with everything its driver may need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The effect. A driver that can, hands it to its provider as idempotence key.
    pub id: EffectId,
    /// What to do.
    pub action: Action,
    /// The fencing token. The agent refuses one below the store's, the driver hands it to the store where it can.
    pub fence: Option<Fence>,
    /// Outputs of earlier steps.
    pub inputs: Vec<Input>,
}

/// The async half of a driver. It is given the declared component when it is built (see `mainstay-drivers`), and looks
/// up secrets itself, at the site that holds them.
#[async_trait]
pub trait Driver: Send + Sync {
    /// Looks, and changes nothing. Idempotent. Never fails: what cannot be seen is an unreachable reading, and
    /// what was not seen is absent from the facts. The sample is dated at the start of the observation.
    async fn observe(&self, scope: &Scope) -> Sample;

    /// Starts the action, or does it if it is short. Called at most once for an effect id: the agent answers a
    /// repeated one from its journal. An error says whether the world may have changed. Cancelling the future
    /// leaves the outcome unknown.
    async fn act(&self, order: &Order) -> Result<Progress, ActError>;

    /// Asks how far a long operation is. Idempotent. The handle may come from a process that is gone.
    async fn poll(&self, order: &Order, handle: &Handle) -> Result<Progress, ActError> {
        let _ = (order, handle);
        Err(ActError::Unknown(Cause::lasting(
            "unsupported",
            "this driver starts no long operations",
        )))
    }

    /// What became of an order that an earlier process carried out and did not live to see the end of, or whose
    /// outcome was unknown. Idempotent. A driver answers only what it can prove: an operation that appears whole or
    /// not at all is done or not done, one that goes on at its provider is running, and the rest stays unknown.
    async fn recall(&self, order: &Order) -> Result<Progress, ActError> {
        Err(ActError::not_recalled(order))
    }
}

/// The drivers of one site, by kind.
#[derive(Clone, Default)]
pub struct Drivers(BTreeMap<String, Arc<dyn Driver>>);

impl Drivers {
    /// No drivers yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the driver of a kind.
    #[must_use]
    pub fn with(mut self, kind: &str, driver: Arc<dyn Driver>) -> Self {
        self.0.insert(kind.to_owned(), driver);
        self
    }

    /// The driver of a kind.
    #[must_use]
    pub fn get(&self, kind: &str) -> Option<&Arc<dyn Driver>> {
        self.0.get(kind)
    }
}

impl fmt::Debug for Drivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
