//! The ownership mark of a store that cannot hold one itself: it is kept in the folder of the site's own agent, under
//! the same rules as everybody's. So a seal is only asserted: its users were stopped, and nothing else holds it shut.
//! Must not know what the store is.

use std::{fs, io, path::PathBuf, time::Duration};

use mainstay_driver::{ActError, Cause};
use mainstay_model::{
    Access, ComponentId, Epoch, Mark, Op, Output, Position, RecoveryPoint, RunId, SiteId,
    StoreFacts,
};
use serde::{Deserialize, Serialize};

use super::{
    Asker, Brought, Home, Locked, Marked, Opening, State, hindered, passing, refused, unknown,
    write_durably,
};

/// The version of the stored form.
const VERSION: u32 = 1;
/// How long a change waits for another change of the same store.
const PATIENCE: Duration = Duration::from_secs(10);

/// `mark.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    version: u32,
    epoch: Epoch,
    owner: SiteId,
    run: Option<RunId>,
    state: State,
    /// For a copy that a backup was restored to: what it has.
    restored: Option<RecoveryPoint>,
}

impl Stored {
    fn new(marked: &Marked, restored: Option<RecoveryPoint>) -> Self {
        Self {
            version: VERSION,
            epoch: marked.mark.epoch,
            owner: marked.mark.owner.clone(),
            run: marked.mark.run.clone(),
            state: marked.state,
            restored,
        }
    }

    fn marked(&self) -> Marked {
        Marked {
            mark: Mark {
                epoch: self.epoch,
                owner: self.owner.clone(),
                run: self.run.clone(),
            },
            state: self.state,
        }
    }
}

/// Whether the store is at this site, as far as that can be asked elsewhere than in the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Here {
    /// The plan file places it here.
    Placed,
    /// The plan file places it elsewhere.
    NotPlaced,
    /// The store's own word: it is here.
    Said,
    /// The store's own word: it is not.
    Denied,
}

impl Here {
    /// What the plan file says.
    pub(crate) fn by_plan(home: &Home, store: &ComponentId, site: &SiteId) -> Self {
        let weights = home.plan.placement.get(store);
        let placed = weights.and_then(|weights| weights.get(site));
        if placed.is_some_and(|weight| *weight > 0) {
            Self::Placed
        } else {
            Self::NotPlaced
        }
    }
}

/// One store's mark at one site.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    folder: PathBuf,
    site: SiteId,
    here: Here,
}

impl Kept {
    /// The mark of a store at a site.
    pub(crate) fn of(home: &Home, store: &ComponentId, site: &SiteId, here: Here) -> Self {
        Self {
            folder: home.state_of("marks", store),
            site: site.clone(),
            here,
        }
    }

