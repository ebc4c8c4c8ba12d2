//! A real cluster that is backed up, in a temporary folder, on a free port; stopped when dropped, whatever happens.
//! Must not know what is tested.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use mainstay_backup::{Format, Quiet, Repository, RestorePoint};
use mainstay_driver::Cause;
use mainstay_model::{
    AgentId, Class, ComponentId, Declared, Epoch, KindName, RecoveryTarget, SiteId, Span, Timestamp,
};
use mainstay_storage::Memory;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use super::super::{
    base,
    bring::bring_until,
    choose::Until,
    logs::{Logs, Target},
    scratch::Scratch,
    store::Store,
    wait::wait,
};
use crate::{
    postgres::{
        backup::bring::place,
        cluster::{self, ClusterSpec, Role},
        instance::Instance,
        options::{PostgresOptions, sites},
    },
    shared::Brought,
    support::Home,
};

/// A cluster, its store, and a repository.
pub(super) struct Bed {
    dir: Arc<TempDir>,
    pub(super) spec: ClusterSpec,
    pub(super) store: Store,
    pub(super) repository: Repository,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.signal(Signal::QUIT);
    }
}

pub(super) fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

/// Runs something asynchronous.
pub(super) fn now<T, E: std::fmt::Debug>(work: impl Future<Output = Result<T, E>>) -> T {
    wait(async { Ok(work.await.unwrap()) }).unwrap()
}

impl Bed {
    /// None, with a printed line, without PostgreSQL.
    pub(super) fn start() -> Option<Self> {
        if let Err(cause) = wait(cluster::available()) {
            println!("skipped: {cause} (Debian: postgresql)");
            return None;
        }
        let dir = folder();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (name, secret) in [("mainstay", "m-secret"), ("copier", "c:se\\cret")] {
            fs::write(dir.path().join(name), format!("{secret}\n")).unwrap();
        }
        let spec = spec(&dir.path().join("prod"));
        now(cluster::create_primary(&spec, &site("prod"), Epoch(1)));
        let bed = Self {
            store: store(&dir, &spec, "prod"),
            repository: Repository::init(Arc::new(Memory::default()), b"x", Format::V2).unwrap(),
            dir: Arc::new(dir),
            spec,
        };
        bed.run("CREATE TABLE marks (id bigint PRIMARY KEY, at timestamptz NOT NULL)");
        Some(bed)
    }

    /// As a plan file declares it.
    pub(super) fn declared(&self) -> Declared {
        declared(&self.spec, self.store.instance.home.site.as_str())
    }

    /// A standby of it, for another site with the same repository.
    pub(super) fn standby(&self, name: &str) -> Self {
        let spec = spec(&self.dir.path().join(name));
        now(cluster::create_standby(&spec, &self.spec, &site(name)));
        Self {
            dir: Arc::clone(&self.dir),
            store: store(&self.dir, &spec, name),
            repository: self.repository.clone(),
            spec,
        }
    }

