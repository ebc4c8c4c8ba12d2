//! Carries out orders: each effect at most once, refused when stale, superseded or held back, never cut short by a
//! caller that vanishes.
//! Must not know HTTP or why an order was given.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use mainstay_driver::{ActError, Cause, Handle, Order, Progress};
use mainstay_engine::agent::{self, Admission};
use mainstay_model::{Class, ComponentId, EffectId, Span};
use tokio::sync::watch;

use super::{
    ledger::{Recorded, asked},
    site::Site,
};
use crate::wire::Reply;

/// A caller waits so long for an answer; then it is told to poll.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// When a caller asks again about an order that still runs inside this agent.
const AGAIN: Span = Span::from_millis(250);
/// Handles of orders that run inside an agent start so; all others are their provider's.
const OWN_HANDLE: &str = "agent:";

type Pending = watch::Receiver<Option<Reply>>;

/// The orders of one agent.
pub(super) struct Orders {
    site: Arc<Site>,
    pending: Mutex<BTreeMap<EffectId, (Option<ComponentId>, Pending)>>,
}

impl Orders {
    pub(super) fn new(site: Arc<Site>) -> Arc<Self> {
        Arc::new(Self {
            site,
            pending: Mutex::default(),
        })
    }

    /// Does it, once, or says why not.
    pub(super) async fn act(self: &Arc<Self>, order: Order) -> Reply {
        let id = order.id.clone();
        let pending = self.begin(order);
        wait(&id, pending).await
    }

    /// What became of it. Nothing is started, and what was never ordered never will be: an order that comes late is
    /// refused.
    pub(super) async fn poll(self: &Arc<Self>, order: Order, handle: Handle) -> Reply {
        if let Some(pending) = self.pending(&order.id) {
            return wait(&order.id, pending).await;
        }
        let never = hindered(
            "never-ordered",
            format!("the agent of {} never had this order", self.site.name),
        );
        match self.site.ledger.recorded_or_barred(&order, never).await {
            Err(error) => unknown("agent-journal", error),
            Ok(Recorded::Started) => match self.pending(&order.id) {
                Some(pending) => wait(&order.id, pending).await,
                None => self.recall(order).await,
            },
            Ok(Recorded::Answered(Reply::Error(ActError::Unknown(_)))) => self.recall(order).await,
            Ok(Recorded::Answered(Reply::Progress(Progress::Running { handle, .. }))) => {
                self.poll_provider(order, handle).await
            }
            // The journal knows the end, also when the caller's handle is older.
            Ok(Recorded::Answered(reply)) => {
                let _ = handle;
                reply
            }
        }
    }

    /// Waits until no order on this component is being carried out here, so that what is seen is an end and not a
    /// beginning. False if it takes too long.
    pub(super) async fn settled(&self, component: &ComponentId, limit: Duration) -> bool {
        let under_way: Vec<Pending> = {
            let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            let about = pending
                .values()
                .filter(|(on, _)| on.as_ref() == Some(component));
            about.map(|(_, pending)| pending.clone()).collect()
        };
        let all = join_all(under_way.into_iter().map(|mut pending| async move {
            // An error means that the order's task is gone, and that is an end too.
            let _ = pending.wait_for(Option::is_some).await;
        }));
        tokio::time::timeout(limit, all).await.is_ok()
    }

    async fn poll_provider(&self, order: Order, handle: Handle) -> Reply {
        let Some(driver) = self.site.drivers.get(order.action.driver.as_str()) else {
            return unknown("unknown-kind", format!("no kind {}", order.action.driver));
        };
        let reply = Reply::from(driver.poll(&order, &handle).await);
        self.learn(&order, reply).await
    }

    /// An earlier life of this agent started it and did not live to see the end, or its end was not seen: its driver
    /// may be able to tell.
    async fn recall(&self, order: Order) -> Reply {
        let Some(driver) = self.site.drivers.get(order.action.driver.as_str()) else {
            return unknown("unknown-kind", format!("no kind {}", order.action.driver));
        };
        let reply = Reply::from(driver.recall(&order).await);
        self.learn(&order, reply).await
    }

    /// Records what was found out. An outcome that is still unknown is none: the next question may tell.
    async fn learn(&self, order: &Order, reply: Reply) -> Reply {
        if matches!(reply, Reply::Error(ActError::Unknown(_))) {
            return reply;
        }
        match self.site.ledger.answer(order, &reply).await {
            Ok(()) => reply,
            Err(error) => unknown("agent-journal", error),
        }
    }

