//! What the tests of the demo's parts share: parts started on free ports, a mark set by hand, and
//! waiting for something to become true.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay_demo::PartError;
use mainstay_demo::order_service::{DatabaseUrl, LeaseOptions, Options, OrderService};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long to wait for something; it only bounds a failing test.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// A part that runs in this process until it is dropped or stopped.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), PartError>>,
}

impl Running {
    pub(crate) fn spawn<F, T>(addr: SocketAddr, serve: F) -> Self
    where
        F: FnOnce(oneshot::Receiver<()>) -> T,
        T: Future<Output = Result<(), PartError>> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        Self {
            addr,
            stop: Some(stop),
            task: tokio::spawn(serve(stopped)),
        }
    }

    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        (&mut self.task).await.unwrap().unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// One site of the order service in a folder of its own.
pub(crate) struct Site {
    pub(crate) name: &'static str,
    pub(crate) folder: PathBuf,
    pub(crate) database: DatabaseUrl,
}

impl Site {
    pub(crate) fn sqlite(name: &'static str, root: &Path) -> Self {
        let folder = root.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let database = DatabaseUrl::Sqlite(folder.join("orders.db"));
        Self {
            name,
            folder,
            database,
        }
    }

    pub(crate) fn database_file(&self) -> PathBuf {
        self.folder.join("orders.db")
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    pub(crate) async fn start(&self, replica: &str, lease: Option<LeaseOptions>) -> Running {
        let service = OrderService::bind(Options {
            site: self.name.to_owned(),
            replica: replica.to_owned(),
            listen: loopback(),
            database: self.database.clone(),
            files: self.files(),
            lease,
            tenants: 50,
        })
        .await
        .unwrap();
        Running::spawn(service.addr().unwrap(), |stop| {
            service.serve(async move {
                let _ = stop.await;
            })
        })
    }

    /// Sets the mark as a driver would.
    pub(crate) fn mark(&self, epoch: u64, owner: &str, state: &str) {
        let connection = rusqlite::Connection::open(self.database_file()).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE IF NOT EXISTS mainstay_mark(id INTEGER PRIMARY KEY CHECK(id=1), \
                 epoch INTEGER NOT NULL, owner TEXT NOT NULL, run TEXT NOT NULL, \
                 state TEXT NOT NULL CHECK(state IN ('open','sealed','replica')));",
            )
            .unwrap();
        connection
            .execute(
                "INSERT OR REPLACE INTO mainstay_mark VALUES (1, ?1, ?2, 'run-1', ?3)",
                rusqlite::params![i64::try_from(epoch).unwrap(), owner, state],
            )
            .unwrap();
    }
}

pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap()
}

pub(crate) fn order(tenant: &str, id: &str, body: &str) -> Value {
    json!({ "tenant": tenant, "id": id, "body": body, "attachment": "aGVsbG8=" })
}

/// Posts and returns the status with the body.
pub(crate) async fn post(url: String, body: &Value) -> (u16, Value) {
    let response = client().post(url).json(body).send().await.unwrap();
    (
        response.status().as_u16(),
        response.json().await.unwrap_or(Value::Null),
    )
}

pub(crate) async fn get(url: String) -> (u16, Value) {
    let response = client().get(url).send().await.unwrap();
    (
        response.status().as_u16(),
        response.json().await.unwrap_or(Value::Null),
    )
}

/// Tries until `check` says yes. The limit only bounds a failing test.
pub(crate) async fn eventually<F, T>(what: &str, mut check: F)
where
    F: FnMut() -> T,
    T: Future<Output = bool>,
{
    let limit = tokio::time::Instant::now() + PATIENCE;
    while !check().await {
        assert!(
            tokio::time::Instant::now() < limit,
            "never came true: {what}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until the replica's readiness answers `reason`, or is ready when that is `None`.
pub(crate) async fn readiness(running: &Running, reason: Option<&str>) {
    let limit = tokio::time::Instant::now() + PATIENCE;
    loop {
        let (status, body) = get(running.url("/ready")).await;
        let answered = match reason {
            None => status == 200,
            Some(reason) => status == 503 && body["reason"] == reason,
        };
        if answered {
            return;
        }
        assert!(
            tokio::time::Instant::now() < limit,
            "expected {reason:?}, last was {body}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}
