//! A plan file of two sites with one component, and orders for it, for the drivers' own tests.
//! Must not be used outside tests.

use std::{path::Path, sync::Arc, time::Duration};

use mainstay_driver::{
    ActError, Driver, Order, Progress,
    conformance::{Case, check},
};
use mainstay_model::{
    Action, AgentId, Class, ComponentId, Control, Declared, Direction, EffectId, Epoch,
    ExecutorEpoch, Facts, Fence, Goal, Kind, KindName, Objectives, OnLoss, Op, Output, PlanFile,
    Predicate, Role, RunId, Sample, Scope, Site, SiteId, Span, Standby, StepId, Store, Subject,
    Workload, WorkloadRole, Writers,
};
use serde_json::Value;

use super::home::{Home, NeverQuarantined, Place, Quarantine};

pub(crate) const NAME: &str = "thing";

pub(crate) fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

pub(crate) fn subject() -> Subject {
    Subject::Component(ComponentId::new(NAME).unwrap())
}

/// One component as declared at some sites.
pub(crate) fn declared(class: Class, kind: &str, at: &[(&str, Value)]) -> Declared {
    Declared {
        name: ComponentId::new(NAME).unwrap(),
        class,
        kind: KindName::new(kind).unwrap(),
        at: at
            .iter()
            .map(|(name, value)| (site(name), value.clone()))
            .collect(),
        options: serde_json::json!({}),
        timeout: None,
    }
}

fn objectives() -> Objectives {
    Objectives {
        rpo: Span::from_secs(60),
        rto: Span::from_secs(60),
    }
}

/// A plan file with just that component.
pub(crate) fn plan(declared: &Declared) -> PlanFile {
    let role = WorkloadRole::Service;
    let mut plan = PlanFile {
        system: "test".to_owned(),
        hash: String::new(),
        sites: declared
            .at
            .keys()
            .map(|name| (name.clone(), some_site(name)))
            .collect(),
        placement: [].into(),
        objectives: objectives(),
        control: Control {
            state: "file:.mainstay".to_owned(),
        },
        repositories: [].into(),
        stores: [].into(),
        groups: [].into(),
        workloads: [].into(),
        routes: [].into(),
        externals: [].into(),
        tenants: None,
        windows: Vec::new(),
        detect: None,
        steps: [].into(),
        contacts: [].into(),
        drills: [].into(),
    };
    let name = declared.name.clone();
    if declared.class == Class::Store {
        plan.stores.insert(name, store(declared));
    } else {
        plan.workloads.insert(name, workload(declared, role));
    }
    plan
}

fn some_site(name: &SiteId) -> Site {
    Site {
        domain: name.to_string(),
        role: Role::Data,
        agent: "unix:none".to_owned(),
        health: None,
        fence: Vec::new(),
    }
}

fn store(declared: &Declared) -> Store {
    Store {
        declared: declared.clone(),
        copy: None,
        backup: Vec::new(),
        disposable: false,
        writers: Writers::One,
        spans: Vec::new(),
        on_loss: OnLoss::Refuse,
        lease: None,
        objectives: objectives(),
        standby: Standby::Warm,
    }
}

pub(crate) fn workload(declared: &Declared, role: WorkloadRole) -> Workload {
    Workload {
        declared: declared.clone(),
        role,
        uses: Vec::new(),
        after: Vec::new(),
        standby: Standby::Warm,
        required: true,
        grace: None,
        objectives: objectives(),
    }
}

/// A site's home below a folder: state in `state-SITE`, relative paths in the folder itself.
pub(crate) fn home(folder: &Path, plan: &PlanFile, at: &str) -> Home {
    home_with(folder, plan, at, Arc::new(NeverQuarantined))
}

pub(crate) fn home_with(
    folder: &Path,
    plan: &PlanFile,
    at: &str,
    quarantine: Arc<dyn Quarantine>,
) -> Home {
    Home::new(
        Arc::new(plan.clone()),
        site(at),
        Place {
            state: folder.join(format!("state-{at}")),
            base: folder.to_path_buf(),
            quarantine,
        },
    )
}

pub(crate) fn scope(kind: &str, at: &str) -> Scope {
    Scope {
        driver: KindName::new(kind).unwrap(),
        subject: subject(),
        site: site(at),
        from: site(at),
    }
}

pub(crate) fn order(kind: &str, at: &str, op: Op) -> Order {
    Order {
        id: EffectId {
            run: RunId::new("run-1").unwrap(),
            step: StepId(0),
            direction: Direction::Forward,
            attempt: 1,
            executor: ExecutorEpoch(1),
        },
        action: Action {
            driver: KindName::new(kind).unwrap(),
            subject: subject(),
            site: site(at),
            op,
        },
        fence: None,
        inputs: Vec::new(),
    }
}

pub(crate) fn fenced(mut order: Order, epoch: u64) -> Order {
    order.fence = Some(Fence {
        store: ComponentId::new(NAME).unwrap(),
        epoch: Epoch(epoch),
    });
    order
}

/// Carries out an operation that must end at once.
pub(crate) async fn act(
    driver: &dyn Driver,
    kind: &str,
    at: &str,
    op: Op,
) -> Result<Output, ActError> {
    match driver.act(&order(kind, at, op)).await? {
        Progress::Done(output) => Ok(output),
        running @ Progress::Running { .. } => panic!("still running: {running:?}"),
    }
}

/// What became of an order, as whoever comes after the one that carried it out asks.
pub(crate) async fn recall(
    driver: &dyn Driver,
    kind: &str,
    at: &str,
    op: Op,
) -> Result<Progress, ActError> {
    driver.recall(&order(kind, at, op)).await
}

/// What is seen of the component; panics if it cannot be seen.
pub(crate) async fn facts(driver: &dyn Driver, kind: &str, at: &str) -> Facts {
    let sample: Sample = driver.observe(&scope(kind, at)).await;
    assert_eq!(sample.by, AgentId::new(at).unwrap());
    match sample.facts() {
        Some(facts) => facts.clone(),
        None => panic!("not seen: {sample:?}"),
    }
}

/// The stable code of a refusal.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, ActError>) -> String {
    match result {
        Err(ActError::NotDone(cause)) => cause.code,
        Err(ActError::StaleEpoch(epoch)) => format!("stale at {epoch}"),
        other => panic!("not refused: {other:?}"),
    }
}

/// Runs the contract's conformance suite: an order on a real instance whose goal does not hold yet.
pub(crate) async fn conforms(
    kind: impl Kind + 'static,
    driver: impl Driver + 'static,
    declared: &Declared,
    at: &str,
    op: Op,
    is: Predicate,
) {
    let word = format!("{op:?}");
    let name = kind.name();
    let case = Case {
        traits: kind.traits(declared),
        kind: Arc::new(kind),
        driver: Arc::new(driver),
        action: order(name, at, op).action,
        goal: Goal {
            scope: scope(name, at),
            is,
        },
        within: Duration::from_secs(30),
    };
    assert_eq!(check(&case).await, [], "{word} at {at}");
}
