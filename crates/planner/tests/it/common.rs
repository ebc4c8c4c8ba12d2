//! A small world for the planner's tests: plan files built in code, kinds that use the standard lowering.

use std::collections::BTreeMap;

use mainstay_model::*;
use mainstay_planner::*;

pub(crate) struct Plain(pub(crate) &'static str);

impl Kind for Plain {
    fn name(&self) -> &'static str {
        self.0
    }
    fn classes(&self) -> &'static [Class] {
        &[Class::Store, Class::Workload, Class::Route]
    }
    fn schema(&self, _: Class) -> KindSchema {
        KindSchema {
            at: serde_json::json!({}),
            options: serde_json::json!({}),
        }
    }
    fn traits(&self, _: &Declared) -> Traits {
        Traits {
            fence: FenceClass::F1,
            loss: LossMode::Lag,
            seal: SealStrength::Enforced,
            idempotence: Idempotence::Idempotent,
        }
    }
}

pub(crate) fn kinds() -> Kinds {
    Kinds::new()
        .with(Plain("db"))
        .with(Plain("tree"))
        .with(Plain("app"))
        .with(Plain("names"))
}

pub(crate) const NOW: Timestamp = Timestamp(1_000_000_000_000);

pub(crate) fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

pub(crate) fn id(name: &str) -> ComponentId {
    ComponentId::new(name).unwrap()
}

pub(crate) fn kind(name: &str) -> KindName {
    KindName::new(name).unwrap()
}

pub(crate) fn at(site_name: &str) -> Weights {
    Weights::from([(site(site_name), 100)])
}

pub(crate) fn objectives() -> Objectives {
    Objectives {
        rpo: Span::from_secs(300),
        rto: Span::from_secs(900),
    }
}

fn declared(name: &str, class: Class, of: &str) -> Declared {
    let both = [site("prod"), site("dr")];
    Declared {
        name: id(name),
        class,
        kind: kind(of),
        at: both
            .into_iter()
            .map(|s| (s, serde_json::json!({})))
            .collect(),
        options: serde_json::json!({}),
        timeout: None,
    }
}

fn plain_site(domain: &str, role: Role) -> Site {
    Site {
        domain: domain.into(),
        role,
        agent: format!("unix:{domain}.sock"),
        health: None,
        fence: vec![FencerSpec {
            kind: kind("agent"),
            options: serde_json::json!({}),
        }],
    }
}

/// Two data sites and a witness; nothing runs there yet.
pub(crate) fn empty() -> PlanFile {
    PlanFile {
        system: "orders".into(),
        hash: "0".repeat(64),
        sites: BTreeMap::from([
            (site("prod"), plain_site("north", Role::Data)),
            (site("dr"), plain_site("west", Role::Data)),
            (site("witness"), plain_site("east", Role::Witness)),
        ]),
        placement: BTreeMap::new(),
        objectives: objectives(),
        control: Control {
            state: "file:./.mainstay".into(),
        },
        repositories: BTreeMap::new(),
        stores: BTreeMap::new(),
        groups: BTreeMap::new(),
        workloads: BTreeMap::new(),
        routes: BTreeMap::new(),
        externals: BTreeMap::new(),
        tenants: None,
        windows: Vec::new(),
        detect: None,
        steps: BTreeMap::new(),
        contacts: BTreeMap::new(),
        drills: BTreeMap::new(),
    }
}

pub(crate) fn add_store(file: &mut PlanFile, name: &str) {
    let store = Store {
        declared: declared(name, Class::Store, "db"),
        copy: Some(Copy {
            every: Some(Span::from_secs(10)),
            by: None,
            deletes: None,
            offline: None,
        }),
        backup: Vec::new(),
        disposable: false,
        writers: Writers::One,
        spans: Vec::new(),
        on_loss: OnLoss::Refuse,
        lease: Some(Span::from_secs(3)),
        objectives: objectives(),
        standby: Standby::Warm,
    };
    file.stores.insert(id(name), store);
    file.placement.insert(id(name), at("prod"));
}

pub(crate) fn add_workload(file: &mut PlanFile, name: &str, uses: &[&str], after: &[&str]) {
    let uses = uses.iter().map(|store| Use {
        store: id(store),
        via: None,
    });
    let workload = Workload {
        declared: declared(name, Class::Workload, "app"),
        role: WorkloadRole::Service,
        uses: uses.collect(),
        after: after.iter().map(|name| id(name)).collect(),
        standby: Standby::Warm,
        required: true,
        grace: None,
        objectives: objectives(),
    };
    file.workloads.insert(id(name), workload);
    file.placement.insert(id(name), at("prod"));
}

pub(crate) fn add_scheduler(file: &mut PlanFile, name: &str, uses: &[&str]) {
    add_workload(file, name, uses, &[]);
    file.workloads.get_mut(name).unwrap().role = WorkloadRole::Scheduler;
}

