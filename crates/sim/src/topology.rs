//! A random small system: sites, stores, workloads, routes, as a plan file that the real planner reads.
//! Must not know the world that it lives in.

use std::collections::BTreeMap;

use mainstay_model::{
    Class, ComponentId, Control, Copy, Declared, FenceClass, FencerSpec, Group, GroupId,
    Idempotence, Kind, KindName, KindSchema, Kinds, LossMode, Objectives, OnLoss, OnSkew, PlanFile,
    Role, Route, SealStrength, Site, SiteId, Span, Standby, Store, Traits, Use, Weights, Workload,
    WorkloadRole, Writers,
};

use crate::{dice::Dice, options::Mix};

/// A kind with the standard rules.
struct Plain(&'static str);

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

/// The kind of stores that compare epochs themselves.
pub(crate) const STRICT: &str = "db";
/// The kind of stores that rely on the agent's floor.
pub(crate) const LOOSE: &str = "tree";

/// A typed name of one that is known to be good.
pub(crate) fn name<T: std::str::FromStr>(text: &str) -> T {
    match text.parse() {
        Ok(name) => name,
        Err(_) => unreachable!("the simulator's names follow the rules"),
    }
}

/// The declared system, with indices for its names.
pub(crate) struct Topology {
    pub(crate) file: PlanFile,
    pub(crate) kinds: Kinds,
    /// Data sites first, the witness last.
    pub(crate) sites: Vec<SiteId>,
    pub(crate) stores: Vec<ComponentId>,
    pub(crate) workloads: Vec<ComponentId>,
    pub(crate) routes: Vec<ComponentId>,
    /// For each workload, the stores that it uses.
    pub(crate) uses: Vec<Vec<usize>>,
    /// The length of each store's lease, if it has one.
    pub(crate) leases: Vec<Option<Span>>,
    /// Whether each workload is a scheduler.
    pub(crate) schedulers: Vec<bool>,
}

/// Where in a list a name is.
fn find<T: PartialEq>(list: &[T], wanted: &T) -> Option<usize> {
    list.iter().position(|known| known == wanted)
}

impl Topology {
    /// How many sites hold data.
    pub(crate) fn data(&self) -> usize {
        self.sites.len() - 1
    }

    /// The witness.
    pub(crate) fn witness(&self) -> usize {
        self.sites.len() - 1
    }

    /// The mover's place in the network, beside the sites.
    pub(crate) fn mover(&self) -> usize {
        self.sites.len()
    }

    pub(crate) fn site(&self, name: &SiteId) -> usize {
        find(&self.sites, name).unwrap_or_else(|| self.witness())
    }

    pub(crate) fn store(&self, name: &ComponentId) -> Option<usize> {
        find(&self.stores, name)
    }

    pub(crate) fn workload(&self, name: &ComponentId) -> Option<usize> {
        find(&self.workloads, name)
    }

    pub(crate) fn route(&self, name: &ComponentId) -> Option<usize> {
        find(&self.routes, name)
    }

    /// The declared store of that index.
    pub(crate) fn declared_store(&self, store: usize) -> &Store {
        &self.file.stores[&self.stores[store]]
    }

    /// The declared workload of that index.
    pub(crate) fn declared_workload(&self, workload: usize) -> &Workload {
        &self.file.workloads[&self.workloads[workload]]
    }

    /// A random one.
    pub(crate) fn random(dice: &mut Dice, mix: Mix) -> Self {
        let mut sites: Vec<SiteId> = vec![name("prod"), name("dr")];
        let spread = mix == Mix::Spread;
        if dice.chance(150) || spread {
            sites.push(name("far"));
        }
        sites.push(name("witness"));
        let mut maker = Maker {
            file: empty(&sites),
            data: sites[..sites.len() - 1].to_vec(),
        };
        maker.stores(dice);
        maker.workloads(dice, spread);
        maker.routes(dice, spread);
        let file = maker.file;
        let stores: Vec<ComponentId> = file.stores.keys().cloned().collect();
        let uses = file.workloads.values().map(|workload| {
            let uses = workload.uses.iter();
            uses.filter_map(|used| find(&stores, &used.store)).collect()
        });
        let leases = file.stores.values().map(|store| store.lease);
        let roles = file.workloads.values().map(|workload| workload.role);
        Self {
            uses: uses.collect(),
            leases: leases.collect(),
            schedulers: roles.map(|it| it == WorkloadRole::Scheduler).collect(),
            workloads: file.workloads.keys().cloned().collect(),
            routes: file.routes.keys().cloned().collect(),
            kinds: Kinds::new()
                .with(Plain(STRICT))
                .with(Plain(LOOSE))
                .with(Plain("app"))
                .with(Plain("names")),
            stores,
            sites,
            file,
        }
    }
}

fn objectives() -> Objectives {
    Objectives {
        rpo: Span::from_secs(300),
        rto: Span::from_secs(900),
    }
}

fn empty(sites: &[SiteId]) -> PlanFile {
    let site = |at: usize, site: &SiteId| Site {
        domain: format!("domain-{at}"),
        role: if site.as_str() == "witness" {
            Role::Witness
        } else {
            Role::Data
        },
        agent: format!("unix:{site}.sock"),
        health: None,
        fence: vec![FencerSpec {
            kind: name("agent"),
            options: serde_json::json!({}),
        }],
    };
    let sites = sites.iter().enumerate();
    PlanFile {
        system: "simulated".into(),
        hash: "0".repeat(64),
        sites: sites.map(|(at, it)| (it.clone(), site(at, it))).collect(),
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

struct Maker {
    file: PlanFile,
    data: Vec<SiteId>,
}

impl Maker {
    fn declared(&self, named: &str, class: Class, kind: &str) -> Declared {
        let at = self.data.iter();
        Declared {
            name: name(named),
            class,
            kind: name::<KindName>(kind),
            at: at.map(|it| (it.clone(), serde_json::json!({}))).collect(),
            options: serde_json::json!({}),
            timeout: None,
        }
    }

    fn home(&self) -> Weights {
        Weights::from([(self.data[0].clone(), 100)])
    }

    fn stores(&mut self, dice: &mut Dice) {
        let count = dice.between(1, 3);
        for named in ["ledger", "files", "queue"]
            .iter()
            .take(usize::try_from(count).unwrap_or(0))
        {
            let kind = if dice.chance(600) { STRICT } else { LOOSE };
            let lease = dice
                .chance(600)
                .then(|| Span::from_secs(dice.between(2, 4)));
            let store = Store {
                declared: self.declared(named, Class::Store, kind),
                copy: Some(Copy {
                    every: Some(Span::from_millis(dice.between(1_000, 6_000))),
                    by: None,
                    deletes: None,
                    offline: None,
                }),
                backup: Vec::new(),
                disposable: false,
                writers: Writers::One,
                spans: Vec::new(),
                on_loss: OnLoss::Refuse,
                lease,
                objectives: objectives(),
                standby: Standby::Warm,
            };
            let home = self.home();
            self.file.placement.insert(name(named), home);
            self.file.stores.insert(name(named), store);
        }
        if count > 1 && dice.chance(500) {
            let stores = self.file.stores.keys().take(2).cloned().collect();
            let group = Group {
                stores,
                on_skew: OnSkew::Report,
                check: None,
            };
            self.file.groups.insert(name::<GroupId>("orders"), group);
        }
    }

    fn workloads(&mut self, dice: &mut Dice, spread: bool) {
        let count = dice.between(u64::from(spread), 3);
        let names: Vec<ComponentId> = self.file.stores.keys().cloned().collect();
        for at in 0..usize::try_from(count).unwrap_or(0) {
            let called = ["web", "api", "jobs"][at];
            let scheduler = at == 2;
            let mut uses: Vec<ComponentId> =
                names.iter().filter(|_| dice.chance(700)).cloned().collect();
            if uses.is_empty() && !dice.chance(80) {
                uses.push(names[0].clone());
            }
            let standby = match dice.below(10) {
                0..=1 => Standby::Cold,
                2..=3 if !scheduler => Standby::Hot,
                _ => Standby::Warm,
            };
            let after = at == 1 && dice.chance(600);
            let workload = Workload {
                declared: self.declared(called, Class::Workload, "app"),
                role: if scheduler {
                    WorkloadRole::Scheduler
                } else {
                    WorkloadRole::Service
                },
                uses: uses
                    .into_iter()
                    .map(|store| Use { store, via: None })
                    .collect(),
                after: after.then(|| name("web")).into_iter().collect(),
                standby,
                required: !dice.chance(100),
                grace: None,
                objectives: objectives(),
            };
            let home = self.home();
            self.file.placement.insert(name(called), home);
            self.file.workloads.insert(name(called), workload);
        }
        // Sometimes the first workload serves at two sites, with one writer behind both.
        if count > 0 && (dice.chance(150) || spread) {
            let both = self.data.iter().take(2).map(|site| (site.clone(), 50));
            self.file.placement.insert(name("web"), both.collect());
        }
    }

    fn routes(&mut self, dice: &mut Dice, spread: bool) {
        if self.file.workloads.contains_key("web") && (dice.chance(850) || spread) {
            self.route("app", "web");
        }
        if dice.chance(250) {
            self.route("data", "ledger");
            for workload in self.file.workloads.values_mut() {
                for used in &mut workload.uses {
                    if used.store.as_str() == "ledger" {
                        used.via = Some(name("data"));
                    }
                }
            }
        }
    }

    fn route(&mut self, named: &str, serves: &str) {
        let Some(serves) = (self.file.stores.keys())
            .chain(self.file.workloads.keys())
            .find(|known| known.as_str() == serves)
        else {
            return;
        };
        let route = Route {
            declared: self.declared(named, Class::Route, "names"),
            serves: vec![serves.clone()],
            ttl: Some(Span::from_secs(1)),
            required: true,
        };
        self.file.routes.insert(name(named), route);
    }
}