    fn pending(&self, id: &EffectId) -> Option<Pending> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.get(id).map(|(_, pending)| pending.clone())
    }

    /// Admits it and carries it out, in a task of its own, so that it ends whoever listens. It counts as pending from
    /// before its intent is recorded, so that nobody takes it for forgotten.
    fn begin(self: &Arc<Self>, order: Order) -> Pending {
        let mut all = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pending)) = all.get(&order.id) {
            return pending.clone();
        }
        let (done, pending) = watch::channel(None);
        let about = order.action.subject.component().cloned();
        all.insert(order.id.clone(), (about, pending.clone()));
        drop(all);
        let orders = Arc::clone(self);
        tokio::spawn(async move {
            let id = order.id.clone();
            let reply = orders.once(order).await;
            done.send_replace(Some(reply));
            let mut all = orders
                .pending
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            all.remove(&id);
        });
        pending
    }

    async fn once(&self, order: Order) -> Reply {
        let id = order.id.clone();
        let needs = agent::needs(&self.site.plan, &order.action);
        let admission = match self.site.ledger.admit(&order, needs).await {
            Ok(admission) => admission,
            Err(error) => return hindered("agent-journal", error),
        };
        match admission {
            Admission::New(_) => {
                let reply = self.carry_out(&order).await;
                match self.site.ledger.answer(&order, &reply).await {
                    Ok(()) => reply,
                    Err(error) => unknown("agent-journal", error),
                }
            }
            Admission::Known(Recorded::Answered(reply)) => reply,
            Admission::Known(Recorded::Started) => self.recall(order).await,
            Admission::Superseded(newest) => refused(
                "executor-superseded",
                format!("executor {} has taken over", newest.0),
            ),
            Admission::Overtaken(..) => refused(
                "order-overtaken",
                format!("a later order about the step of {id} was given meanwhile"),
            ),
            Admission::Stale(floor) => Reply::Error(ActError::StaleEpoch(floor)),
            Admission::Held(store, held) => refused(
                "quarantined",
                format!("{store} is held back at {}: {}", self.site.name, held.why),
            ),
        }
    }

    async fn carry_out(&self, order: &Order) -> Reply {
        let Some(driver) = self.site.drivers.get(order.action.driver.as_str()) else {
            return refused(
                "unknown-kind",
                format!(
                    "the agent of {} knows no kind {}",
                    self.site.name, order.action.driver
                ),
            );
        };
        let name = order.action.subject.component();
        let class = name.and_then(|name| self.site.plan.declared(name));
        let lock = name
            .filter(|_| class.is_some_and(|declared| declared.class == Class::Store))
            .map(|store| self.site.lock_of(store));
        let _held = match &lock {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        // Somebody newer may have come while this order waited for its turn.
        if let Some((store, epoch)) = agent::token(&asked(order))
            && let Ok(floor) = self.site.ledger.floor(&store)
            && epoch < floor
        {
            return Reply::Error(ActError::StaleEpoch(floor));
        }
        Reply::from(driver.act(order).await)
    }
}

async fn wait(id: &EffectId, mut pending: Pending) -> Reply {
    let answered = pending.wait_for(Option::is_some);
    match tokio::time::timeout(ANSWER_WITHIN, answered).await {
        Ok(Ok(reply)) => reply
            .clone()
            .unwrap_or_else(|| unknown("agent-stopped", "the agent gave no answer")),
        Ok(Err(_)) => unknown("agent-stopped", "the agent stopped in the middle"),
        Err(_) => Reply::Progress(Progress::Running {
            handle: Handle(format!("{OWN_HANDLE}{id}")),
            again_in: AGAIN,
            note: None,
        }),
    }
}

/// Nothing was changed, and trying again is useless until somebody changes something.
fn refused(code: &str, what: impl std::fmt::Display) -> Reply {
    Reply::Error(ActError::NotDone(Cause::lasting(code, what.to_string())))
}

/// Nothing was changed, and it may pass by itself.
fn hindered(code: &str, what: impl std::fmt::Display) -> Reply {
    Reply::Error(ActError::NotDone(Cause::passing(code, what.to_string())))
}

/// It may have happened; only observing can tell.
fn unknown(code: &str, what: impl std::fmt::Display) -> Reply {
    Reply::Error(ActError::Unknown(Cause::passing(code, what.to_string())))
}