    fn stored(&self) -> io::Result<Option<Stored>> {
        let read = match fs::read(self.folder.join("mark.json")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A store that says itself that it is here has an owner; nobody moves it but itself.
                let said = self.here == Here::Said;
                return Ok(said.then(|| self.first(Epoch(1), None)));
            }
            read => read?,
        };
        let stored: Stored = serde_json::from_slice(&read)?;
        if stored.version == VERSION {
            return Ok(Some(stored));
        }
        let what = format!("it was stored by another version ({})", stored.version);
        Err(io::Error::new(io::ErrorKind::InvalidData, what))
    }

    fn first(&self, epoch: Epoch, run: Option<RunId>) -> Stored {
        let mark = Mark {
            epoch,
            owner: self.site.clone(),
            run,
        };
        let state = State::Open;
        Stored::new(&Marked { mark, state }, None)
    }

    fn access(&self, stored: Option<&Stored>) -> Access {
        match (stored.map(|stored| stored.state), self.here) {
            (Some(State::Sealed), _) => Access::Sealed,
            (Some(State::Replica), _) => Access::Replica,
            (Some(State::Open), Here::Denied) => Access::Stopped,
            (Some(State::Open), _) | (None, Here::Placed | Here::Said) => Access::Open,
            (None, Here::NotPlaced | Here::Denied) => Access::Empty,
        }
    }

    /// What the mark says, as facts.
    pub(crate) fn facts(&self) -> Result<StoreFacts, Cause> {
        let stored = self.stored().map_err(|error| unreadable(&error))?;
        let access = self.access(stored.as_ref());
        let restored = stored.as_ref().and_then(|stored| stored.restored.clone());
        let recovery = restored.filter(|_| access == Access::Replica);
        Ok(StoreFacts {
            access,
            mark: stored.map(|stored| stored.marked().mark),
            position: recovery.as_ref().map(|point| point.position.clone()),
            written: (access == Access::Replica).then_some(false),
            recovery,
            behind_bytes: None,
        })
    }

    /// The epoch for the label of a backup.
    pub(crate) fn epoch(&self) -> Result<Epoch, Cause> {
        let stored = self.stored().map_err(|error| unreadable(&error))?;
        Ok(stored.map_or(Epoch(0), |stored| stored.epoch))
    }

    /// Changes whose the store is: the orders that every store with a mark understands. `kind` is for the refusal of
    /// any other.
    pub(crate) fn carry_out(
        &self,
        asker: Asker<'_>,
        op: &Op,
        kind: &str,
    ) -> Result<Output, ActError> {
        let _lock = Locked::wait(&self.folder.join("lock"), PATIENCE)
            .map_err(|error| hindered("store-busy", format!("lock the store's mark: {error}")))?;
        let stored = self
            .stored()
            .map_err(|error| ActError::NotDone(unreadable(&error)))?;
        let access = self.access(stored.as_ref());
        let old = stored.as_ref().map(Stored::marked);
        let new = match op {
            Op::Unseal(epoch) if old.is_none() => asker.initialise(None, *epoch)?,
            Op::Custom { name, .. } if name == "initialise" => asker.initialise(old, Epoch(1))?,
            Op::Seal(epoch) | Op::Fence(epoch) => asker.seal(&asker.marked(old)?, *epoch)?,
            Op::Unseal(epoch) | Op::Promote(epoch) => {
                match asker.open(&asker.marked(old.clone())?, access, *epoch)? {
                    Opening::New(new) => new,
                    Opening::Already => asker.marked(old)?,
                }
            }
            Op::Demote(epoch) => asker.demote(&asker.marked(old)?, access, *epoch)?,
            other => {
                let what = format!("{kind} stores cannot carry out {other:?}: they are only saved");
                return Err(refused("unsupported", what));
            }
        };
        let restored = stored.and_then(|stored| stored.restored);
        let restored = restored.filter(|_| new.state == State::Replica);
        self.write(&Stored::new(&new, restored))?;
        Ok(Output {
            position: None,
            values: [("epoch".to_owned(), new.mark.epoch.to_string())].into(),
        })
    }

    fn write(&self, stored: &Stored) -> Result<(), ActError> {
        let written = serde_json::to_vec(stored)
            .map_err(io::Error::from)
            .and_then(|bytes| write_durably(&self.folder.join("mark.json"), &bytes));
        written.map_err(|error| unknown("state-unwritable", format!("write the mark: {error}")))
    }

    /// Whether a backup may be put in the place of what is here: only while nobody writes.
    pub(crate) fn may_restore(&self, asker: Asker<'_>) -> Result<(), ActError> {
        let stored = self
            .stored()
            .map_err(|error| ActError::NotDone(unreadable(&error)))?;
        if let Some(stored) = &stored {
            asker.admitted(stored.epoch)?;
        }
        match self.access(stored.as_ref()) {
            Access::Sealed | Access::Replica | Access::Empty => Ok(()),
            Access::Open | Access::Stopped => Err(refused(
                "store-open",
                "the store here takes writes: a restore would destroy them",
            )),
        }
    }

    /// Records what was put in place: what was sealed stays so under its own mark, anything else is a copy now.
    pub(crate) fn restored(&self, asker: Asker<'_>, brought: &Brought) -> Result<Output, ActError> {
        let stored = self
            .stored()
            .map_err(|error| ActError::Unknown(unreadable(&error)))?;
        let becomes = stored.map_or_else(
            || asker.mark(brought.epoch, &brought.site, State::Replica),
            |stored| stored.marked(),
        );
        let position = Position::Digest(brought.tree.to_string());
        let point = RecoveryPoint {
            source: brought.site.clone(),
            taken_at: brought.reached,
            position: position.clone(),
        };
        let copy = (becomes.state == State::Replica).then_some(point);
        self.write(&Stored::new(&becomes, copy))?;
        Ok(Output {
            position: Some(position),
            values: [
                ("point".to_owned(), brought.point.to_string()),
                ("taken-at".to_owned(), brought.reached.to_string()),
            ]
            .into(),
        })
    }
}

fn unreadable(error: &io::Error) -> Cause {
    passing(
        "store-unreadable",
        format!("read the store's mark: {error}"),
    )
}
