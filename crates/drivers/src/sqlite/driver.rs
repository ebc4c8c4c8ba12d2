//! The async half of `sqlite`: takes an order apart and hands it to the part that carries it out.
//! Must not know SQLite itself.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use mainstay_driver::{ActError, Cause, Driver, Order, Progress};
use mainstay_model::{ComponentId, Declared, Epoch, Facts, Op, Output, Sample, Scope, SiteId};

use super::{
    copy::{Source, copy},
    observe::{Digests, observe},
    options::SqliteAt,
    own::{Ours, demote, initialise, is_unmarked, open_for_writes, seal},
    salvage::{salvage, saved},
    saves::SqliteSaves,
};
use crate::shared::{Asker, Home, Replaces, hindered, lasting, owned, refused, unknown};

/// The async half, for every `sqlite` store of one site.
#[derive(Debug, Clone)]
pub(crate) struct SqliteDriver {
    home: Home,
    digests: Arc<Digests>,
}

impl SqliteDriver {
    pub(crate) fn new(home: Home) -> Self {
        Self {
            home,
            digests: Arc::default(),
        }
    }

    /// The half that saves its stores, with the same memory.
    pub(crate) fn saves(&self) -> SqliteSaves {
        SqliteSaves(Arc::clone(&self.digests))
    }

    pub(super) fn path(home: &Home, declared: &Declared, site: &SiteId) -> Result<PathBuf, Cause> {
        let at: SqliteAt = Home::options(declared, site)?;
        let file = at
            .file()
            .map_err(|bad| lasting("options-invalid", bad.what))?;
        Ok(home.resolve(file))
    }

    fn carry_out(&self, order: &Order) -> Result<Output, ActError> {
        let action = &order.action;
        self.home.own(&action.site)?;
        let declared = self
            .home
            .declared(&action.subject)
            .map_err(ActError::NotDone)?;
        let path =
            |site: &SiteId| Self::path(&self.home, declared, site).map_err(ActError::NotDone);
        let own = path(&action.site)?;
        let ours = Ours {
            path: &own,
            lock: &self.state("sqlite", &declared.name).join("lock"),
            asker: Asker {
                site: &action.site,
                run: &order.id.run,
                fence: order.fence.as_ref().map(|fence| fence.epoch),
            },
            digests: &self.digests,
        };
        match &action.op {
            Op::Seal(epoch) | Op::Fence(epoch) => seal(&ours, *epoch),
            // A store that is taken on: its first mark, unless another site has one.
            Op::Unseal(epoch) if is_unmarked(&ours)? => {
                self.nobody_else_owns(declared, &action.site)?;
                initialise(&ours, *epoch)
            }
            Op::Unseal(epoch) | Op::Promote(epoch) => open_for_writes(&ours, *epoch),
            Op::Demote(epoch) => demote(&ours, *epoch),
            Op::CatchUp { from } => {
                let path = &path(from)?;
                copy(&ours, Source { site: from, path }, Replaces::Copies)
            }
            Op::Rebuild { from } => {
                let path = &path(from)?;
                copy(&ours, Source { site: from, path }, Replaces::Sealed)
            }
            Op::Salvage { owner } => {
                let folder = self.salvaged(order, &declared.name);
                salvage(
                    &ours,
                    declared.name.as_str(),
                    (owner, &path(owner)?),
                    &folder,
                )
            }
            Op::Custom { name, .. } if name == "initialise" => {
                self.nobody_else_owns(declared, &action.site)?;
                initialise(&ours, Epoch(1))
            }
            other => Err(refused(
                "unsupported",
                format!("sqlite does not know how to carry out {other:?}"),
            )),
        }
    }

    /// Where a run keeps what only this site had.
    fn salvaged(&self, order: &Order, component: &ComponentId) -> PathBuf {
        let folder = self.state("salvage", component);
        folder.join(order.id.run.as_str())
    }

    /// A mark at another site that can be seen from here says that the store has an owner already.
    fn nobody_else_owns(&self, declared: &Declared, site: &SiteId) -> Result<(), ActError> {
        for other in declared.at.keys().filter(|other| *other != site) {
            let path = Self::path(&self.home, declared, other).map_err(ActError::NotDone)?;
            let seen = observe(&path, &self.digests).map_err(ActError::NotDone)?;
            if let Some(mark) = seen.store.and_then(|store| store.mark) {
                return Err(owned(&mark));
            }
        }
        Ok(())
    }

    fn state(&self, what: &str, component: &ComponentId) -> PathBuf {
        self.home.state_of(what, component)
    }
}

#[async_trait]
impl Driver for SqliteDriver {
    async fn observe(&self, scope: &Scope) -> Sample {
        let digests = Arc::clone(&self.digests);
        let look = move |home: &Home, scope: &Scope| -> Result<Facts, Cause> {
            let declared = home.declared(&scope.subject)?;
            observe(&Self::path(home, declared, &scope.site)?, &digests)
        };
        self.home.look(scope, look).await
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        let (driver, order) = (self.clone(), order.clone());
        tokio::task::spawn_blocking(move || driver.carry_out(&order))
            .await
            .unwrap_or_else(|error| Err(unknown("driver-fault", error.to_string())))
            .map(Progress::Done)
    }

    async fn recall(&self, order: &Order) -> Result<Progress, ActError> {
        let declared = self.home.declared(&order.action.subject);
        let declared = declared.map_err(ActError::NotDone)?;
        match &order.action.op {
            // It appears whole or not at all, and whoever was at it is gone.
            Op::Salvage { .. } => saved(&self.salvaged(order, &declared.name))
                .map(Progress::Done)
                .ok_or_else(|| hindered("salvage-unfinished", "it was not finished")),
            _ => Err(ActError::not_recalled(order)),
        }
    }
}
