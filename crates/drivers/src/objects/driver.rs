//! The async half of `objects`: whose the store is. It cannot hold a mark, so the agent keeps it.
//! Must not know containers.

use async_trait::async_trait;
use mainstay_driver::{ActError, Driver, Order, Progress};
use mainstay_model::{Declared, Facts, Sample, Scope, SiteId};

use super::{NAME, options::ObjectsAt};
use crate::shared::{Asker, Here, Home, Kept, unknown};

/// The async half, for every `objects` store of one site.
#[derive(Debug, Clone)]
pub(crate) struct ObjectsDriver {
    home: Home,
}

impl ObjectsDriver {
    pub(crate) fn new(home: Home) -> Self {
        Self { home }
    }
}

pub(super) fn kept(home: &Home, declared: &Declared, site: &SiteId) -> Kept {
    let here = Here::by_plan(home, &declared.name, site);
    Kept::of(home, &declared.name, site, here)
}

#[async_trait]
impl Driver for ObjectsDriver {
    async fn observe(&self, scope: &Scope) -> Sample {
        let look = |home: &Home, scope: &Scope| {
            let declared = home.declared(&scope.subject)?;
            let _: ObjectsAt = Home::options(declared, &scope.site)?;
            Ok(Facts {
                exists: Some(true),
                store: Some(kept(home, declared, &scope.site).facts()?),
                ..Facts::default()
            })
        };
        self.home.look(scope, look).await
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        let (home, order) = (self.home.clone(), order.clone());
        let work = move || {
            let action = &order.action;
            home.own(&action.site)?;
            let declared = home.declared(&action.subject).map_err(ActError::NotDone)?;
            let asker = Asker {
                site: &action.site,
                run: &order.id.run,
                fence: order.fence.as_ref().map(|fence| fence.epoch),
            };
            kept(&home, declared, &action.site).carry_out(asker, &action.op, NAME)
        };
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| Err(unknown("driver-fault", error.to_string())))
            .map(Progress::Done)
    }
}
