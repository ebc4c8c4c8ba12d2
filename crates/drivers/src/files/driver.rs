//! The async half of `files`: takes an order apart and hands it to the part that carries it out.
//! Must not know files itself.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use mainstay_driver::{ActError, Cause, Driver, Order, Progress};
use mainstay_model::{
    ComponentId, CopyDeletes, Declared, Epoch, Facts, Op, Output, Sample, Scope, SiteId,
};
use mainstay_storage::Deletes;

use super::{
    copy::{Source, copy},
    observe::{Memory, observe},
    options::FilesAt,
    own::{Ours, demote, initialise, is_unmarked, open_for_writes, seal},
    salvage::{salvage, saved},
    saves::FilesSaves,
};
use crate::shared::{Asker, Home, Replaces, hindered, lasting, owned, refused, unknown};

/// The async half, for every `files` store of one site.
#[derive(Debug, Clone)]
pub(crate) struct FilesDriver {
    home: Home,
    memory: Arc<Memory>,
}

impl FilesDriver {
    pub(crate) fn new(home: Home) -> Self {
        Self {
            home,
            memory: Arc::default(),
        }
    }

    /// The half that saves its stores, with the same memory.
    pub(crate) fn saves(&self) -> FilesSaves {
        FilesSaves(Arc::clone(&self.memory))
    }

    pub(super) fn root(home: &Home, declared: &Declared, site: &SiteId) -> Result<PathBuf, Cause> {
        let at: FilesAt = Home::options(declared, site)?;
        let folder = at
            .folder()
            .map_err(|(_, what)| lasting("options-invalid", what))?;
        Ok(home.resolve(folder))
    }

    fn carry_out(&self, order: &Order) -> Result<Output, ActError> {
        let action = &order.action;
        self.home.own(&action.site)?;
        let declared = self
            .home
            .declared(&action.subject)
            .map_err(ActError::NotDone)?;
        let root =
            |site: &SiteId| Self::root(&self.home, declared, site).map_err(ActError::NotDone);
        let own = root(&action.site)?;
        let ours = Ours {
            root: &own,
            asker: Asker {
                site: &action.site,
                run: &order.id.run,
                fence: order.fence.as_ref().map(|fence| fence.epoch),
            },
            memory: &self.memory,
        };
        let copy_from = |site: &SiteId, deletes, replaces| {
            let root = &root(site)?;
            copy(
                &ours,
                Source {
                    site,
                    root,
                    deletes,
                },
                replaces,
            )
        };
        match &action.op {
            Op::Seal(epoch) | Op::Fence(epoch) => seal(&ours, *epoch),
            // A tree that is taken on: its first mark, unless another site has one.
            Op::Unseal(epoch) if is_unmarked(&ours)? => {
                self.nobody_else_owns(declared, &action.site)?;
                initialise(&ours, *epoch)
            }
            Op::Unseal(epoch) | Op::Promote(epoch) => open_for_writes(&ours, *epoch),
            Op::Demote(epoch) => demote(&ours, *epoch),
            Op::CatchUp { from } => copy_from(from, self.deletes(declared), Replaces::Copies),
            // What only this site had was salvaged; from here on it has what its owner has.
            Op::Rebuild { from } => copy_from(from, Deletes::Mirror, Replaces::Sealed),
            Op::Salvage { owner } => {
                let folder = self.salvaged(order, &declared.name);
                salvage(
                    &ours,
                    declared.name.as_str(),
                    (owner, &root(owner)?),
                    &folder,
                )
            }
            Op::Custom { name, .. } if name == "initialise" => {
                self.nobody_else_owns(declared, &action.site)?;
                initialise(&ours, Epoch(1))
            }
            other => Err(refused(
                "unsupported",
                format!("files does not know how to carry out {other:?}"),
            )),
        }
    }

    fn deletes(&self, declared: &Declared) -> Deletes {
        let store = self.home.plan.stores.get(&declared.name);
        match store.and_then(|store| store.copy.as_ref()?.deletes) {
            Some(CopyDeletes::Keep) => Deletes::Keep,
            Some(CopyDeletes::Mirror) | None => Deletes::Mirror,
        }
    }

    /// Where a run keeps what only this site had.
    fn salvaged(&self, order: &Order, component: &ComponentId) -> PathBuf {
        let folder = self.home.state_of("salvage", component);
        folder.join(order.id.run.as_str())
    }

    /// A mark at another site that can be seen from here says that the store has an owner already.
    fn nobody_else_owns(&self, declared: &Declared, site: &SiteId) -> Result<(), ActError> {
        for other in declared.at.keys().filter(|other| *other != site) {
            let root = Self::root(&self.home, declared, other).map_err(ActError::NotDone)?;
            let seen = observe(&root, &self.memory).map_err(ActError::NotDone)?;
            if let Some(mark) = seen.store.and_then(|store| store.mark) {
                return Err(owned(&mark));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Driver for FilesDriver {
    async fn observe(&self, scope: &Scope) -> Sample {
        let memory = Arc::clone(&self.memory);
        let look = move |home: &Home, scope: &Scope| -> Result<Facts, Cause> {
            let declared = home.declared(&scope.subject)?;
            observe(&Self::root(home, declared, &scope.site)?, &memory)
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
