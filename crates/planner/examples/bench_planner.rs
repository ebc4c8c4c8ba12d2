//! Measures planning and proving for 100 to 100,000 components, and prints JSON. Run it in release:
//! `cargo run --release -p mainstay-planner --example bench_planner`.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "a measurement reads the clock and its own memory, and prints what it found"
)]

use std::{collections::BTreeMap, time::Instant};

use mainstay_model::*;
use mainstay_planner::*;
use serde_json::{Value, json};

struct Plain;

impl Kind for Plain {
    fn name(&self) -> &'static str {
        "plain"
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
            fence: FenceClass::F1,
            loss: LossMode::Lag,
            seal: SealStrength::Enforced,
            idempotence: Idempotence::Idempotent,
        }
    }
}

const NOW: Timestamp = Timestamp(1_000_000_000_000);

fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

fn at(name: &str) -> Weights {
    Weights::from([(site(name), 100)])
}

const PROMISE: Objectives = Objectives {
    rpo: Span::from_secs(300),
    rto: Span::from_secs(900),
};

fn declared(name: &ComponentId, class: Class) -> Declared {
    let sites = [site("prod"), site("dr")];
    Declared {
        name: name.clone(),
        class,
        kind: KindName::new("plain").unwrap(),
        at: sites.into_iter().map(|site| (site, json!({}))).collect(),
        options: json!({}),
        timeout: None,
    }
}

/// A plan file that grows by whole services: most with one database behind one web server and one name, some with
/// two stores that belong together and a worker, some without data, some with a scheduler.
struct Growing {
    file: PlanFile,
    components: usize,
}

impl Growing {
    fn to(components: usize) -> PlanFile {
        let mut growing = Self {
            file: empty(),
            components: 0,
        };
        let mut unit = 0;
        while growing.components < components {
            growing.service(unit);
            unit += 1;
        }
        growing.file
    }

    fn service(&mut self, unit: usize) {
        let name = |what: &str| format!("{what}-{unit}");
        match unit % 20 {
            0..=11 => {
                self.store(&name("db"));
                self.workload(&name("web"), &[&name("db")], &[], WorkloadRole::Service);
            }
            12..=15 => {
                self.store(&name("db"));
                self.store(&name("files"));
                let stores = [name("db"), name("files")];
                let stores: Vec<&str> = stores.iter().map(String::as_str).collect();
                self.workload(&name("worker"), &stores, &[], WorkloadRole::Service);
                self.workload(
                    &name("web"),
                    &stores,
                    &[&name("worker")],
                    WorkloadRole::Service,
                );
            }
            16..=18 => self.workload(&name("web"), &[], &[], WorkloadRole::Service),
            _ => {
                self.store(&name("db"));
                self.workload(&name("jobs"), &[&name("db")], &[], WorkloadRole::Scheduler);
                self.workload(&name("web"), &[&name("db")], &[], WorkloadRole::Service);
            }
        }
        self.route(&name("name"), &name("web"));
    }

