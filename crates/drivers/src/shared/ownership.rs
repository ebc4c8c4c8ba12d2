//! The rules of ownership that every store with a mark of its own follows: when it may be sealed, opened, demoted or
//! replaced (I2, I3, I23). Pure decisions over what is stored; the store applies them in one step.
//! Must not know how a mark is stored.

use mainstay_driver::ActError;
use mainstay_model::{Access, Epoch, Mark, RunId, SiteId};
use serde::{Deserialize, Serialize};

use super::cause::{hindered, refused};

/// What a mark says about application writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    Open,
    Sealed,
    Replica,
}

/// A mark as stored, with its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marked {
    pub(crate) mark: Mark,
    pub(crate) state: State,
}

/// Who asks for a change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) site: &'a SiteId,
    pub(crate) run: &'a RunId,
    /// The fencing token of the order.
    pub(crate) fence: Option<Epoch>,
}

/// What opening comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Opening {
    /// It is open at that epoch.
    Already,
    /// This mark opens it.
    New(Marked),
}

/// What a copy may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replaces {
    /// Nothing or an older copy. What only this site has is never destroyed unasked (I23).
    Copies,
    /// Also a sealed store, once it was salvaged.
    Sealed,
}

impl Asker<'_> {
    /// Refuses an order whose token is older than the store's epoch.
    pub(crate) fn admitted(&self, stored: Epoch) -> Result<(), ActError> {
        match self.fence {
            Some(token) if token < stored => Err(ActError::StaleEpoch(stored)),
            _ => Ok(()),
        }
    }

    /// The mark, which every change but an initialisation needs.
    pub(crate) fn marked(&self, stored: Option<Marked>) -> Result<Marked, ActError> {
        let Some(marked) = stored else {
            return Err(refused(
                "store-unmarked",
                "the store has no ownership mark: adopt it first",
            ));
        };
        self.admitted(marked.mark.epoch)?;
        Ok(marked)
    }

    pub(crate) fn mark(&self, epoch: Epoch, owner: &SiteId, state: State) -> Marked {
        Marked {
            mark: Mark {
                epoch,
                owner: owner.clone(),
                run: Some(self.run.clone()),
            },
            state,
        }
    }

    /// The first mark of a store that nobody owns; the one that is there if it is this site's.
    pub(crate) fn initialise(
        &self,
        stored: Option<Marked>,
        first: Epoch,
    ) -> Result<Marked, ActError> {
        match stored {
            None => Ok(self.mark(first, self.site, State::Open)),
            Some(marked) if marked.mark.owner == *self.site => Ok(marked),
            Some(marked) => Err(owned(&marked.mark)),
        }
    }

    /// Refuses writes from now on.
    pub(crate) fn seal(&self, old: &Marked, epoch: Epoch) -> Result<Marked, ActError> {
        if old.mark.epoch > epoch {
            return Err(ActError::StaleEpoch(old.mark.epoch));
        }
        Ok(self.mark(epoch, &old.mark.owner, refusing(old.state)))
    }

    /// Takes writes at a new epoch.
    pub(crate) fn open(
        &self,
        old: &Marked,
        access: Access,
        epoch: Epoch,
    ) -> Result<Opening, ActError> {
        let here = &old.mark;
        if here.epoch == epoch && here.owner == *self.site && access == Access::Open {
            return Ok(Opening::Already);
        }
        if here.epoch >= epoch {
            return Err(ActError::StaleEpoch(here.epoch));
        }
        if access == Access::Open {
            let epoch = here.epoch;
            let what = format!("the store takes writes at epoch {epoch} and was not sealed");
            return Err(refused("store-open", what));
        }
        Ok(Opening::New(self.mark(epoch, self.site, State::Open)))
    }

    /// Voids a promote.
    pub(crate) fn demote(
        &self,
        old: &Marked,
        access: Access,
        epoch: Epoch,
    ) -> Result<Marked, ActError> {
        let stored = old.mark.epoch;
        if stored > epoch || (stored == epoch && access == Access::Open) {
            return Err(ActError::StaleEpoch(stored));
        }
        Ok(self.mark(epoch, &old.mark.owner, refusing(old.state)))
    }

    /// Whether a copy may go where this is. `source` is the source's mark once it is known.
    pub(crate) fn may_replace(
        &self,
        here: Option<&Marked>,
        access: Access,
        replaces: Replaces,
        source: Option<&Marked>,
    ) -> Result<(), ActError> {
        if let Some(here) = here {
            self.admitted(here.mark.epoch)?;
        }
        match (access, replaces) {
            (Access::Empty | Access::Replica, _) | (Access::Sealed, Replaces::Sealed) => {}
            (Access::Sealed, Replaces::Copies) => {
                return Err(refused(
                    "store-not-a-copy",
                    "the sealed store here may have what the source lacks: reprotect the site",
                ));
            }
            _ => {
                return Err(refused(
                    "store-open",
                    "the store here takes writes and is nobody's copy",
                ));
            }
        }
        match (here, source) {
            (Some(here), Some(source)) if here.mark.epoch > source.mark.epoch => Err(hindered(
                "source-stale",
                format!(
                    "the source is at epoch {}, this site has seen epoch {}",
                    source.mark.epoch, here.mark.epoch
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// A store may only be copied from its owner, not from another copy.
pub(crate) fn owner_of(stored: Option<Marked>, source: &SiteId) -> Result<Marked, ActError> {
    stored
        .filter(|marked| marked.mark.owner == *source && marked.state != State::Replica)
        .ok_or_else(|| {
            refused(
                "source-not-owner",
                format!("{source} does not own the store"),
            )
        })
}

/// The refusal to initialise what has an owner.
pub(crate) fn owned(mark: &Mark) -> ActError {
    let what = format!("{} owns the store at epoch {}", mark.owner, mark.epoch);
    refused("store-owned", what)
}

/// A copy that is sealed stays a copy.
fn refusing(state: State) -> State {
    match state {
        State::Replica => State::Replica,
        State::Open | State::Sealed => State::Sealed,
    }
}

/// Two marks that say the same; which run wrote them does not matter.
pub(crate) fn same(one: &Marked, other: &Marked) -> bool {
    one.state == other.state
        && one.mark.epoch == other.mark.epoch
        && one.mark.owner == other.mark.owner
}
