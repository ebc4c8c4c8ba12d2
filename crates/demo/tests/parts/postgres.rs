//! The order service on a real PostgreSQL server of the test's own. Left out, with a line that
//! says so, where the server's programs are missing.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mainstay_demo::load::{List, Window, audit};
use mainstay_demo::order_service::{
    DatabaseUrl, ReconcileOptions, Skew, init, reconcile, stored_orders,
};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::json;
use tokio_postgres::NoTls;

use crate::support::{Running, Site, eventually, get, order, post, readiness};

/// An unprivileged user (`nobody`): the server refuses to run as root.
const NOBODY: u32 = 65534;

/// The mark as a driver creates it.
const MARK: &str = "CREATE SCHEMA mainstay;
CREATE TABLE mainstay.mark(
  id INTEGER PRIMARY KEY CHECK (id = 1), epoch BIGINT NOT NULL, owner TEXT NOT NULL,
  run TEXT NOT NULL, state TEXT NOT NULL);
INSERT INTO mainstay.mark VALUES (1, 1, 'prod', 'run-1', 'open')";

struct Server {
    child: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT ends the server with all of its children at once.
        let _ = kill_process(Pid::from_child(&self.child), Signal::QUIT);
        let _ = self.child.wait();
    }
}

fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders
        .into_iter()
        .rev()
        .find(|folder| folder.join("initdb").exists())
}

fn unprivileged(program: PathBuf) -> Command {
    let mut command = Command::new(program);
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .stdin(Stdio::null());
    command
}

/// Starts a server in `root`, or says why not.
async fn server(root: &Path) -> Option<Server> {
    let Some(programs) = programs() else {
        println!("left out: PostgreSQL's programs are not installed");
        return None;
    };
    let data = root.join("data");
    fs::create_dir(&data).unwrap();
    if geteuid().is_root() {
        chown(root, Some(NOBODY), Some(NOBODY)).unwrap();
        chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let made = unprivileged(programs.join("initdb"))
        .args(["--auth=trust", "--username=demo", "--no-sync", "-D"])
        .arg(&data)
        .status();
    assert!(made.unwrap().success());
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let child = unprivileged(programs.join("postgres"))
        .arg("-D")
        .arg(&data)
        .args(["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"])
        .args(["-c", &format!("port={port}"), "-c"])
        .arg(format!("unix_socket_directories={}", root.display()))
        .spawn()
        .unwrap();
    let url = format!("postgres://demo@127.0.0.1:{port}/postgres");
    let server = Server { child, url };
    eventually("PostgreSQL answers", || async {
        tokio_postgres::connect(&server.url, NoTls).await.is_ok()
    })
    .await;
    Some(server)
}

async fn run(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
}

#[tokio::test]
async fn the_same_service_on_postgresql() {
    let root = tempfile::tempdir().unwrap();
    let cluster = tempfile::tempdir().unwrap();
    let Some(server) = server(cluster.path()).await else {
        return;
    };
    let database: DatabaseUrl = server.url.parse().unwrap();
    let mut site = Site::sqlite("prod", root.path());
    site.database = database;
    init(&site.database, 50).await.unwrap();
    init(&site.database, 50).await.unwrap();
    let running = site.start("prod-1", None).await;
    readiness(&running, Some("no-mark")).await;
    run(&server.url, MARK).await;
    readiness(&running, None).await;
    writes_and_reads(&running).await;
    records_what_is_lost(&site, &running).await;

    run(&server.url, "UPDATE mainstay.mark SET state = 'sealed'").await;
    let (status, body) = post(running.url("/orders"), &order("t01", "o2", "x")).await;
    assert_eq!(
        (status, &body["error"]),
        (503, &json!("sealed")),
        "seen within the transaction"
    );
    readiness(&running, Some("sealed")).await;
    run(
        &server.url,
        "UPDATE mainstay.mark SET state = 'open', epoch = 2, owner = 'dr'",
    )
    .await;
    readiness(&running, Some("not-owner")).await;

    // A server that only reads is a refusal as well, whatever the mark says.
    run(
        &server.url,
        "UPDATE mainstay.mark SET owner = 'prod', epoch = 3",
    )
    .await;
    readiness(&running, None).await;
    run(
        &server.url,
        "ALTER SYSTEM SET default_transaction_read_only = on",
    )
    .await;
    run(&server.url, "SELECT pg_reload_conf()").await;
    readiness(&running, Some("sealed")).await;
    assert_eq!(stored_orders(&site.database).await.unwrap().len(), 1);

    let (list, files) = (empty_list(root.path()), site.files());
    let found = audit(&list, Window::ALWAYS, &site.database, &files)
        .await
        .unwrap();
    assert_eq!(found.acknowledged, 0);

    drop(server);
    readiness(&running, Some("database")).await;
}

async fn writes_and_reads(running: &Running) {
    let url = running.url("/orders");
    assert_eq!(post(url.clone(), &order("t01", "o1", "x")).await.0, 201);
    assert_eq!(post(url.clone(), &order("t01", "o1", "x")).await.0, 200);
    assert_eq!(post(url.clone(), &order("t01", "o1", "y")).await.0, 409);
    assert_eq!(
        post(running.url("/jobs/tick"), &json!({ "by": "jobs" }))
            .await
            .0,
        201
    );
    let (_, listed) = get(running.url("/orders?tenant=t01")).await;
    assert_eq!(listed["orders"][0]["id"], "o1");
    let (_, found) = get(running.url("/verify")).await;
    assert_eq!(
        (&found["ok"], &found["orders"], &found["job_runs"]),
        (&json!(true), &json!(1), &json!(1))
    );
}

async fn records_what_is_lost(site: &Site, running: &Running) {
    let options = ReconcileOptions {
        site: "prod".to_owned(),
        database: site.database.clone(),
        files: site.files(),
        lease: None,
    };
    fs::remove_dir_all(site.files().join("t01")).unwrap();
    assert!(reconcile(options.clone(), Skew::Refused).await.is_err());
    assert_eq!(get(running.url("/verify")).await.1["ok"], false);
    let found = reconcile(options.clone(), Skew::Reported).await.unwrap();
    assert_eq!(found.lost, ["t01/o1"]);
    assert_eq!(get(running.url("/verify")).await.1["ok"], true);
    let again = reconcile(options, Skew::Reported).await.unwrap();
    assert_eq!((again.dangling, again.known_before), (0, 1));
}

fn empty_list(folder: &Path) -> PathBuf {
    let path = folder.join("list");
    fs::write(&path, "").unwrap();
    assert_eq!(List::read(&path).unwrap(), List::default());
    path
}