    /// Waits until a standby has replayed so much.
    pub(super) fn wait_replayed(&self, lsn: u64) {
        let sql = "SELECT (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::int8";
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.number(sql) < i64::try_from(lsn).unwrap() {
            assert!(Instant::now() < deadline, "it does not follow");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A session as Mainstay.
    pub(super) async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let mut config: tokio_postgres::Config = self.spec.url().parse().unwrap();
        config.user("mainstay").password("m-secret");
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(client)
    }

    /// Executes statements.
    pub(super) fn run(&self, sql: &str) {
        now(async { self.connect().await?.batch_execute(sql).await });
    }

    /// One number.
    pub(super) fn number(&self, sql: &str) -> i64 {
        now(async { self.connect().await?.query_one(sql, &[]).await?.try_get(0) })
    }

    /// The server's clock.
    pub(super) fn clock(&self) -> Timestamp {
        Timestamp(self.number("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8"))
    }

    /// Where the server's log is flushed to.
    pub(super) fn flushed(&self) -> u64 {
        let lsn = self.number("SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::int8");
        u64::try_from(lsn).unwrap()
    }

    pub(super) fn signal(&self, signal: Signal) {
        let Some(pid) = cluster::postmaster(&self.spec) else {
            return;
        };
        let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal);
        let deadline = Instant::now() + Duration::from_secs(20);
        while cluster::postmaster(&self.spec).is_some() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts the cluster after a kill, and lets it take writes again.
    pub(super) fn start_again(&self) {
        now(cluster::start(&self.spec));
        let deadline = Instant::now() + Duration::from_secs(20);
        let open = "ALTER SYSTEM SET default_transaction_read_only = off";
        now(async {
            let client = self.connect().await?;
            client.batch_execute(open).await?;
            client.batch_execute("SELECT pg_reload_conf()").await
        });
        while self
            .number("SELECT (current_setting('default_transaction_read_only') = 'off')::int::int8")
            == 0
        {
            assert!(Instant::now() < deadline, "it stays read-only");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn logs(&self) -> Logs {
        self.logs_to(vec![Target::Open(self.repository.clone())])
    }

    pub(super) fn logs_to(&self, targets: Vec<Target>) -> Logs {
        let hour = Span::from_secs(3600);
        let targets = targets.into_iter().map(|target| (target, hour));
        Logs::new(
            self.store.clone(),
            Duration::from_secs(1),
            targets.collect(),
        )
    }

    pub(super) fn save(&self) -> RestorePoint {
        let (_, finished) = base::save(&self.store, &self.repository, &Quiet).unwrap();
        let points = RestorePoint::all(&self.repository).unwrap();
        points
            .into_iter()
            .find(|point| point.id == finished.id)
            .unwrap()
    }

    /// Where something can be restored to.
    pub(super) fn place(&self, name: &str) -> PathBuf {
        self.spec.data.with_file_name(name)
    }

    pub(super) fn bring(&self, until: &Until, into: &str) -> Result<Brought, Cause> {
        let (repository, into) = (&self.repository, self.place(into));
        bring_until(&self.store, repository, until, None, &into, &Quiet)
    }

    pub(super) fn bring_target(
        &self,
        target: &RecoveryTarget,
        into: &str,
    ) -> Result<Brought, Cause> {
        super::super::bring::bring(
            &self.store,
            &self.repository,
            target,
            &self.place(into),
            &Quiet,
        )
    }

    /// The numbers of a restored folder's marks.
    pub(super) fn marks_in(&self, folder: &str) -> Vec<i64> {
        self.asked_in(folder, "SELECT id FROM marks ORDER BY id")
    }

    /// Numbers that a restored folder answers.
    pub(super) fn asked_in(&self, folder: &str, sql: &str) -> Vec<i64> {
        let place = place(&self.store, &self.place(folder)).unwrap();
        wait(async {
            let mut server = place.start(&[]).await?;
            let rows = asked(&mut server, sql).await;
            server.stop()?;
            Ok(rows)
        })
        .unwrap()
    }
}

/// Steps, whatever fails, until something is so.
pub(super) fn step_until(logs: &mut Logs, mut is_so: impl FnMut(&Logs) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut last = None;
    while !is_so(logs) {
        assert!(Instant::now() < deadline, "it never is: {last:?}");
        last = logs.step().err().or(last);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Steps until the log is stored up to a moment.
pub(super) fn store_until(logs: &mut Logs, taken: Timestamp, lsn: u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut last = None;
    while logs.reach().taken < taken || logs.reach().lsn < lsn {
        let (reach, gap) = (logs.reach(), &logs.lost);
        assert!(
            Instant::now() < deadline,
            "never stored: {reach:?} {last:?} {gap:?}"
        );
        last = logs.step().err().or(last);
        std::thread::sleep(Duration::from_millis(20));
    }
}

async fn asked(server: &mut Scratch, sql: &str) -> Vec<i64> {
    loop {
        if let Ok(client) = server.connect(server.database()).await
            && let Ok(rows) = client.query(sql, &[]).await
        {
            return rows.iter().map(|row| row.get(0)).collect();
        }
        assert!(
            matches!(server.ended(), Ok(None)),
            "{}",
            server.last_words()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// `pgbench` as it comes, until it is dropped.
pub(super) struct Load(std::process::Child);

impl Load {
    /// Answers as soon as there is load.
    pub(super) fn start(bed: &Bed) -> Self {
        let spec = &bed.spec;
        let bench = |args: &[&str]| {
            let mut command = std::process::Command::new("pgbench");
            let port = spec.port.to_string();
            command
                .args(["-h", &spec.host, "-p", &port, "-U", "mainstay", "-n"])
                .args(args)
                .arg(&spec.database)
                .env("PGPASSWORD", "m-secret")
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null());
            command
        };
        assert!(bench(&["-i", "-s", "1"]).status().unwrap().success());
        let mut args = bench(&["-c", "2", "-T", "120"]);
        let load = Self(args.spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(30);
        while bed.number("SELECT count(*) FROM pgbench_history") == 0 {
            assert!(Instant::now() < deadline, "there is no load");
            std::thread::sleep(Duration::from_millis(20));
        }
        load
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes a mark every so often, and remembers each with the server's clock before and after.
pub(super) struct Marker {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Mark>>>,
}

/// A mark that was acknowledged, between these moments by the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) id: i64,
    pub(super) before: Timestamp,
    pub(super) after: Timestamp,
}

impl Marker {
    pub(super) fn start(spec: &ClusterSpec, from: i64, every: Duration) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (end, url) = (Arc::clone(&over), spec.url());
        let thread = std::thread::spawn(move || {
            wait(async { Ok(mark_all(&url, from, every, &end).await) }).unwrap()
        });
        Self {
            over,
            thread: Some(thread),
        }
    }

    /// Every mark that was acknowledged.
    pub(super) fn stop(mut self) -> Vec<Mark> {
        self.over.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

async fn mark_all(url: &str, from: i64, every: Duration, over: &AtomicBool) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut config: tokio_postgres::Config = url.parse().unwrap();
    config.user("mainstay").password("m-secret");
    let mut id = from;
    'connect: while !over.load(Ordering::SeqCst) {
        let Ok((client, connection)) = config.connect(NoTls).await else {
            tokio::time::sleep(every).await;
            continue;
        };
        tokio::spawn(async move {
            let _ = connection.await;
        });
        while !over.load(Ordering::SeqCst) {
            let clock = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8";
            let write = "INSERT INTO marks VALUES ($1, clock_timestamp())";
            let Ok(before) = client.query_one(clock, &[]).await else {
                continue 'connect;
            };
            let written = client.execute(write, &[&id]).await;
            id += 1;
            if written.is_err() {
                continue 'connect;
            }
            let Ok(after) = client.query_one(clock, &[]).await else {
                continue 'connect;
            };
            marks.push(Mark {
                id: id - 1,
                before: Timestamp(before.get(0)),
                after: Timestamp(after.get(0)),
            });
            tokio::time::sleep(every).await;
        }
    }
    marks
}

/// A folder in memory where there is room: clusters write much when they are made.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).is_ok_and(|fs| fs.f_bavail * fs.f_frsize > 3 << 30);
    if room && let Ok(dir) = tempfile::tempdir_in(memory) {
        return dir;
    }
    tempfile::tempdir().unwrap()
}

fn spec(folder: &Path) -> ClusterSpec {
    fs::create_dir(folder).unwrap();
    // The folder that holds the data folder belongs to the cluster's user, as on a real machine.
    if rustix::process::geteuid().is_root() {
        let users = fs::read_to_string("/etc/passwd").unwrap();
        let line = users
            .lines()
            .find(|line| line.starts_with("postgres:"))
            .unwrap();
        let ids: Vec<u32> = line
            .split(':')
            .skip(2)
            .take(2)
            .map(|id| id.parse().unwrap())
            .collect();
        chown(folder, Some(ids[0]), Some(ids[1])).unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let role = |name: &str, password: &str| Role {
        name: name.to_owned(),
        password: password.to_owned(),
    };
    ClusterSpec {
        data: folder.join("data"),
        host: "127.0.0.1".to_owned(),
        port: listener.local_addr().unwrap().port(),
        database: "ledger".to_owned(),
        bin: None,
        run_as: None,
        mainstay: role("mainstay", "m-secret"),
        replication: role("copier", "c:se\\cret"),
        apps: vec![role("app", "a-secret")],
    }
}

fn declared(spec: &ClusterSpec, name: &str) -> Declared {
    let at = json!({
        "url": spec.url(),
        "password": { "file": "mainstay" },
        "data": spec.data,
        "replication": { "user": "copier", "password": { "file": "copier" } },
    });
    Declared {
        name: ComponentId::new("ledger").unwrap(),
        class: Class::Store,
        kind: KindName::new("postgres").unwrap(),
        at: [(site(name), at)].into(),
        options: json!({ "checks": ["SELECT count(*) > 0 FROM marks"] }),
        timeout: None,
    }
}

fn store(dir: &TempDir, spec: &ClusterSpec, name: &str) -> Store {
    let declared = declared(spec, name);
    Store {
        instance: Instance {
            name: declared.name.clone(),
            home: Home {
                site: site(name),
                agent: AgentId::new(name).unwrap(),
                base: dir.path().to_owned(),
                state: dir.path().join(format!("{name}-agent")),
            },
            sites: sites(&declared),
            options: PostgresOptions::of(&declared).unwrap(),
        },
        system: "orders".to_owned(),
    }
}