pub(crate) fn add_route(file: &mut PlanFile, name: &str, serves: &[&str]) {
    let route = Route {
        declared: declared(name, Class::Route, "names"),
        serves: serves.iter().map(|name| id(name)).collect(),
        ttl: Some(Span::from_secs(1)),
        required: true,
    };
    file.routes.insert(id(name), route);
}

/// The system of the design: two stores in a group, a web workload, a scheduler, a route.
pub(crate) fn orders() -> PlanFile {
    let mut file = empty();
    add_store(&mut file, "ledger");
    add_store(&mut file, "attachments");
    let group = Group {
        stores: vec![id("ledger"), id("attachments")],
        on_skew: OnSkew::Report,
        check: None,
    };
    file.groups.insert(GroupId::new("orders").unwrap(), group);
    add_workload(&mut file, "web", &["ledger", "attachments"], &[]);
    add_scheduler(&mut file, "jobs", &["ledger"]);
    add_route(&mut file, "app", &["web"]);
    file
}

pub(crate) fn store_facts(access: Access, owner: &str, epoch: u64) -> StoreFacts {
    StoreFacts {
        access,
        mark: Some(Mark {
            epoch: Epoch(epoch),
            owner: site(owner),
            run: None,
        }),
        position: Some(Position::Counter(7)),
        recovery: None,
        behind_bytes: None,
        written: Some(false),
    }
}

pub(crate) fn sample(by: &str, facts: StoreFacts) -> Sample {
    Sample {
        reading: Reading::Known(Box::new(Facts {
            store: Some(facts),
            ..Facts::default()
        })),
        at: NOW - Span::from_secs(1),
        by: AgentId::new(by).unwrap(),
    }
}

/// A store that is open at `owner` and copied to the other site, two seconds behind.
pub(crate) fn store_now(owner: &str, epoch: u64) -> StoreNow {
    let other = if owner == "prod" { "dr" } else { "prod" };
    let copy = StoreFacts {
        recovery: Some(RecoveryPoint {
            source: site(owner),
            taken_at: NOW - Span::from_secs(2),
            position: Position::Counter(5),
        }),
        behind_bytes: Some(512),
        ..store_facts(Access::Replica, owner, epoch)
    };
    StoreNow {
        epoch: Epoch(epoch),
        granted: Epoch(epoch),
        at: BTreeMap::from([
            (
                site(owner),
                sample(owner, store_facts(Access::Open, owner, epoch)),
            ),
            (site(other), sample(other, copy)),
        ]),
        fenced: BTreeMap::new(),
        protection: Protection::Protected,
    }
}

/// Everything of that file at one site, every agent answering.
pub(crate) fn all_at(file: &PlanFile, owner: &str) -> Observed {
    let mut observed = Observed::at(NOW);
    for name in file.sites.keys() {
        let now = SiteNow {
            agent: SiteAgent::Answers,
            standing: SiteStanding::InService,
        };
        observed.sites.insert(name.clone(), now);
    }
    for name in file.stores.keys() {
        observed.stores.insert(name.clone(), store_now(owner, 3));
        observed.placement.insert(name.clone(), at(owner));
    }
    for name in file.workloads.keys() {
        observed.placement.insert(name.clone(), at(owner));
    }
    for name in file.routes.keys() {
        let route = RouteFacts {
            weights: at(owner),
            epoch: Epoch(10),
        };
        observed.routes.insert(name.clone(), route);
    }
    observed
}

/// That site is dead.
pub(crate) fn dead(observed: &mut Observed, name: &str) {
    observed.sites.insert(site(name), SiteNow::default());
    for store in observed.stores.values_mut() {
        let unreachable = Sample {
            reading: Reading::Unreachable {
                since: NOW,
                why: "connection refused".into(),
            },
            at: NOW,
            by: AgentId::new(name).unwrap(),
        };
        store.at.insert(site(name), unreachable);
    }
}

/// Plans a failover, accepting whatever it would lose.
pub(crate) fn failover(file: &PlanFile, observed: &Observed, to: &str) -> Planned {
    let request = Request::failover(site(to), None);
    let refusals = plan(file, &kinds(), observed, &request).unwrap_err();
    let loss = refusals.loss.expect("a loss bound");
    let by = PersonId::new("ada").unwrap();
    let until = NOW + Span::from_secs(600);
    let acceptance = accept(&loss, loss.worst, by, until);
    let request = Request::failover(site(to), Some(acceptance));
    plan(file, &kinds(), observed, &request).unwrap_or_else(|refusals| panic!("{refusals}"))
}

pub(crate) fn planned(file: &PlanFile, observed: &Observed, request: &Request) -> Planned {
    plan(file, &kinds(), observed, request).unwrap_or_else(|refusals| panic!("{refusals}"))
}

/// Steps with what they wait for, one a line.
pub(crate) fn lines(runbook: &Runbook) -> String {
    let lines = runbook.steps.iter().map(|step| {
        let after: Vec<String> = step.after.iter().map(|id| id.0.to_string()).collect();
        format!("{} {} < {}", step.id.0, step.title(), after.join(" "))
    });
    lines.collect::<Vec<_>>().join("\n")
}
