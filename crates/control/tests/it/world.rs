//! A small system in memory: one store, one workload, two sites and a witness, and the fake driver that operates it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mainstay_control::{
    Desk,
    agent::{Agent, Options},
    client::AgentClient,
};
use mainstay_driver::{ActError, Driver, Drivers, Order, Progress};
use mainstay_model::*;
use serde_json::json;

pub(crate) const PROD: &str = "prod";
pub(crate) const DR: &str = "dr";
pub(crate) const WITNESS: &str = "witness";

pub(crate) fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

pub(crate) fn component(name: &str) -> ComponentId {
    ComponentId::new(name).unwrap()
}

pub(crate) fn kind(name: &str) -> KindName {
    KindName::new(name).unwrap()
}

/// One store and one workload at one site.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    pub(crate) running: u32,
    pub(crate) access: Option<Access>,
    pub(crate) mark: Option<Mark>,
    pub(crate) position: u64,
    pub(crate) recovery: Option<RecoveryPoint>,
}

/// What the fake driver operates. Shared by all sites, as the world is.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) places: Mutex<BTreeMap<SiteId, Place>>,
    pub(crate) route: Mutex<(BTreeMap<SiteId, u32>, u64)>,
    pub(crate) acts: AtomicU32,
    pub(crate) log: Mutex<Vec<String>>,
    pub(crate) delay: Mutex<Duration>,
    /// Operations by name that answer so, without doing anything.
    pub(crate) refuse: Mutex<BTreeMap<String, ActError>>,
    /// What it can tell was done, when it is asked afterwards.
    pub(crate) recalls: Mutex<BTreeSet<EffectId>>,
}

impl World {
    /// Prod open at epoch 1, dr its copy.
    pub(crate) fn new() -> Arc<Self> {
        let world = Self::default();
        let mark = Mark {
            epoch: Epoch(1),
            owner: site(PROD),
            run: None,
        };
        let recovery = RecoveryPoint {
            source: site(PROD),
            taken_at: mainstay_control::clock::now(),
            position: Position::Counter(7),
        };
        *world.places.lock().unwrap() = BTreeMap::from([
            (
                site(PROD),
                Place {
                    running: 1,
                    access: Some(Access::Open),
                    mark: Some(mark.clone()),
                    position: 7,
                    recovery: None,
                },
            ),
            (
                site(DR),
                Place {
                    running: 0,
                    access: Some(Access::Replica),
                    mark: Some(mark),
                    position: 7,
                    recovery: Some(recovery),
                },
            ),
        ]);
        *world.route.lock().unwrap() = (BTreeMap::from([(site(PROD), 100)]), 1);
        Arc::new(world)
    }

    pub(crate) fn place(&self, at: &str) -> Place {
        self.places.lock().unwrap()[&site(at)].clone()
    }

    pub(crate) fn change(&self, at: &str, change: impl FnOnce(&mut Place)) {
        change(self.places.lock().unwrap().get_mut(&site(at)).unwrap());
    }

    pub(crate) fn acts(&self) -> u32 {
        self.acts.load(Ordering::SeqCst)
    }

    fn apply(&self, action: &Action) {
        let mut places = self.places.lock().unwrap();
        let source = places.get(&site(PROD)).cloned().unwrap_or_default();
        let Some(place) = places.get_mut(&action.site) else {
            return;
        };
        let mark = |epoch: &Epoch| {
            Some(Mark {
                epoch: *epoch,
                owner: action.site.clone(),
                run: None,
            })
        };
        match &action.op {
            Op::Start => place.running = 1,
            Op::Stop => place.running = 0,
            Op::Seal(_) => place.access = Some(Access::Sealed),
            Op::Promote(epoch) | Op::Unseal(epoch) => {
                place.access = Some(Access::Open);
                place.mark = mark(epoch);
            }
            Op::Demote(epoch) => {
                place.access = Some(Access::Sealed);
                place.mark = mark(epoch);
            }
            Op::CatchUp { from } | Op::Rebuild { from } => {
                place.access = Some(Access::Replica);
                place.position = source.position;
                place.recovery = Some(RecoveryPoint {
                    source: from.clone(),
                    taken_at: mainstay_control::clock::now(),
                    position: Position::Counter(source.position),
                });
            }
            Op::Route { weights, epoch } => {
                *self.route.lock().unwrap() = (weights.clone(), epoch.0);
            }
            _ => {}
        }
    }
}