    fn store(&mut self, name: &str) {
        let name = ComponentId::new(name).unwrap();
        let store = Store {
            declared: declared(&name, Class::Store),
            copy: Some(Copy {
                every: None,
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
            objectives: PROMISE,
            standby: Standby::Warm,
        };
        self.file.placement.insert(name.clone(), at("prod"));
        self.file.stores.insert(name, store);
        self.components += 1;
    }

    fn workload(&mut self, name: &str, uses: &[&str], after: &[&str], role: WorkloadRole) {
        let name = ComponentId::new(name).unwrap();
        let uses = uses.iter().map(|store| Use {
            store: ComponentId::new(store).unwrap(),
            via: None,
        });
        let workload = Workload {
            declared: declared(&name, Class::Workload),
            role,
            uses: uses.collect(),
            after: after
                .iter()
                .map(|name| ComponentId::new(name).unwrap())
                .collect(),
            standby: Standby::Warm,
            required: true,
            grace: None,
            objectives: PROMISE,
        };
        self.file.placement.insert(name.clone(), at("prod"));
        self.file.workloads.insert(name, workload);
        self.components += 1;
    }

    fn route(&mut self, name: &str, serves: &str) {
        let name = ComponentId::new(name).unwrap();
        let route = Route {
            declared: declared(&name, Class::Route),
            serves: vec![ComponentId::new(serves).unwrap()],
            ttl: None,
            required: true,
        };
        self.file.routes.insert(name, route);
        self.components += 1;
    }
}

fn empty() -> PlanFile {
    let site_of = |domain: &str, role| Site {
        domain: domain.to_owned(),
        role,
        agent: String::new(),
        health: None,
        fence: Vec::new(),
    };
    PlanFile {
        system: "bench".to_owned(),
        hash: String::new(),
        sites: BTreeMap::from([
            (site("prod"), site_of("north", Role::Data)),
            (site("dr"), site_of("west", Role::Data)),
            (site("witness"), site_of("east", Role::Witness)),
        ]),
        placement: BTreeMap::new(),
        objectives: PROMISE,
        control: Control {
            state: "file:.".to_owned(),
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

fn observed(file: &PlanFile) -> Observed {
    let mut observed = Observed::at(NOW);
    for name in file.sites.keys() {
        let now = SiteNow {
            agent: SiteAgent::Answers,
            standing: SiteStanding::InService,
        };
        observed.sites.insert(name.clone(), now);
    }
    for name in file.stores.keys() {
        let facts = StoreFacts {
            access: Access::Replica,
            mark: None,
            position: None,
            recovery: Some(RecoveryPoint {
                source: site("prod"),
                taken_at: NOW - Span::from_secs(1),
                position: Position::Lsn(1),
            }),
            behind_bytes: None,
            written: None,
        };
        let sample = Sample {
            reading: Reading::Known(Box::new(Facts {
                store: Some(facts),
                ..Facts::default()
            })),
            at: NOW,
            by: AgentId::new("dr").unwrap(),
        };
        let now = StoreNow {
            epoch: Epoch(1),
            granted: Epoch(1),
            at: BTreeMap::from([(site("dr"), sample)]),
            ..StoreNow::default()
        };
        observed.stores.insert(name.clone(), now);
    }
    observed
}

/// The most memory this process has used, in KiB. Linux only; elsewhere zero.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.unwrap_or(0)
}

/// Seconds that this thread was on a processor: on a busy machine the steadier figure. Linux only; elsewhere zero.
fn on_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat
        .split_whitespace()
        .next()
        .and_then(|number| number.parse().ok());
    nanoseconds.unwrap_or(0.0) / 1e9
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn measure(components: usize, repeats: usize) -> Value {
    let file = Growing::to(components);
    let observed = observed(&file);
    let kinds = Kinds::new().with(Plain);
    let request = Request::switchover(site("dr"));
    let count = file.stores.len() + file.workloads.len() + file.routes.len();
    let mut last: Option<Planned> = None;
    let mut planned_in = Vec::new();
    let mut cpu = Vec::new();
    let mut proven_in = Vec::new();
    for _ in 0..repeats {
        drop(last.take());
        let (start, busy) = (Instant::now(), on_cpu());
        let planned = plan(&file, &kinds, &observed, &request).unwrap();
        planned_in.push(start.elapsed().as_secs_f64());
        cpu.push(on_cpu() - busy);
        let start = Instant::now();
        prove(&planned.runbook, &file).unwrap();
        proven_in.push(start.elapsed().as_secs_f64());
        last = Some(planned);
    }
    let planned: Planned = last.unwrap();
    let edges = planned.proof.edges;
    #[expect(clippy::cast_precision_loss, reason = "small counts, for a report")]
    let per_component = edges as f64 / count as f64;
    json!({
        "components": count,
        "steps": planned.runbook.steps.len(),
        "edges": edges,
        "edges_per_component": per_component,
        "seconds": median(planned_in.clone()),
        "seconds_worst": planned_in.iter().copied().fold(0.0, f64::max),
        "cpu_seconds": median(cpu),
        "of_which_proof_s": median(proven_in),
        "questions": planned.proof.questions,
        "peak_kib": peak_kib(),
        "repeats": repeats,
    })
}

fn main() {
    // Growing sizes, so that the peak so far is the peak of the size at hand.
    let sizes = [(100, 9), (1_000, 9), (10_000, 7), (100_000, 3)];
    let sizes: Vec<Value> = sizes
        .into_iter()
        .map(|(n, times)| measure(n, times))
        .collect();
    println!("{}", json!({ "version": 1, "sizes": sizes }));
}
