//! What every verb that looks at or moves a system needs: plan file, places, kinds, state, and the agents to talk to.
//! Must not know what is done with it.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use mainstay_model::{AgentId, ExecutorEpoch, Kinds, PersonId, PlanFile, SiteId};

use crate::{
    agent::with_builtin,
    client::{AgentClient, ClientError, Remote},
    lock::{LockError, MoverLock},
    places::{PlaceError, Places},
    receipts::{Ledger, LedgerError},
    state::{State, StateError},
};

/// A system, ready to be looked at and moved.
#[derive(Debug, Clone)]
pub struct Desk {
    /// The checked plan file.
    pub plan: Arc<PlanFile>,
    /// Every kind that this binary knows, with those that agents bring along.
    pub kinds: Kinds,
    /// Where things are.
    pub places: Places,
    /// What is remembered.
    pub state: Arc<State>,
    agents: BTreeMap<SiteId, AgentClient>,
}

/// Why a system cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// A place in the plan file cannot be used.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// No client could be made.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl DeskError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Place(error) => error.code(),
            Self::State(error) => error.code(),
            Self::Client(error) => error.code(),
        }
    }
}

impl Desk {
    /// Opens the state of a plan file that lies in the folder `base`.
    pub fn open(plan: PlanFile, base: &Path, kinds: Kinds) -> Result<Self, DeskError> {
        let places = Places::of(&plan, base)?;
        let state = Arc::new(State::open(&places.database())?);
        let mut agents = BTreeMap::new();
        for site in plan.sites.keys() {
            let socket = places.agent_socket(&plan, site)?;
            agents.insert(site.clone(), AgentClient::new(&socket)?);
        }
        Ok(Self {
            plan: Arc::new(plan),
            kinds: with_builtin(kinds),
            places,
            state,
            agents,
        })
    }

    /// The agent of a site.
    #[must_use]
    pub fn agent(&self, site: &SiteId) -> Option<&AgentClient> {
        self.agents.get(site)
    }

    /// All agents, by site.
    pub fn agents(&self) -> impl Iterator<Item = (&SiteId, &AgentClient)> {
        self.agents.iter()
    }

    /// Takes the right to move.
    pub async fn lock(&self) -> Result<MoverLock, LockError> {
        MoverLock::take(&self.places.lock(), &self.state).await
    }

    /// The system's receipts.
    pub fn receipts(&self) -> Result<Ledger, LedgerError> {
        Ledger::open(&self.places.receipts(), Arc::clone(&self.state))
    }

    /// Whether some process is moving something now.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        MoverLock::is_held(&self.places.lock())
    }

    /// The agents as drivers, in the name of an executor.
    #[must_use]
    pub fn remotes(&self, executor: Option<ExecutorEpoch>) -> BTreeMap<SiteId, Remote> {
        self.agents
            .iter()
            .map(|(site, agent)| {
                let remote = Remote::new(agent.clone(), own_name(), executor);
                (site.clone(), remote)
            })
            .collect()
    }
}

/// The name under which a mover reports what it saw itself: that somebody did not answer.
pub(crate) fn own_name() -> AgentId {
    match AgentId::new("control") {
        Ok(name) => name,
        Err(_) => unreachable!("a constant name that the rules allow"),
    }
}

/// The name under which Mainstay acts by itself.
#[must_use]
pub fn mainstay() -> PersonId {
    match PersonId::new("mainstay") {
        Ok(name) => name,
        Err(_) => unreachable!("a constant name that the rules allow"),
    }
}