fn op_name(op: &Op) -> String {
    let text = format!("{op:?}").to_lowercase();
    text.split(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// The fake driver's two halves, under the name `fake`.
pub(crate) struct Fake(pub(crate) Arc<World>);

#[async_trait]
impl Driver for Fake {
    async fn observe(&self, scope: &Scope) -> Sample {
        let place = self.0.places.lock().unwrap().get(&scope.site).cloned();
        let place = place.unwrap_or_default();
        let route = self.0.route.lock().unwrap().clone();
        let facts = Facts {
            exists: Some(true),
            workload: Some(WorkloadFacts {
                running: Some(place.running),
                ready: Some(place.running),
                held: None,
                version: None,
            }),
            store: place.access.map(|access| StoreFacts {
                access,
                mark: place.mark,
                position: Some(Position::Counter(place.position)),
                recovery: place.recovery,
                behind_bytes: None,
                written: Some(false),
            }),
            route: Some(RouteFacts {
                weights: route.0,
                epoch: Epoch(route.1),
            }),
            health: Some(Health::Passed),
            ..Facts::default()
        };
        Sample {
            reading: Reading::Known(Box::new(facts)),
            at: mainstay_control::clock::now(),
            by: AgentId::new("fake").unwrap(),
        }
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        self.0.acts.fetch_add(1, Ordering::SeqCst);
        let name = op_name(&order.action.op);
        self.0
            .log
            .lock()
            .unwrap()
            .push(format!("{name} {}", order.action.site));
        let delay = *self.0.delay.lock().unwrap();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if let Some(error) = self.0.refuse.lock().unwrap().get(&name) {
            return Err(error.clone());
        }
        self.0.apply(&order.action);
        Ok(Progress::Done(Output::default()))
    }

    async fn recall(&self, order: &Order) -> Result<Progress, ActError> {
        let known = self.0.recalls.lock().unwrap().contains(&order.id);
        let done = known.then(|| Progress::Done(Output::default()));
        done.ok_or_else(|| ActError::not_recalled(order))
    }
}

fn declared(name: &str, class: Class, sites: &[&str]) -> Declared {
    Declared {
        name: component(name),
        class,
        kind: kind("fake"),
        at: sites.iter().map(|name| (site(name), json!({}))).collect(),
        options: json!({}),
        timeout: None,
    }
}

fn ledger(objectives: Objectives) -> Store {
    Store {
        declared: declared("ledger", Class::Store, &[PROD, DR]),
        copy: Some(mainstay_model::Copy {
            every: None,
            by: Some(CopyBy::Streaming),
            deletes: None,
            offline: None,
        }),
        backup: Vec::new(),
        disposable: false,
        writers: Writers::One,
        spans: Vec::new(),
        on_loss: OnLoss::Refuse,
        lease: Some(Span::from_millis(300)),
        objectives,
        standby: Standby::Warm,
    }
}

fn web(objectives: Objectives) -> Workload {
    Workload {
        declared: declared("web", Class::Workload, &[PROD, DR]),
        role: WorkloadRole::Service,
        uses: vec![Use {
            store: component("ledger"),
            via: None,
        }],
        after: Vec::new(),
        standby: Standby::Warm,
        required: true,
        grace: None,
        objectives,
    }
}

/// The plan file of the small system.
pub(crate) fn plan() -> PlanFile {
    let objectives = Objectives {
        rpo: Span::from_secs(300),
        rto: Span::from_secs(900),
    };
    let at = |domain: &str, role| Site {
        domain: domain.to_owned(),
        role,
        agent: String::new(),
        health: None,
        fence: Vec::new(),
    };
    let (store, workload) = (ledger(objectives), web(objectives));
    let route = Route {
        declared: declared("app", Class::Route, &[PROD, DR]),
        serves: vec![component("web")],
        ttl: None,
        required: true,
    };
    let here = BTreeMap::from([(site(PROD), 100)]);
    PlanFile {
        system: "orders".to_owned(),
        hash: "0".repeat(64),
        sites: BTreeMap::from([
            (site(PROD), at("north", Role::Data)),
            (site(DR), at("west", Role::Data)),
            (site(WITNESS), at("east", Role::Witness)),
        ]),
        placement: ["ledger", "web", "app"]
            .into_iter()
            .map(|name| (component(name), here.clone()))
            .collect(),
        objectives,
        control: Control {
            state: "file:./state".to_owned(),
        },
        repositories: BTreeMap::new(),
        stores: BTreeMap::from([(component("ledger"), store)]),
        groups: BTreeMap::new(),
        workloads: BTreeMap::from([(component("web"), workload)]),
        routes: BTreeMap::from([(component("app"), route)]),
        externals: BTreeMap::new(),
        tenants: None,
        windows: Vec::new(),
        detect: None,
        steps: BTreeMap::new(),
        contacts: BTreeMap::new(),
        drills: BTreeMap::new(),
    }
}

pub(crate) fn options(folder: &Path, name: &str, plan: PlanFile) -> Options {
    let places = mainstay_control::Places::of(&plan, folder).unwrap();
    let witness = (name != WITNESS).then(|| places.agent_socket(&plan, &site(WITNESS)).unwrap());
    Options {
        hold: mainstay_control::agent::Hold::default(),
        site: site(name),
        folder: places.agent_folder(&site(name)),
        socket: places.agent_socket(&plan, &site(name)).unwrap(),
        listen: None,
        witness,
        plan,
    }
}

/// A site's agent over the world, and a client for it.
pub(crate) async fn agent(folder: &Path, name: &str, world: &Arc<World>) -> (Agent, AgentClient) {
    agent_of(options(folder, name, plan()), world).await
}

/// The same with these options.
pub(crate) async fn agent_of(options: Options, world: &Arc<World>) -> (Agent, AgentClient) {
    let client = AgentClient::new(&options.socket).unwrap();
    let drivers = Drivers::new().with("fake", Arc::new(Fake(Arc::clone(world))));
    (Agent::start(options, drivers).await.unwrap(), client)
}

/// An effect of a made-up run.
pub(crate) fn effect(step: u32, executor: u64) -> EffectId {
    EffectId {
        run: RunId::new("r1").unwrap(),
        step: StepId(step),
        direction: Direction::Forward,
        attempt: 1,
        executor: ExecutorEpoch(executor),
    }
}

/// An order to the fake driver.
pub(crate) fn order(id: EffectId, at: &str, name: &str, op: Op) -> Order {
    Order {
        id,
        action: Action {
            driver: kind("fake"),
            subject: Subject::Component(component(name)),
            site: site(at),
            op,
        },
        fence: None,
        inputs: Vec::new(),
    }
}

/// The fake's pure half: the standard rules.
pub(crate) struct FakeKind;

impl Kind for FakeKind {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn classes(&self) -> &'static [Class] {
        &[Class::Store, Class::Workload, Class::Route]
    }

    fn schema(&self, _: Class) -> KindSchema {
        KindSchema {
            at: json!({}),
            options: json!({}),
        }
    }

    fn traits(&self, _: &Declared) -> Traits {
        Traits {
            fence: FenceClass::F0,
            loss: LossMode::Lag,
            seal: SealStrength::Enforced,
            idempotence: Idempotence::Idempotent,
        }
    }
}

/// A desk over the small system's folder.
pub(crate) fn desk(folder: &Path) -> Desk {
    desk_of(folder, plan())
}

/// The same with this plan file.
pub(crate) fn desk_of(folder: &Path, plan: PlanFile) -> Desk {
    Desk::open(plan, folder, Kinds::new().with(FakeKind)).unwrap()
}

/// All three agents.
pub(crate) async fn agents(folder: &Path, world: &Arc<World>) -> Vec<Agent> {
    let mut agents = Vec::new();
    for name in [WITNESS, PROD, DR] {
        agents.push(agent(folder, name, world).await.0);
    }
    agents
}
