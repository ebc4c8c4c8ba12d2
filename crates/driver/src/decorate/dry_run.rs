//! Looks for real and never acts: what would have been ordered is kept.
//! Must not know what is done with it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use mainstay_model::{Sample, Scope};

use crate::{ActError, Cause, Driver, Handle, Order, Progress};

/// A driver that only looks. Every order is refused as certainly not done, and kept.
pub struct DryRun {
    inner: Arc<dyn Driver>,
    orders: Mutex<Vec<Order>>,
}

impl DryRun {
    /// Looks through this driver.
    #[must_use]
    pub fn new(inner: Arc<dyn Driver>) -> Self {
        Self {
            inner,
            orders: Mutex::default(),
        }
    }

    /// What would have been ordered so far.
    #[must_use]
    pub fn orders(&self) -> Vec<Order> {
        self.orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[async_trait]
impl Driver for DryRun {
    async fn observe(&self, scope: &Scope) -> Sample {
        self.inner.observe(scope).await
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        self.orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(order.clone());
        Err(ActError::NotDone(Cause::lasting(
            "dry-run",
            "this is a dry run: nothing is changed",
        )))
    }

    async fn poll(&self, order: &Order, handle: &Handle) -> Result<Progress, ActError> {
        self.inner.poll(order, handle).await
    }

    async fn recall(&self, order: &Order) -> Result<Progress, ActError> {
        self.inner.recall(order).await
    }
}
