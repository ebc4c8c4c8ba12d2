//! The async half of `process`: finds the component and hands it the order.
//! Must not know how a process is run.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use mainstay_driver::{ActError, Cause, Driver, Order, Progress};
use mainstay_model::{ComponentId, Op, Output, Sample, Scope, Subject};

use super::{NAME, options::ProcessAt, supervised::Supervised};
use crate::shared::{Home, lasting, now, refused};

/// The async half, for every `process` workload of one site. It supervises from the moment it is built inside a
/// tokio runtime; what it started lives on when it is dropped.
pub(crate) struct ProcessDriver {
    home: Home,
    components: BTreeMap<ComponentId, Result<Arc<Supervised>, Cause>>,
}

impl ProcessDriver {
    pub(crate) fn new(home: Home) -> Self {
        let mut components = BTreeMap::new();
        for (name, workload) in &home.plan.workloads {
            let declared = &workload.declared;
            if declared.kind.as_str() != NAME || !declared.at.contains_key(&home.site) {
                continue;
            }
            let component = Home::options::<ProcessAt>(declared, &home.site).map(|at| {
                let (role, grace) = (workload.role, workload.grace);
                Supervised::new(home.clone(), declared.clone(), at, role, grace)
            });
            if let Ok(component) = &component {
                Supervised::watch(component);
            }
            components.insert(name.clone(), component);
        }
        Self { home, components }
    }

    fn component(&self, subject: &Subject) -> Result<&Arc<Supervised>, Cause> {
        let found = subject
            .component()
            .and_then(|name| self.components.get(name));
        match found {
            Some(Ok(component)) => Ok(component),
            Some(Err(cause)) => Err(cause.clone()),
            None => Err(lasting(
                "unknown-component",
                format!("{subject} is not a process at {}", self.home.site),
            )),
        }
    }
}

#[async_trait]
impl Driver for ProcessDriver {
    async fn observe(&self, scope: &Scope) -> Sample {
        let at = now();
        let seen = if scope.site == self.home.site {
            match self.component(&scope.subject) {
                Ok(component) => component.look().await,
                Err(cause) => Err(cause),
            }
        } else {
            let what = format!("processes of {} are seen by its own agent only", scope.site);
            Err(lasting("wrong-site", what))
        };
        self.home.sample(at, seen)
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        self.home.own(&order.action.site)?;
        let component = self
            .component(&order.action.subject)
            .map_err(ActError::NotDone)?;
        let output = match &order.action.op {
            Op::Start => component.start().await,
            Op::Stop => component.stop().await,
            Op::Rebind => component.restart().await,
            Op::Reconcile { skew } => component.reconcile(order, *skew).await,
            Op::Hold => component.hold(order).await,
            Op::Release => component.release(order).await,
            // Nothing that reaches a stopped process is kept anywhere.
            Op::Sweep => Ok(Output::default()),
            other => Err(refused(
                "unsupported",
                format!("process does not know how to carry out {other:?}"),
            )),
        };
        output.map(Progress::Done)
    }
    async fn recall(&self, order: &Order) -> Result<Progress, ActError> {
        match &order.action.op {
            Op::Sweep => Ok(Progress::Done(Output::default())),
            _ => Err(ActError::not_recalled(order)),
        }
    }
}
