//! Two real clusters with streaming replication, in a temporary folder, on free ports; stopped on drop, whatever happens.
//! Must not know what is tested.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use mainstay_driver::{ActError, Driver, Order, Progress};
use mainstay_drivers::{
    Home, Quarantine,
    postgres::{
        PostgresDriver, PostgresKind,
        cluster::{self, ClusterSpec, Role},
    },
};
use mainstay_model::{
    Action, AgentId, Class, ComponentId, Declared, Direction, EffectId, Epoch, ExecutorEpoch, Goal,
    Input, Kind, KindName, Op, Output, OutputRef, Predicate, RunId, Sample, Scope, SiteId, StepId,
    Subject, Timestamp, Traits, Tri,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

pub(crate) fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

/// The two sites, each with its agent's driver.
pub(crate) struct Pair {
    pub(crate) dir: TempDir,
    pub(crate) specs: BTreeMap<&'static str, ClusterSpec>,
    pub(crate) drivers: BTreeMap<&'static str, Arc<PostgresDriver>>,
    step: std::cell::Cell<u32>,
}

impl Drop for Pair {
    fn drop(&mut self) {
        for spec in self.specs.values() {
            signal(spec, Signal::QUIT);
        }
    }
}

impl Pair {
    /// Starts both: `prod` owns the store at epoch 1, `dr` follows. `None`, with a printed line, without PostgreSQL.
    pub(crate) async fn start() -> Option<Self> {
        if let Err(cause) = cluster::available().await {
            println!("skipped: {cause} (Debian: postgresql)");
            return None;
        }
        let dir = scratch();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (name, secret) in [("mainstay", "m-secret"), ("copier", "c:se\\cret")] {
            fs::write(dir.path().join(name), format!("{secret}\n")).unwrap();
        }
        let specs: BTreeMap<_, _> = ["prod", "dr"]
            .into_iter()
            .map(|name| (name, spec(&dir.path().join(name))))
            .collect();
        let pair = Self {
            drivers: ["prod", "dr"]
                .into_iter()
                .map(|name| (name, Arc::new(driver(&dir, &specs, name))))
                .collect(),
            dir,
            specs,
            step: std::cell::Cell::new(0),
        };
        let (prod, dr) = (&pair.specs["prod"], &pair.specs["dr"]);
        cluster::create_primary(prod, &site("prod"), Epoch(1))
            .await
            .unwrap();
        cluster::create_standby(dr, prod, &site("dr"))
            .await
            .unwrap();
        let app = pair.app("prod").await.unwrap();
        app.batch_execute("CREATE TABLE orders (id bigint PRIMARY KEY, body text NOT NULL)")
            .await
            .unwrap();
        Some(pair)
    }

    /// A session as the application.
    pub(crate) async fn app(&self, name: &str) -> Result<Client, tokio_postgres::Error> {
        let spec = &self.specs[name];
        let mut config: tokio_postgres::Config = spec.url().parse().unwrap();
        config.user("app").password("a-secret");
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(client)
    }

    pub(crate) async fn insert(&self, name: &str, ids: std::ops::Range<i64>) {
        let app = self.app(name).await.unwrap();
        for id in ids {
            let sql = "INSERT INTO orders VALUES ($1, 'order ' || ($1::bigint)::text)";
            app.execute(sql, &[&id]).await.unwrap();
        }
    }

    /// How many orders there are, asked as the application.
    pub(crate) async fn count(&self, name: &str) -> i64 {
        let app = self.app(name).await.unwrap();
        let row = app.query_one("SELECT count(*) FROM orders", &[]).await;
        row.unwrap().get(0)
    }

    pub(crate) fn order(&self, at: &str, op: Op, input: Option<Output>) -> Order {
        self.step.set(self.step.get() + 1);
        let step = StepId(self.step.get());
        let input = input.map(|output| Input {
            from: OutputRef { step },
            output,
        });
        Order {
            id: EffectId {
                run: RunId::new("r1").unwrap(),
                step,
                direction: Direction::Forward,
                attempt: 1,
                executor: ExecutorEpoch(1),
            },
            action: Action {
                driver: KindName::new("postgres").unwrap(),
                subject: Subject::Component(ComponentId::new("ledger").unwrap()),
                site: site(at),
                op,
            },
            fence: None,
            inputs: input.into_iter().collect(),
        }
    }

    /// Acts, and polls until it is over.
    pub(crate) async fn act(
        &self,
        at: &str,
        op: Op,
        input: Option<Output>,
    ) -> Result<Output, ActError> {
        let order = self.order(at, op, input);
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut progress = self.drivers[at].act(&order).await?;
        loop {
            match progress {
                Progress::Done(output) => return Ok(output),
                Progress::Running { handle, note, .. } => {
                    assert!(Instant::now() < deadline, "still running: {note:?}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    progress = self.drivers[at].poll(&order, &handle).await?;
                }
            }
        }
    }

    pub(crate) async fn done(&self, at: &str, op: Op) -> Output {
        self.act(at, op, None).await.unwrap()
    }

    pub(crate) async fn sample(&self, at: &str) -> Sample {
        self.drivers[at].observe(&scope(at)).await
    }

    pub(crate) async fn holds(&self, at: &str, is: Predicate) -> Tri {
        let sample = self.sample(at).await;
        let goal = Goal {
            scope: scope(at),
            is,
        };
        let answer = PostgresKind.holds(&goal, &sample, Timestamp(i64::MAX));
        if answer != Tri::Holds {
            println!("{:?}: {sample:?}", goal.is);
        }
        answer
    }

    /// Looks until it holds.
    pub(crate) async fn wait_for(&self, at: &str, is: Predicate) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.holds(at, is.clone()).await != Tri::Holds {
            assert!(Instant::now() < deadline, "never: {is:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the kind promises for this store.
    pub(crate) fn traits(&self) -> Traits {
        PostgresKind.traits(&declared(&self.specs))
    }

    /// Stops an agent and starts it again: what it knew in memory is gone.
    pub(crate) fn restart_agent(&mut self, name: &'static str) {
        let fresh = driver(&self.dir, &self.specs, name);
        self.drivers.insert(name, Arc::new(fresh));
    }

    /// A fresh agent that keeps its standby running.
    pub(crate) fn watch(&mut self, name: &'static str, quarantine: &Arc<dyn Quarantine>) {
        let fresh = driver(&self.dir, &self.specs, name).keeping_standbys(quarantine);
        self.drivers.insert(name, Arc::new(fresh));
    }

    /// `kill -9` for the postmaster; its children follow by themselves.
    pub(crate) fn kill(&self, name: &str) {
        signal(&self.specs[name], Signal::KILL);
    }
}

fn signal(spec: &ClusterSpec, signal: Signal) {
    let Some(pid) = cluster::postmaster(spec) else {
        return;
    };
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = kill_process(pid, signal);
    let deadline = Instant::now() + Duration::from_secs(20);
    while cluster::postmaster(spec).is_some() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A folder in memory where there is room: clusters write much when they are made, and nothing here outlives the test.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).is_ok_and(|fs| fs.f_bavail * fs.f_frsize > 2 << 30);
    if room && let Ok(dir) = tempfile::tempdir_in(memory) {
        return dir;
    }
    tempfile::tempdir().unwrap()
}

pub(crate) fn scope(at: &str) -> Scope {
    Scope {
        driver: KindName::new("postgres").unwrap(),
        subject: Subject::Component(ComponentId::new("ledger").unwrap()),
        site: site(at),
        from: site(at),
    }
}

fn role(name: &str, password: &str) -> Role {
    Role {
        name: name.to_owned(),
        password: password.to_owned(),
    }
}

fn spec(data: &Path) -> ClusterSpec {
    fs::create_dir(data).unwrap();
    // The folder that holds the data folder belongs to the cluster's user, as on a real machine.
    if rustix::process::geteuid().is_root() {
        let postgres = fs::read_to_string("/etc/passwd").unwrap();
        let line = postgres
            .lines()
            .find(|line| line.starts_with("postgres:"))
            .unwrap();
        let ids: Vec<u32> = line
            .split(':')
            .skip(2)
            .take(2)
            .map(|id| id.parse().unwrap())
            .collect();
        chown(data, Some(ids[0]), Some(ids[1])).unwrap();
    }
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    ClusterSpec {
        data: data.join("data"),
        host: "127.0.0.1".to_owned(),
        port,
        database: "ledger".to_owned(),
        bin: None,
        run_as: None,
        mainstay: role("mainstay", "m-secret"),
        replication: role("copier", "c:se\\cret"),
        apps: vec![role("app", "a-secret")],
    }
}

pub(crate) fn declared(specs: &BTreeMap<&'static str, ClusterSpec>) -> Declared {
    let at = specs
        .iter()
        .map(|(name, spec)| {
            let at = json!({
                "url": spec.url(),
                "password": { "file": "mainstay" },
                "data": spec.data,
                "replication": { "user": "copier", "password": { "file": "copier" } },
            });
            (site(name), at)
        })
        .collect();
    Declared {
        name: ComponentId::new("ledger").unwrap(),
        class: Class::Store,
        kind: KindName::new("postgres").unwrap(),
        at,
        options: json!({ "app_roles": ["app"] }),
        timeout: None,
    }
}

fn driver(
    dir: &TempDir,
    specs: &BTreeMap<&'static str, ClusterSpec>,
    name: &str,
) -> PostgresDriver {
    let declared = declared(specs);
    assert_eq!(PostgresKind.check(&declared), []);
    let home = Home {
        site: site(name),
        agent: AgentId::new(name).unwrap(),
        base: dir.path().to_owned(),
        state: dir.path().join(format!("{name}-agent")),
    };
    PostgresDriver::of(&[declared], home)
}
